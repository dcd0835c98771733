"""One stream client on its WebSocket, from hello to close: it speaks first, and gives commands."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import WSMsgType, web

from regend.api.access import Access
from regend.api.hub import CLOSE_FAILED, Connection, Hub
from regend.api.limiter import RateLimiter
from regend.api.submission import Submissions
from regend.api.tail import Filter
from regend.api.tokens import Grant
from regend.clock import Clock
from regend.errors import BadInput, RateLimited, RegendError
from regend.jobs import history, repository
from regend.jobs.lifecycle import PENDING
from regend.jobs.service import Jobs
from regend.jobs.view import job_object
from regend.jsontext import dumps, loads
from regend.limits import CLIENT_COMMANDS_BURST, CLIENT_COMMANDS_PER_S, STREAM_JOBS
from regend.store import Store

CLOSE_NOT_TEXT = 1003
CLOSE_UNAUTHENTICATED = 4401
CLOSE_FLOOD = 4429
CLOSE_BAD_HELLO = 4400

_LEFT = (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR)
_HELLO_TIMEOUT_S = 10.0
_SNAPSHOT_JOBS = 500  # the pending ones and the newest ended ones; the rest is a page of REST
_ID_CHARACTERS = 36  # a UUID in its text form
_LINGER_S = 1.0  # a client that is closed gets this long to read why
_FLOOD_WAIT_S = 1.0  # least: one command more would be one too many again
_REASON_BYTES = 120  # of a close frame, RFC 6455 section 5.5


@dataclass(frozen=True, slots=True)
class StreamParts:
    """The parts of a daemon that its stream sessions work with."""

    store: Store
    clock: Clock
    hub: Hub
    jobs: Jobs
    access: Access
    submissions: Submissions


class StreamSession:
    """One client: its hello, then its commands."""

    def __init__(
        self,
        parts: StreamParts,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        grant: Grant,
    ) -> None:
        self._parts = parts
        self._socket = socket
        self._transport = transport
        self.grant = grant
        self._connection: Connection | None = None
        per_minute = int(CLIENT_COMMANDS_PER_S * 60)
        self._pace = RateLimiter(parts.clock, per_minute, CLIENT_COMMANDS_BURST)
        self._ending: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Greet, then answer commands until the client is gone."""
        try:
            async with asyncio.timeout(_HELLO_TIMEOUT_S):
                hello = await self._receive()
        except TimeoutError:
            self.end(CLOSE_BAD_HELLO, "no hello came")
            return
        if hello is None:
            return
        try:
            await self._greet(hello)
        except BadInput as error:
            self.end(CLOSE_BAD_HELLO, error.message)
            return
        except RegendError as error:
            self.end(CLOSE_FAILED, error.message)  # no fault of the client's: it may come again
            return
        while (command := await self._receive()) is not None:
            if not self._parts.access.holds(self.grant):
                self.end(CLOSE_UNAUTHENTICATED, "token revoked")
                return
            await self._on_text(command)

    def end(self, code: int, reason: str) -> asyncio.Task[None]:
        """Send no more events and close with this reason, within a bounded time."""
        if self._connection is not None:
            self._parts.hub.remove(self._connection)
        if self._ending is None:
            self._ending = asyncio.create_task(self._close(code, reason))
        return self._ending

    async def leave(self) -> None:
        """Forget the client, once a closing that is under way has come to its end."""
        if self._connection is not None:
            self._parts.hub.remove(self._connection)
        if self._ending is not None:
            await asyncio.wait([self._ending])

    async def _close(self, code: int, reason: str) -> None:
        """Send the reason behind what waits already; then the line goes, read or not.

        Whoever reads up to the reason has everything before the resume point that it names.
        """
        message = reason.encode()[:_REASON_BYTES].decode(errors="ignore").encode()
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_LINGER_S):
                await self._socket.close(code=code, message=message, drain=False)
        if self._transport.get_write_buffer_size():
            self._transport.abort()

    async def _receive(self) -> str | None:
        """Return the next text of the client; None where it left, or was ended for what it sent.

        Every frame counts, a ping that is answered here no less than a command.
        """
        while (message := await self._socket.receive()).type not in _LEFT:
            try:
                self._pace.take("", "frames")
            except RateLimited as limited:
                wait_s = max(_FLOOD_WAIT_S, limited.retry_after_s or 0.0)
                self.end(CLOSE_FLOOD, f'{{"retry_after_s":{wait_s:.1f}}}')
                return None
            match message.type:
                case WSMsgType.TEXT:
                    text: str = message.data
                    return text
                case WSMsgType.PING:
                    await self._socket.pong(message.data)
                case WSMsgType.BINARY:
                    code = CLOSE_BAD_HELLO if self._connection is None else CLOSE_NOT_TEXT
                    self.end(code, "text frames only")
                    return None
        return None

    async def _greet(self, text: str) -> None:
        hello = loads(text)
        after_seq, epoch, jobs = _parse_hello(hello)
        user = self.grant.user

        def read(connection: sqlite3.Connection) -> tuple[str, int, int]:
            return (
                history.epoch(connection),
                history.newest_seq(connection),
                history.floor(connection),
            )

        now_epoch, seq, floor = await self._parts.store.query(read)
        same = epoch is None or epoch == now_epoch
        known = after_seq is not None and same and after_seq <= seq
        gap = None
        cursor = seq
        if known and after_seq is not None:
            cursor = after_seq
            if after_seq < floor:
                gap, cursor = {"from": after_seq + 1, "to": floor}, floor
        answer = {"op": "hello", "epoch": now_epoch, "seq": seq, "resumed": known, "gap": gap}
        await self._send(answer)
        if gap is not None or not same:
            await self._send({"op": "snapshot", "jobs": await self._snapshot(user)})
        devices = self.grant.allows("devices:read")
        wanted = Filter(user, None if jobs is None else frozenset(jobs), devices)
        self._connection = Connection(self._transport, wanted, cursor, self.end)
        self._parts.hub.add(self._connection)

    async def _snapshot(self, user: str) -> list[dict[str, Any]]:
        store = self._parts.store

        def read(connection: sqlite3.Connection) -> list[sqlite3.Row]:
            pending = repository.listed(connection, user, states=PENDING, limit=_SNAPSHOT_JOBS)
            newest = repository.listed(connection, user, limit=_SNAPSHOT_JOBS)
            rows = {row["number"]: row for row in (*pending, *newest)}
            return [rows[number] for number in sorted(rows, reverse=True)][:_SNAPSHOT_JOBS]

        rows = await store.query(read)
        return [job_object(row, store.blobs, whole=False) for row in rows]

    async def _on_text(self, text: str) -> None:
        command_id: Any = None
        try:
            command = loads(text)
            if not isinstance(command, dict):
                raise BadInput("invalid_command", "A command is an object with “op” and “id”.")
            command_id = command.get("id")
            reply = await self._carry_out(command)
        except RegendError as error:
            # The status that REST would answer with, by which clients tell the kind of error.
            body = {**error.to_dict(), "status": error.status}
            await self._send({"op": "reply", "id": command_id, "ok": False, "error": body})
            return
        await self._send({"op": "reply", "id": command_id, "ok": True, **reply})

    async def _carry_out(self, command: dict[str, Any]) -> dict[str, Any]:
        """Do what a command asks and return what its reply says."""
        op = command.get("op")
        if op in ("subscribe", "unsubscribe"):
            return self._change_subscription(command)
        if op not in ("start", "cancel", "pause", "resume"):
            raise BadInput(
                "unknown_op",
                f"There is no command “{str(op)[:40]}”.",
                hint="Commands: start, cancel, pause, resume, subscribe, unsubscribe.",
            )
        self.grant.require("jobs:write")
        key = command.get("idempotency_key")
        if op == "start":
            body = {k: v for k, v in command.items() if k not in ("op", "id", "idempotency_key")}
            return {"job": await self._parts.submissions.submit(self.grant, body, key)}
        job_id = command.get("job_id")
        if not isinstance(job_id, str):
            raise BadInput("invalid_field", "“job_id” must be the id of a job.", field="job_id")
        jobs, user = self._parts.jobs, self.grant.user
        if op == "cancel":
            return {"job": await jobs.cancel(user, job_id, key)}
        if op == "pause":
            return {"job": await jobs.pause(user, job_id, key)}
        await self._parts.submissions.require_for_job(self.grant, job_id)
        return {"job": await jobs.resume(user, job_id, command.get("choice"), key)}

    def _change_subscription(self, command: dict[str, Any]) -> dict[str, Any]:
        named = _job_ids(command.get("jobs"))
        connection = self._connection
        assert connection is not None
        present = connection.filter.jobs
        if command["op"] == "subscribe":
            jobs = None if present is None else _bounded(present | named)
        elif present is None:
            raise BadInput("follows_all", "This stream follows all jobs and cannot leave some out.")
        else:
            jobs = present - named
        seq = self._parts.hub.refilter(connection, replace(connection.filter, jobs=jobs))
        return {"jobs": None if jobs is None else sorted(jobs), "seq": seq}

    async def _send(self, frame: dict[str, Any]) -> None:
        if not self._socket.closed:
            await self._socket.send_str(dumps(frame))


