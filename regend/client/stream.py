"""The asyncio loop around `StreamProtocol`: sockets, timer and buffer; it decides nothing.

Limits: at most `STREAM_BUFFER_BYTES` and one frame wait for the reader. When they are full the
socket is not read, so the daemon sees a slow client; only while commands wait for their answers
it is read on, and the protocol drops what has no room (rule 11 of `regend.client`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp

from regend.client.actions import Action, Connect, Deliver, Disconnect, Fail, Send, Settle
from regend.client.address import RefusedConnection
from regend.client.items import Item
from regend.client.protocol import State, StreamProtocol
from regend.client.records import Job
from regend.clock import Clock
from regend.errors import Failed, RegendError
from regend.limits import STREAM_BUFFER_BYTES, STREAM_COMMANDS

_ABNORMAL = 1006  # the close code of a connection that ended without one


class Stream:
    """The events of the caller's jobs, in order, without gap or duplicate, while it is entered.

    One reader iterates; commands may be given from anywhere, also by the reader between items.

    Args:
        protocol: what decides.
        open_socket: opens an authenticated WebSocket; raises `RefusedConnection`, OSError,
            TimeoutError or an aiohttp error.
        clock: its monotonic time is used.
    """

    def __init__(
        self,
        protocol: StreamProtocol,
        open_socket: Callable[[], Awaitable[aiohttp.ClientWebSocketResponse]],
        clock: Clock,
    ) -> None:
        self._protocol = protocol
        self._open_socket = open_socket
        self._clock = clock
        self._buffer: deque[tuple[Item, float, str | None]] = deque()
        self._buffered_bytes = 0.0
        self._frame_bytes = 0
        self._held = False
        self._may_read = asyncio.Event()
        self._may_read.set()
        self._changed = asyncio.Event()
        self._connections: set[asyncio.Task[None]] = set()
        self._connection: asyncio.Task[None] | None = None
        self._outgoing: asyncio.Queue[str] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._failure: BaseException | None = None
        self._epoch: str | None = protocol.epoch
        self._seq: int | None = protocol.seq

    @property
    def epoch(self) -> str | None:
        """The history that `seq` belongs to; None before the first item or `connected`."""
        return self._epoch

    @property
    def seq(self) -> int | None:
        """Position after the last item that the reader took."""
        return self._seq

    async def __aenter__(self) -> Self:
        self._perform(self._protocol.start(self._now_s()))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        """Return the next item; the iteration ends when the stream is closed.

        Raises:
            NotAuthenticated: the token is not, or no longer, accepted.
            RegendError: the daemon refused the stream for good, or cannot be understood.
        """
        while not self._buffer:
            if self._failure is not None:
                raise self._failure
            if self._protocol.state is State.CLOSED:
                raise StopAsyncIteration
            await self._change()
        item, size_bytes, self._epoch = self._buffer.popleft()
        self._seq = item.seq
        self._buffered_bytes -= size_bytes
        self._balance()
        return item

    async def connected(self) -> int:
        """Wait until the daemon has said hello, and return the position that it started from.

        Everything after the returned position comes as an item, so the state that is read by
        REST afterwards misses nothing.

        Raises:
            RegendError: the stream ended before.
        """
        while self._protocol.seq is None or self._protocol.epoch is None:
            if self._failure is not None:
                raise self._failure
            if self._protocol.state is State.CLOSED:
                raise Failed("stream_closed", "The stream was closed before it was connected.")
            await self._change()
        if self._seq is None or self._epoch is None:
            self._seq, self._epoch = self._protocol.seq, self._protocol.epoch
        return self._seq

    async def start(
        self,
        job_type: str,
        job_input: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Create a job and return it.

        Args:
            job_type: as in `POST /jobs`.
            job_input: the input of that type.
            idempotency_key: the same key makes the same job; None for a fresh one.
            **options: title, model, priority, max_attempts.

        Raises:
            RegendError: the daemon refused it, or the stream was closed before it answered.
        """
        fields = {"type": job_type, "input": dict(job_input), **options}
        return _job(await self._command("start", fields, idempotency_key))

    async def cancel(self, job_id: str) -> Job:
        """Ask for the end of a job and return it; errors as for `start`."""
        return _job(await self._command("cancel", {"job_id": job_id}))

    async def pause(self, job_id: str) -> Job:
        """Ask a job to stop at its next checkpoint and return it; errors as for `start`."""
        return _job(await self._command("pause", {"job_id": job_id}))

    async def resume(self, job_id: str, choice: str | None = None) -> Job:
        """Let a job go on, by a choice of its `waiting` if it has any; errors as for `start`."""
        return _job(await self._command("resume", {"job_id": job_id, "choice": choice}))

    async def subscribe(self, jobs: Sequence[str]) -> None:
        """Follow more jobs from the present position on; errors as for `start`."""
        await self._command("subscribe", {"jobs": jobs})

    async def unsubscribe(self, jobs: Sequence[str]) -> None:
        """Follow these jobs no more; errors as for `start`."""
        await self._command("unsubscribe", {"jobs": jobs})

    async def close(self) -> None:
        """End the stream; what was received and not read can still be iterated."""
        self._perform(self._protocol.close())
        while self._connections:
            await asyncio.wait(set(self._connections))

    async def _command(
        self, op: str, fields: Mapping[str, Any], key: str | None = None
    ) -> dict[str, Any]:
        command_id, actions = self._protocol.submit(op, fields, self._now_s(), key)
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._answers[command_id] = answer
        self._perform(actions)
        try:
            return await answer
        except asyncio.CancelledError:
            self._protocol.withdraw(command_id)
            raise
        finally:
            self._answers.pop(command_id, None)

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Connect():
                    self._start_connection()
                case Disconnect():
                    self._drop_connection()
                case Send(text):
                    self._send(text)
                case Deliver(items):
                    share_bytes = self._frame_bytes / len(items)
                    self._buffered_bytes += self._frame_bytes
                    epoch = self._protocol.epoch
                    self._buffer.extend((item, share_bytes, epoch) for item in items)
                case Settle(command_id, answer):
                    self._settle(command_id, answer)
                case Fail(error):
                    self._failure = error
        self._set_timer()
        self._changed.set()
        self._balance()

    def _balance(self) -> None:
        """Read, hold or stop reading, by the room that there is."""
        full = self._buffered_bytes >= STREAM_BUFFER_BYTES
        if full and self._protocol.unanswered and not self._held:
            self._held = True
            self._protocol.hold()
        if not full or self._protocol.unanswered:
            self._may_read.set()
        else:
            self._may_read.clear()
        if self._held and self._buffered_bytes <= STREAM_BUFFER_BYTES / 2:
            self._held = False
            self._perform(self._protocol.release(self._now_s()))

    def _start_connection(self) -> None:
        outgoing: asyncio.Queue[str] = asyncio.Queue(STREAM_COMMANDS)
        task = asyncio.get_running_loop().create_task(self._converse(outgoing))
        self._outgoing, self._connection = outgoing, task
        self._connections.add(task)
        task.add_done_callback(self._connection_ended)

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.cancel()
        self._connection = self._outgoing = None

    def _connection_ended(self, task: asyncio.Task[None]) -> None:
        self._connections.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._failure = error
            self._perform(self._protocol.close())

    def _send(self, text: str) -> None:
        if self._outgoing is None:
            return
        if self._outgoing.full():
            # Only answers to commands that were never sent can bring it this far.
            self._perform(self._protocol.violated("it answers what was not asked", self._now_s()))
        else:
            self._outgoing.put_nowait(text)

    def _settle(self, command_id: str, answer: dict[str, Any] | RegendError) -> None:
        waiting = self._answers.get(command_id)
        if waiting is None or waiting.done():
            return
        if isinstance(answer, RegendError):
            waiting.set_exception(answer)
        else:
            waiting.set_result(answer)

    async def _converse(self, outgoing: asyncio.Queue[str]) -> None:
        """One connection from opening to its end."""
        try:
            socket = await self._open_socket()
        except RefusedConnection as refusal:
            status, error, retry_after_s = refusal.status, refusal.error, refusal.retry_after_s
            self._perform(self._protocol.refused(status, error, retry_after_s, self._now_s()))
            return
        except (aiohttp.ClientError, OSError, TimeoutError):
            self._perform(self._protocol.closed(_ABNORMAL, "", self._now_s()))
            return
        sender = asyncio.create_task(_send_from(outgoing, socket))
        try:
            self._perform(self._protocol.opened(self._now_s()))
            code, reason = await self._read(socket)
        finally:
            sender.cancel()
            await socket.close()
        self._perform(self._protocol.closed(code, reason, self._now_s()))

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> tuple[int, str]:
        """Hand frames to the protocol until the connection ends; return code and reason."""
        while True:
            await self._may_read.wait()
            message = await socket.receive()
            match message.type:
                case aiohttp.WSMsgType.TEXT:
                    self._frame_bytes = len(message.data)
                    self._perform(self._protocol.received(message.data, self._now_s()))
                case aiohttp.WSMsgType.BINARY:
                    self._perform(self._protocol.violated("a frame is binary", self._now_s()))
                case aiohttp.WSMsgType.CLOSE:
                    return message.data or _ABNORMAL, message.extra or ""
                case _:
                    return socket.close_code or _ABNORMAL, ""

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline_s = self._protocol.deadline_s
        if deadline_s is not None:
            delay_s = max(0.0, deadline_s - self._now_s())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._time_out)

    def _time_out(self) -> None:
        self._perform(self._protocol.timer(self._now_s()))

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _now_s(self) -> float:
        return self._clock.monotonic_s()


async def _send_from(outgoing: asyncio.Queue[str], socket: aiohttp.ClientWebSocketResponse) -> None:
    """Send apart from reading: two sides that only send would wait for each other."""
    while True:
        text = await outgoing.get()
        try:
            await socket.send_str(text)
        except (ConnectionError, aiohttp.ClientError):
            return


def _job(answer: dict[str, Any]) -> Job:
    job = answer.get("job")
    if not isinstance(job, dict):
        raise Failed("protocol_violation", "The daemon answered a job command without a job.")
    return job  # type: ignore[return-value]
