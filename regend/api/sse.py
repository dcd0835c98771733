"""A job's history as server-sent events, and what happens to devices; by `Last-Event-ID` resumable.

Each stream reads from the store by its own cursor and waits for the bell. That of a job ends after
the event that ends it; a reader that comes back after it is told by 204 to come no more. That of
the devices has no end.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from aiohttp import web

from regend.api.access import Access
from regend.api.call import Call
from regend.api.tokens import Grant
from regend.errors import BadInput
from regend.events import JOB_ENDINGS, Event
from regend.jobs import history, jobless
from regend.jobs.service import Jobs
from regend.limits import CATCH_UP_PAGE_LENGTH, CLIENT_STALL_S, HEARTBEAT_COMMENT_S
from regend.store import Store

Read = Callable[[int], Awaitable[list[Event]]]
IsOver = Callable[[Event], Awaitable[bool]]


class EventStream:
    """Serves the streams of single jobs, and that of the devices."""

    def __init__(self, store: Store, jobs: Jobs, access: Access) -> None:
        self._store = store
        self._jobs = jobs
        self._access = access

    async def serve(self, call: Call) -> web.StreamResponse:
        """Stream a job's events until it ends or the reader leaves."""
        job_id, user = call.path("job_id"), call.user
        cursor = _position(call)
        job = await self._jobs.show(user, job_id)
        await self._require_known(cursor)
        if job["finished_at"] is not None and cursor >= job["last_seq"]:
            return web.Response(status=204)

        async def read(seq: int) -> list[Event]:
            return await self._jobs.events(user, job["id"], seq, CATCH_UP_PAGE_LENGTH)

        async def is_over(last: Event) -> bool:
            """Tell whether a job has ended for good: a failed one may be tried again."""
            if last.type not in JOB_ENDINGS:
                return False
            now = await self._jobs.show(user, job["id"])
            return now["finished_at"] is not None and last.seq >= now["last_seq"]

        return await self._stream(call, cursor, read, is_over)

    async def serve_devices(self, call: Call) -> web.StreamResponse:
        """Stream what happens to the devices until the reader leaves."""
        cursor = _position(call)
        await self._require_known(cursor)

        async def read(seq: int) -> list[Event]:
            return await self.of_devices(seq, CATCH_UP_PAGE_LENGTH)

        async def is_over(_last: Event) -> bool:
            return False

        return await self._stream(call, cursor, read, is_over)

    async def of_devices(self, after_seq: int, limit: int) -> list[Event]:
        """Return the next events about devices."""
        return await self._store.query(lambda c: jobless.after(c, after_seq, limit))

    async def position(self) -> int:
        """Return the newest `seq`."""
        return await self._store.query(history.newest_seq)

    async def _require_known(self, cursor: int) -> None:
        if cursor > await self.position():
            raise _unknown_position()  # of another history: a backup was restored since

    async def _stream(
        self, call: Call, cursor: int, read: Read, is_over: IsOver
    ) -> web.StreamResponse:
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
            await self._send(response, call.grant, cursor, read, is_over)
        return response

    async def _send(
        self,
        response: web.StreamResponse,
        grant: Grant,
        cursor: int,
        read: Read,
        is_over: IsOver,
    ) -> None:
        now_s = asyncio.get_running_loop().time
        written_s = now_s()
        while self._access.holds(grant):
            rung = self._store.bell.count
            page = await read(cursor)
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
            if page and await is_over(page[-1]):
                break
        await response.write_eof()


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
        after_seq: int = call.query["after_seq"]
        return after_seq
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
