"""A link over a WebSocket, whichever side opened it.

Three tasks: one always reads, one writes what is due, one listens to the silence. The first that
ends tells why the link ended; `pieces` decides what is written.

A dead peer shows by its silence alone, because a connection to a machine without power looks like
one that is idle: each side says something at least every third of the time after which it counts as
gone. Silence is counted in ticks of this process: whoever was stopped itself (a sleeping laptop)
does not blame the other, and hears first what came meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, web

from regend.limits import LINK_CLOSE_S, LINK_PIECE_BYTES, LINK_SILENCE_S
from regend.sync.link import Link, closed_there, require_small
from regend.sync.pieces import BEAT_PIECE, Incoming, Outgoing, PiecesBroken

Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse

MAX_SOCKET_MESSAGE_BYTES: Final = LINK_PIECE_BYTES + 2  # aiohttp refuses what has so many bytes
_TICKS = 10
_BEAT_SHARE = 0.3  # three may be lost
_REASON_BYTES = 123  # RFC 6455, of a close frame


class WebLink(Link):
    """A link over an open WebSocket, whose certificate was checked before.

    Invariants: what `receive` returns came whole and in order; nothing runs and nothing is open
    any more once `close`, `cut` or `ended` returned.

    Args:
        device: at the other end.
        address: where it is, for people.
        hang_up: ends the connection beneath at once; it is called once.
        silence_s: after so long without a sign of life the other side is gone.
    """

    def __init__(
        self,
        socket: Socket,
        device: bytes,
        address: str,
        hang_up: Callable[[], Awaitable[None]],
        *,
        silence_s: float = LINK_SILENCE_S,
    ) -> None:
        super().__init__(device, "lan", address)
        self._socket = socket
        self._hang_up = hang_up
        self._silence_s = silence_s
        self._silent_ticks = 0
        self._incoming = Incoming()
        self._outgoing = Outgoing()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._due = asyncio.Event()
        self._turn = asyncio.Lock()
        self._leaving: str | None = None
        self._cut = False
        self._running = asyncio.create_task(self._run())

    async def send(self, message: bytes) -> None:
        """Take a message to be carried; see `Link`."""
        require_small(message)
        async with self._turn:
            while not self.closed.is_set() and not self._outgoing.has_room(len(message)):
                self._room.clear()
                await self._room.wait()
            self._require_open()
            self._outgoing.offer(message)
            self._due.set()

    async def receive(self) -> bytes | None:
        """Return the next message, None once the link ended; see `Link`."""
        while (message := self._incoming.take()) is None:
            if self.closed.is_set():
                return None
            self._arrived.clear()
            await self._arrived.wait()
        self._due.set()
        return message

    async def close(self, reason: str = "") -> None:
        """End the link when what was accepted has left, or cannot leave soon."""
        if self._leaving is None:
            self._leaving = reason
            self._due.set()
        await asyncio.wait([self._running], timeout=LINK_CLOSE_S)
        await self.cut()

    async def cut(self) -> None:
        """End the link at once and without a word."""
        if not self._cut:
            self._cut = True
            self._running.cancel()
        await self.ended()

    async def ended(self) -> None:
        """Return when the link has ended and everything of it is gone."""
        await asyncio.wait([self._running])

    async def _run(self) -> None:
        reading, *others = (
            asyncio.create_task(task()) for task in (self._read, self._write, self._watch)
        )
        code: int | None = None
        reason = "it was cut"
        try:
            await asyncio.wait([reading, *others], return_when=asyncio.FIRST_COMPLETED)
            reason = next(task for task in (reading, *others) if task.done()).result()
            code = None if self._leaving is None else WSCloseCode.OK
        except PiecesBroken as error:
            reason, code = error.message, WSCloseCode.POLICY_VIOLATION
        finally:
            self._end(reason)
            try:
                # Reading goes on: aiohttp gives a connection up in which it was cancelled.
                await _stop(others)
                if code is not None and not self._cut:
                    await self._say_goodbye(code)
            finally:
                self._cut = True
                await self._hang_up()
                await _stop([reading])

    def _end(self, reason: str) -> None:
        self.reason = reason
        self.closed.set()
        self._arrived.set()
        self._room.set()

    async def _say_goodbye(self, code: int) -> None:
        said = (self._leaving or "").encode()[:_REASON_BYTES].decode(errors="ignore").encode()
        with contextlib.suppress(OSError):
            async with asyncio.timeout(LINK_CLOSE_S):
                await self._socket.close(code=code, message=said)

    async def _read(self) -> str:
        while True:
            message = await self._socket.receive()
            if message.type is not WSMsgType.BINARY:
                return _why(message)
            self._silent_ticks = 0
            taken = self._incoming.feed(message.data)
            if taken is not None:
                self._outgoing.taken(taken)
                self._due.set()
            self._arrived.set()

    async def _write(self) -> str:
        loop = asyncio.get_running_loop()
        beat_s = self._silence_s * _BEAT_SHARE
        said_s = loop.time()
        while True:
            piece = self._incoming.next_piece() or self._outgoing.next_piece()
            if piece is None:
                if self._leaving is not None and self._outgoing.idle:
                    return self._leaving or "it was closed"
                self._due.clear()
                try:
                    async with asyncio.timeout_at(said_s + beat_s):
                        await self._due.wait()
                    continue
                except TimeoutError:
                    piece = BEAT_PIECE
            try:
                await self._socket.send_bytes(piece)
            except OSError:
                return "the connection broke"
            said_s = loop.time()
            self._room.set()

    async def _watch(self) -> str:
        while self._silent_ticks < _TICKS:
            await asyncio.sleep(self._silence_s / _TICKS)
            self._silent_ticks += 1
        return f"nothing was heard from the other device for {self._silence_s:g} seconds"


async def _stop(tasks: list[asyncio.Task[str]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _why(message: aiohttp.WSMessage) -> str:
    """Return why a link ended whose socket said this instead of a piece."""
    if message.type is WSMsgType.CLOSE:
        return closed_there(message.extra or "")
    if message.type is WSMsgType.ERROR and isinstance(message.data, aiohttp.WebSocketError):
        return f"the other device sent what no link carries ({message.data.code})"
    if message.type in (WSMsgType.TEXT, WSMsgType.PING, WSMsgType.PONG):
        return f"the other device sent a {message.type.name.lower()}, which no link carries"
    return "the connection broke"
