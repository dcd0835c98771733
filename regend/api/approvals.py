"""Calls about approvals: what waits for a person, and what they decide."""

from __future__ import annotations

from typing import Any

from regend.api.call import Call
from regend.api.endpoints import API, JOB, Endpoint, listing
from regend.api.submission import Submissions
from regend.jobs.service import Jobs
from regend.jsonschema import choice, fields, text


class ApprovalCalls:
    """Handlers of `/approvals`."""

    def __init__(self, jobs: Jobs, submissions: Submissions) -> None:
        self._jobs = jobs
        self._submissions = submissions

    def endpoints(self) -> list[Endpoint]:
        """Return the table of these calls."""
        return [
            Endpoint(
                "GET",
                API + "/approvals",
                self.list,
                "What waits for a decision",
                "jobs:read",
                answers=listing("approvals"),
            ),
            Endpoint(
                "POST",
                API + "/approvals/{approval_id}",
                self.decide,
                "Decide",
                "jobs:write",
                body=fields(
                    "decision",
                    "action_hash",
                    decision=choice("approve", "deny"),
                    action_hash=text(),
                ),
                answers=JOB,
            ),
        ]

    async def list(self, call: Call) -> dict[str, Any]:
        """Return what waits for the caller's decision."""
        return {"approvals": await self._jobs.approvals(call.user)}

    async def decide(self, call: Call) -> dict[str, Any]:
        """Record a decision."""
        approval_id = call.path("approval_id")
        await self._submissions.require_for_approval(call.grant, approval_id)
        return await self._jobs.decide(call.user, approval_id, **call.body)
