"""How connections begin: bounded in time, and with errors in the contract's shape from the first.

aiohttp bounds how long a connection may rest between two requests, but not how long the head of
the first one may take: whoever sends a byte a minute would hold a connection for ever. And what it
cannot read as HTTP it answers in plain text, quoting it in its log, where a ticket may stand.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web

from regend.api.guard import failure
from regend.api.outflow import Outflow
from regend.clock import Clock, new_id
from regend.errors import BadInput
from regend.limits import HEAD_TIMEOUT_S, KEEP_ALIVE_S, MAX_LINE_BYTES

log = logging.getLogger("regend.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Doorway:
    """Makes the server's connections and waits for the first request of each.

    Args:
        outflow: watches how each connection is read.
        timeout_s: from connecting to the end of the first request's head.
    """

    def __init__(self, clock: Clock, outflow: Outflow, timeout_s: float = HEAD_TIMEOUT_S) -> None:
        self._clock = clock
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
            connection.clock, connection.outflow = self._clock, self._outflow
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

    __slots__ = ("clock", "outflow")

    clock: Clock
    outflow: Outflow

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, and be watched."""
        super().connection_made(transport)
        assert self.transport is not None
        self.outflow.watch(self.transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        if self.transport is not None:
            self.outflow.forget(self.transport)
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
        log.info("a request cannot be read (%s)", type(exc).__name__)
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
