"""How answers leave: whoever does not read holds neither memory nor a connection for long.

Rules
1. A connection on which something waits, and nothing could be written for `ANSWER_STALL_S`, is
   cut, whatever it carries.
2. A large answer goes out in pieces, so that it is in memory once.
3. Large answers that wait at the same time are `WAITING_ANSWERS_BYTES` at most; one that would be
   more is refused. A single one is taken whatever its size.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator
from io import BytesIO

from aiohttp import web

from regend.errors import Busy
from regend.limits import ANSWER_STALL_S, LARGE_ANSWER_BYTES, WAITING_ANSWERS_BYTES

log = logging.getLogger("regend.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_LOOKS = 6  # at each connection before it counts as stalled
_RETRY_S = 1.0


class Outflow:
    """Watches the connections of a server, and makes room for its large answers.

    Args:
        stall_s: how long a connection may hold what cannot be written.
        large_bytes: an answer over this size needs room.
        waiting_bytes: how much of large answers may wait at once.
    """

    def __init__(
        self,
        stall_s: float = ANSWER_STALL_S,
        large_bytes: int = LARGE_ANSWER_BYTES,
        waiting_bytes: int = WAITING_ANSWERS_BYTES,
    ) -> None:
        self._stall_s = stall_s
        self._large_bytes = large_bytes
        self._room_bytes = waiting_bytes
        self._taken_bytes = 0
        self._unread: dict[asyncio.Transport, tuple[int, float]] = {}
        self._next_look: asyncio.TimerHandle | None = None

    def watch(self, transport: asyncio.Transport) -> None:
        """Cut this connection when its reader stalls."""
        loop = asyncio.get_running_loop()
        self._unread[transport] = (0, loop.time())
        if self._next_look is None:
            self._next_look = loop.call_later(self._stall_s / _LOOKS, self._look)

    def forget(self, transport: asyncio.Transport) -> None:
        """Take note that a connection has ended."""
        self._unread.pop(transport, None)

    def close(self) -> None:
        """Watch nobody any more."""
        self._unread.clear()
        if self._next_look is not None:
            self._next_look.cancel()

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Send a large answer in pieces, while there is room for it.

        Raises:
            Busy: too much waits for readers already.
        """
        response = await handler(request)
        if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
            return response
        size_bytes = len(response.body)
        if size_bytes > self._large_bytes:
            with self._room(size_bytes), contextlib.suppress(ConnectionResetError):
                response.body = BytesIO(response.body)
                await response.prepare(request)
                await response.write_eof()
        return response

    @contextlib.contextmanager
    def _room(self, size_bytes: int) -> Iterator[None]:
        if self._taken_bytes and self._taken_bytes + size_bytes > self._room_bytes:
            raise Busy(
                "answers_waiting",
                "Too many large answers wait for readers that are slow.",
                hint="Read those that are under way, or ask for less at a time.",
                retry_after_s=_RETRY_S,
            )
        self._taken_bytes += size_bytes
        try:
            yield
        finally:
            self._taken_bytes -= size_bytes

    def _look(self) -> None:
        """Cut whoever has read nothing since long."""
        loop = asyncio.get_running_loop()
        now_s = loop.time()
        for transport, (before_bytes, since_s) in list(self._unread.items()):
            unread_bytes = transport.get_write_buffer_size()
            if unread_bytes == 0 or unread_bytes < before_bytes:
                since_s = now_s
            elif now_s - since_s >= self._stall_s:
                log.info("a connection was cut: its reader does not read")
                transport.abort()
            self._unread[transport] = (unread_bytes, since_s)
        wait_s = self._stall_s / _LOOKS
        self._next_look = loop.call_later(wait_s, self._look) if self._unread else None
