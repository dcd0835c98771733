"""Ends connections that open and then say nothing whole.

aiohttp bounds how long a connection may rest between two requests, but not how long the head of
the first one may take: whoever sends a byte a minute would hold a connection for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from regend.limits import HEAD_TIMEOUT_S

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Doorway:
    """Makes the server's connections and waits for the first request of each.

    Args:
        timeout_s: from connecting to the end of the first request's head.
    """

    def __init__(self, timeout_s: float = HEAD_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._waiting: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}

    def factory(self, server: web.Server) -> Callable[[], asyncio.Protocol]:
        """Return what `loop.create_server` calls for each connection."""

        def connect() -> asyncio.Protocol:
            connection = server()
            loop = asyncio.get_running_loop()
            timer = loop.call_later(self._timeout_s, self._time_out, connection)
            self._waiting[connection] = timer
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
