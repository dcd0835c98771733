"""Handing in a job, the same over REST and WebSocket: who may, its pace, and what is counted."""

from __future__ import annotations

from typing import Any

from regend.api.limiter import RateLimiter
from regend.api.tokens import Grant
from regend.errors import BadInput, RegendError
from regend.jobs.service import Jobs


class Submissions:
    """Takes jobs; research no faster than `research` allows to a token."""

    def __init__(self, jobs: Jobs, research: RateLimiter) -> None:
        self._jobs = jobs
        self._research = research

    def require(self, grant: Grant, type_name: Any) -> None:
        """Refuse a caller whose token may not do what jobs of this type do.

        A type that does not exist needs nothing: whoever takes the job says that.

        Raises:
            NotAllowed: the token lacks the scope of the type.
        """
        kind = self._jobs.types.get(type_name) if isinstance(type_name, str) else None
        if kind is not None:
            grant.require(kind.scope)

    async def submit(self, grant: Grant, body: Any, key: Any) -> dict[str, Any]:
        """Return the job once it is durable.

        Only what starts a job counts against the pace: not a refused request, and not one that
        repeats an earlier one, or a client that lost the answer would be told no to a job that
        runs.

        Args:
            key: idempotency key, as it was sent.

        Raises:
            NotAllowed: the token lacks the scope that jobs of this type need.
            RateLimited: too much research was started.
            RegendError: what `Jobs.submit` raises.
        """
        if key is not None and not isinstance(key, str):
            raise BadInput(
                "invalid_field", "“idempotency_key” must be a text.", field="idempotency_key"
            )
        type_name = body.get("type") if isinstance(body, dict) else None
        self.require(grant, type_name)
        paced = type_name == "research"
        if not paced or await self._jobs.was_submitted(grant.user, key):
            return await self._jobs.submit(grant.user, body, key)
        self._research.take(grant.token_id, "research jobs")
        try:
            return await self._jobs.submit(grant.user, body, key)
        except RegendError:
            self._research.give_back(grant.token_id)
            raise
