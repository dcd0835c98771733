"""Calls about jobs and their history."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from regend.api.call import Call, answer
from regend.api.endpoints import (
    API,
    CURSOR,
    EVENTS,
    EVENTS_QUERY,
    JOB,
    KEYED,
    LIMIT,
    Endpoint,
    Handle,
    listing,
)
from regend.api.sse import EventStream
from regend.api.submission import Submissions
from regend.jobs.lifecycle import STATES
from regend.jobs.orphans import Accounts
from regend.jobs.service import Jobs
from regend.jsonschema import Schema, choice, fields, optional, text, whole
from regend.limits import MAX_STEPS, MAX_TITLE_CHARACTERS


class JobCalls:
    """Handlers of `/jobs`."""

    def __init__(
        self, jobs: Jobs, streams: EventStream, submissions: Submissions, accounts: Accounts
    ) -> None:
        self._jobs = jobs
        self._accounts = accounts
        self._streams = streams
        self._submissions = submissions

    def endpoints(self) -> list[Endpoint]:
        """Return the table of these calls."""
        return [*self._of_all(), *self._of_one(), *self._commands()]

    def _of_all(self) -> list[Endpoint]:
        return [
            Endpoint(
                "POST",
                API + "/jobs",
                self.submit,
                "Hand in a job",
                "jobs:write",
                headers=KEYED,
                body={"$ref": "#/components/schemas/NewJob"},
                status=202,
                answers=JOB,
                errors=(404, 409, 422),
            ),
            Endpoint(
                "GET",
                API + "/jobs",
                self.page,
                "List jobs, newest first",
                "jobs:read",
                query=fields(
                    state=choice("pending", *STATES),
                    type=text(),
                    q=text(maxLength=MAX_TITLE_CHARACTERS),
                    limit=LIMIT,
                    cursor=text(pattern="^[0-9]{1,18}$", description="the cursor of a page"),
                ),
                answers=listing("jobs", JOB, next_cursor=CURSOR),
            ),
        ]

    def _of_one(self) -> list[Endpoint]:
        job = API + "/jobs/{job_id}"
        return [
            Endpoint("GET", job, self.show, "Show a job", "jobs:read", answers=JOB),
            Endpoint(
                "GET",
                job + "/steps",
                self.steps,
                "What ran, when and how long",
                "jobs:read",
                answers=listing("steps"),
            ),
            Endpoint(
                "GET",
                job + "/checkpoints",
                self.checkpoints,
                "Where the job can go on from",
                "jobs:read",
                answers=listing("checkpoints"),
            ),
            Endpoint(
                "GET",
                job + "/events",
                self.events,
                "The job's history, as a page or as server-sent events",
                "jobs:read",
                query=EVENTS_QUERY,
                answers=EVENTS,
                media=("text/event-stream",),
            ),
        ]

    def _commands(self) -> list[Endpoint]:
        return [
            self._command("cancel", self.cancel, "Cancel a job"),
            self._command("pause", self.pause, "Pause a job at its next checkpoint"),
            self._command("resume", self.resume, "Let a job go on", choice=optional(text())),
            self._command("retry", self.retry, "Let a failed job try again"),
            self._command(
                "fork",
                self.fork,
                "Begin a new job at a checkpoint",
                step=optional(whole(0, MAX_STEPS, description="the number of a step")),
            ),
        ]

    def _command(self, name: str, handle: Handle, summary: str, **body: Schema) -> Endpoint:
        return Endpoint(
            "POST",
            f"{API}/jobs/{{job_id}}/{name}",
            handle,
            summary,
            "jobs:write",
            headers=KEYED,
            body=fields(**body),
            body_required=False,
            status=202,
            answers=JOB,
        )

    async def submit(self, call: Call) -> web.Response:
        """Take a job; answers once it is durable."""
        job = await self._submissions.submit(call.grant, call.body, call.key())
        return answer(job, 202, {"Location": f"{API}/jobs/{job['id']}"})

    async def page(self, call: Call) -> dict[str, Any]:
        """List jobs."""
        return await self._jobs.page(
            call.user,
            state=call.query["state"],
            type_name=call.query["type"],
            words=call.query["q"],
            limit=call.query["limit"],
            cursor=call.query["cursor"],
        )

    async def show(self, call: Call) -> dict[str, Any]:
        """Show one job, and what became of it where several devices ran it."""
        job = await self._jobs.show(call.user, call.path("job_id"))
        account = await self._accounts.of(job["id"])
        return {**job, "account": account} if account else job

    async def cancel(self, call: Call) -> dict[str, Any]:
        """Cancel a job."""
        return await self._jobs.cancel(call.user, call.path("job_id"), call.key())

    async def pause(self, call: Call) -> dict[str, Any]:
        """Pause a job."""
        return await self._jobs.pause(call.user, call.path("job_id"), call.key())

    async def resume(self, call: Call) -> dict[str, Any]:
        """Let a job go on."""
        job_id = await self._startable(call)
        return await self._jobs.resume(call.user, job_id, call.body["choice"], call.key())

    async def retry(self, call: Call) -> dict[str, Any]:
        """Let a failed job try again."""
        return await self._jobs.retry(call.user, await self._startable(call), call.key())

    async def fork(self, call: Call) -> dict[str, Any]:
        """Begin a new job at a checkpoint of this one."""
        return await self._submissions.fork(
            call.grant, call.path("job_id"), call.body["step"], call.key()
        )

    async def _startable(self, call: Call) -> str:
        """Return the id of the job that is named, if the caller may start jobs of its type."""
        job_id = call.path("job_id")
        await self._submissions.require_for_job(call.grant, job_id)
        return job_id

    async def steps(self, call: Call) -> dict[str, Any]:
        """Return the finished steps."""
        return {"steps": await self._jobs.steps(call.user, call.path("job_id"))}

    async def checkpoints(self, call: Call) -> dict[str, Any]:
        """Return the checkpoints."""
        return {"checkpoints": await self._jobs.checkpoints(call.user, call.path("job_id"))}

    async def events(self, call: Call) -> Any:
        """Return a page of events, or stream them."""
        if call.wants_stream():
            return await self._streams.serve(call)
        after_seq, limit = call.query["after_seq"], call.query["limit"]
        page = await self._jobs.events(call.user, call.path("job_id"), after_seq, limit)
        return {"events": [event.to_dict() for event in page]}
