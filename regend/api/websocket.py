"""The WebSocket `/api/v1/ws`, subprotocol `regend.v1`: who is connected, and who no longer may be.

Events are written by the hub; what a session sends are answers. Both write whole frames to the
same transport, so they never mix.
"""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from regend.api.hub import CLOSE_FAILED
from regend.api.stream_session import CLOSE_UNAUTHENTICATED, StreamParts, StreamSession
from regend.api.tokens import Grant
from regend.limits import CLIENT_FRAME_BYTES

log = logging.getLogger("regend.api")

SUBPROTOCOL = "regend.v1"


class Streams:
    """Serves the WebSocket sessions of a daemon."""

    def __init__(self, parts: StreamParts) -> None:
        self._parts = parts
        self._open: set[StreamSession] = set()

    async def serve(self, request: web.Request, grant: Grant) -> web.WebSocketResponse:
        """Run one session until either side ends it."""
        socket = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            compress=False,
            max_msg_size=CLIENT_FRAME_BYTES,
            autoping=False,  # the session answers pings at its own pace
        )
        await socket.prepare(request)
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        session = StreamSession(self._parts, socket, transport, grant)
        self._open.add(session)
        try:
            await session.run()
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception:
            # The outermost loop of a session: its fault ends it, and it alone.
            log.exception("a stream failed")
            session.end(CLOSE_FAILED, "")
        finally:
            self._open.discard(session)
            await session.leave()
        return socket

    def drop_revoked(self) -> None:
        """Close the sessions whose token holds no more."""
        for session in list(self._open):
            if not self._parts.access.holds(session.grant):
                session.end(CLOSE_UNAUTHENTICATED, "token revoked")

    async def close(self) -> None:
        """Close every session, telling it that the daemon goes away."""
        endings = [session.end(1001, "the daemon stops") for session in self._open]
        await asyncio.gather(*endings)