def _parse_hello(hello: Any) -> tuple[int | None, str | None, frozenset[str] | None]:
    """Return position, epoch and jobs of a hello.

    Raises:
        BadInput: it is not one.
    """
    if not isinstance(hello, dict) or hello.get("op") != "hello":
        raise BadInput("no_hello", "The first frame must be a hello.")
    after_seq, epoch = hello.get("after_seq"), hello.get("epoch")
    if after_seq is not None and (type(after_seq) is not int or after_seq < 0):
        raise BadInput("invalid_field", "“after_seq” must be a whole number from 0, or null.")
    if epoch is not None and not isinstance(epoch, str):
        raise BadInput("invalid_field", "“epoch” must be a text, or null.")
    jobs = hello.get("jobs")
    return after_seq, epoch, None if jobs is None else _job_ids(jobs)


def _job_ids(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadInput("invalid_field", "“jobs” must be a list of job ids.", field="jobs")
    if any(len(item) > _ID_CHARACTERS for item in value):
        raise BadInput("invalid_field", "“jobs” holds what is no id of a job.", field="jobs")
    return _bounded(frozenset(value))


def _bounded(jobs: frozenset[str]) -> frozenset[str]:
    """Return the set if it is one that a stream may follow: each change of it is work for all."""
    if len(jobs) > STREAM_JOBS:
        raise BadInput(
            "too_many_jobs",
            f"A stream follows at most {STREAM_JOBS} single jobs.",
            hint="Follow all of yours: “jobs”: null.",
            field="jobs",
        )
    return jobs
