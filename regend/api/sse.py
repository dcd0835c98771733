"""A job's history as server-sent events, resumable by `Last-Event-ID`.

Each stream reads from the store by its own cursor and waits for the bell. It ends after the event
that ends the job; a reader that comes back after it is told by 204 to come no more.
"""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from regend.api.access import Access
from regend.api.call import Call
from regend.api.tokens import Grant
from regend.errors import BadInput
from regend.events import JOB_ENDINGS, Event
from regend.jobs import history
from regend.jobs.service import Jobs
from regend.limits import CATCH_UP_PAGE_LENGTH, CLIENT_STALL_S, HEARTBEAT_COMMENT_S
from regend.store import Store


class EventStream:
    """Serves the streams of single jobs."""

    def __init__(self, store: Store, jobs: Jobs, access: Access) -> None:
        self._store = store
        self._jobs = jobs
        self._access = access

    async def serve(self, call: Call) -> web.StreamResponse:
        """Stream a job's events until it ends or the reader leaves."""
        job_id = call.path("job_id")
        cursor = _position(call)
        job = await self._jobs.show(call.user, job_id)
        if cursor > await self._store.query(history.newest_seq):
            raise _unknown_position()  # of another history: a backup was restored since
        if job["finished_at"] is not None and cursor >= job["last_seq"]:
            return web.Response(status=204)
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        await response.prepare(call.request)
        # A reader that leaves goes on from its own position when it comes back.
        with contextlib.suppress(ConnectionResetError):
            await self._send(response, call.grant, job["id"], cursor)
        return response

    async def _send(
        self, response: web.StreamResponse, grant: Grant, job_id: str, cursor: int
    ) -> None:
        now_s = asyncio.get_running_loop().time
        written_s = now_s()
        while self._access.holds(grant):
            rung = self._store.bell.count
            page = await self._jobs.events(grant.user, job_id, cursor, CATCH_UP_PAGE_LENGTH)
            quiet_s = now_s() - written_s
            if page:
                await _write(response, b"".join(_record(event) for event in page))
                cursor = page[-1].seq
            elif quiet_s >= HEARTBEAT_COMMENT_S:
                await _write(response, b": still here\n\n")
            else:
                # Other jobs ring too, and must not put the heartbeat off.
                await self._store.bell.wait(HEARTBEAT_COMMENT_S - quiet_s, rung)
                continue
            written_s = now_s()
            if page and page[-1].type in JOB_ENDINGS and await self._is_over(grant, job_id, cursor):
                break
        await response.write_eof()

    async def _is_over(self, grant: Grant, job_id: str, cursor: int) -> bool:
        """Tell whether a job has ended for good at this event: a failed one may be tried again."""
        job = await self._jobs.show(grant.user, job_id)
        return job["finished_at"] is not None and cursor >= job["last_seq"]


async def _write(response: web.StreamResponse, content: bytes) -> None:
    """Write, and give a reader up that does not read.

    Raises:
        ConnectionResetError: it is given up.
    """
    try:
        async with asyncio.timeout(CLIENT_STALL_S):
            await response.write(content)
    except TimeoutError as error:
        raise ConnectionResetError("the reader does not read") from error


def _position(call: Call) -> int:
    """Return after which event the reader wants to go on."""
    last = call.header("Last-Event-ID")
    if last is None:
        return call.after_seq()
    if not (last.isascii() and last.isdigit() and len(last) < 19):
        raise _unknown_position()
    return int(last)


def _unknown_position() -> BadInput:
    return BadInput(
        "invalid_position",
        "This stream gave no such position.",
        hint="Read from the beginning, without a position.",
    )


def _record(event: Event) -> bytes:
    return f"id: {event.seq}\nevent: {event.type}\ndata: {event.to_json()}\n\n".encode()
