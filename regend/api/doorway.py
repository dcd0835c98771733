"""How connections begin: bounded in time and number, with errors in the contract's shape at once.

Any program here, and any page in a browser, can open connections. Each is an open file, of which
the daemon's own work needs some: so many stay free, and where that takes it, the oldest connection
that has not proved who it is makes room.

aiohttp bounds how long a connection may rest between two requests, but not how long the head of
the first one may take: whoever sends a byte a minute would hold a connection for ever. And what it
cannot read as HTTP it answers in plain text, quoting it in its log, where a ticket may stand.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from regend.api.guard import GRANT, failure
from regend.api.outflow import Outflow
from regend.clock import Clock, new_id
from regend.errors import BadInput
from regend.limits import (
    FILES_KEPT_FREE,
    HEAD_TIMEOUT_S,
    KEEP_ALIVE_S,
    MAX_CONNECTIONS,
    MAX_LINE_BYTES,
)
from regend.processes import most_files

log = logging.getLogger("regend.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_WORDS_APART_S = 60.0  # whoever floods the door must not fill the log


def most_connections() -> int:
    """Return how many connections leave the daemon's own work the files that it opens."""
    files = most_files()
    if files is None:
        return MAX_CONNECTIONS
    return min(MAX_CONNECTIONS, files - min(FILES_KEPT_FREE, files // 2))


class Doorway:
    """Makes the server's connections and waits for the first request of each.

    Args:
        outflow: watches how each connection is read.
        timeout_s: from connecting to the end of the first request's head.
        most: returns how many connections there may be.
    """

    def __init__(
        self,
        clock: Clock,
        outflow: Outflow,
        timeout_s: float = HEAD_TIMEOUT_S,
        most: Callable[[], int] = most_connections,
    ) -> None:
        self._clock = clock
        self._most = most
        self._open = 0
        self._strangers: dict[asyncio.BaseProtocol, asyncio.Transport] = {}  # the oldest first
        self._next_word_s = 0.0
        self._outflow = outflow
        self._timeout_s = timeout_s
        self._waiting: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}

    def factory(self, server: web.Server) -> Callable[[], asyncio.Protocol]:
        """Return what `loop.create_server` calls for each connection."""

        def connect() -> asyncio.Protocol:
            loop = asyncio.get_running_loop()
            connection = _Connection(
                server,
                loop=loop,
                keepalive_timeout=KEEP_ALIVE_S,
                access_log=None,  # type: ignore[arg-type]
                max_line_size=MAX_LINE_BYTES,
            )
            connection.clock, connection.doorway = self._clock, self
            self._waiting[connection] = loop.call_later(self._timeout_s, self._time_out, connection)
            return connection

        return connect

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Take note that a connection has sent a whole head."""
        timer = self._waiting.pop(request.protocol, None)
        if timer is not None:
            timer.cancel()
        return await handler(request)

    @web.middleware
    async def after_guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Keep the connection of a caller who proved who they are."""
        if GRANT in request:
            self.keep(request)
        return await handler(request)

    def keep(self, request: web.Request) -> None:
        """Let a connection make room for no other."""
        self._strangers.pop(request.protocol, None)

    def opened(self, connection: asyncio.BaseProtocol, transport: asyncio.Transport) -> None:
        """Take a connection in; where there are too many, one goes."""
        self._outflow.watch(transport)
        self._open += 1
        self._strangers[connection] = transport
        if self._open > self._most():
            self._strangers.pop(next(iter(self._strangers))).abort()
            self._say_full()

    def closed(self, connection: asyncio.BaseProtocol, transport: asyncio.Transport) -> None:
        """Take note that a connection has ended."""
        self._outflow.forget(transport)
        self._open -= 1
        self._strangers.pop(connection, None)

    def _say_full(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s >= self._next_word_s:
            self._next_word_s = now_s + _WORDS_APART_S
            log.warning("%d connections are open; strangers among them are cut", self._open)

    def close(self) -> None:
        """Wait for nobody any more."""
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    def _time_out(self, connection: web.RequestHandler) -> None:
        del self._waiting[connection]
        connection.force_close()


class _Connection(web.RequestHandler):
    """aiohttp's connection, watched, and with its own words for what is no HTTP."""

    __slots__ = ("clock", "doorway")

    clock: Clock
    doorway: Doorway

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, and be watched."""
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)
        self.doorway.opened(self, transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        if self.transport is not None:
            self.doorway.closed(self, self.transport)
        super().connection_lost(exc)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the answer to what could not be read, and close the connection.

        Raises:
            ConnectionError: another answer is under way.
        """
        # Anybody can send such requests by the thousand, and must not fill the disk with words.
        log.debug("a request cannot be read (%s)", type(exc).__name__)
        if request.writer.output_size > 0:
            raise ConnectionError("another answer is under way")
        told = BadInput(
            "request_unreadable",
            "This is not a request that the daemon can read.",
            hint=f"Send HTTP/1.1, with lines of at most {MAX_LINE_BYTES} bytes.",
        )
        response = failure(told, new_id(self.clock))
        response.force_close()
        return response
