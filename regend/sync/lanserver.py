"""The one port on which a person's other devices call this one, and newcomers pair.

    /mesh  for members: their certificate is one of the roster's, or the answer is 403
    /pair  for newcomers, who have no certificate yet: only while an invite is open

Invariants
1. Nothing is read from a connection, and nothing told to it, before this table let it in: what a
   stranger learns is the certificate, and that there is no such page.
2. A member is who its certificate says: it is compared byte by byte with the roster's, because a
   trusted certificate could have signed another.
3. Every number of connections is bounded, and so is the time of all that are not links.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from aiohttp import hdrs, web

from regend.errors import RegendError
from regend.limits import (
    KIB,
    LINK_CLOSE_S,
    LINK_SILENCE_S,
    LINKS,
    PAIRING_MESSAGE_BYTES,
    PAIRING_S,
    PAIRINGS,
    STRANGER_S,
)
from regend.sync.device import device_of_certificate
from regend.sync.doorstep import Doorstep, Stranger
from regend.sync.link import Link
from regend.sync.pairingchannel import PairingChannel
from regend.sync.tls import Credentials, server_context
from regend.sync.weblink import MAX_SOCKET_MESSAGE_BYTES, WebLink

log = logging.getLogger("regend.sync")

MESH_PORT: Final = 7868
MESH_PATH: Final = "/mesh"
PAIR_PATH: Final = "/pair"
_LINE_BYTES: Final = 2 * KIB
_HEAD_BYTES: Final = 8 * KIB  # those of devices have a few hundred bytes

PairingHandler = Callable[[PairingChannel], Awaitable[None]]


class LanServer:
    """Takes links from members and pairings from newcomers; see the numbered invariants above.

    Args:
        on_link: is given every link that a member opened.
        silence_s: after so long without a sign of life a member is gone.
        stranger_s: how long a connection may take to show who it is.

    Raises:
        Failed: `identity_unusable`; the keys cannot be read.
    """

    def __init__(
        self,
        credentials: Credentials,
        on_link: Callable[[Link], None],
        *,
        silence_s: float = LINK_SILENCE_S,
        stranger_s: float = STRANGER_S,
    ) -> None:
        self._credentials = credentials
        self._on_link = on_link
        self._silence_s = silence_s
        self._members: dict[bytes, bytes] = {}
        self._context = server_context(credentials, ())
        self._pairing: PairingHandler | None = None
        self._pairing_hosts: set[str] = set()
        self._links: set[WebLink] = set()
        self._visits: set[asyncio.Task[None]] = set()
        self._doorstep = Doorstep(self._current_context, self._connection, stranger_s)
        self._http: web.Server | None = None

    @property
    def strangers(self) -> int:
        """How many connections have not shown yet who they are."""
        return self._doorstep.strangers

    async def start(self, port: int = MESH_PORT) -> int:
        """Listen on all local addresses, IPv4 and IPv6, and return the port.

        Args:
            port: 0 for any that is free.

        Raises:
            BadInput: `port_in_use` or `cannot_listen`.
        """
        self._http = web.Server(self._answer)
        return self._doorstep.open(port)

    async def stop(self) -> None:
        """Close every link and connection, and listen no more. Twice is once."""
        await self._doorstep.close()
        for visit in self._visits:
            visit.cancel()
        await asyncio.gather(*(link.close("it stops") for link in self._links))
        if self._visits:
            await asyncio.wait(self._visits, timeout=LINK_CLOSE_S)
        if self._http is not None:
            gone = [one.gone for one in self._http.connections if isinstance(one, _Connection)]
            await self._http.shutdown(LINK_CLOSE_S)
            await asyncio.gather(*(one.wait() for one in gone))
            self._http = None

    def set_members(self, certificates: Iterable[bytes]) -> None:
        """Say who is a living member from now on; links that are open are the caller's to close.

        Args:
            certificates: DER, one to a member; this device's own does not matter.

        Raises:
            Refused: `certificate_unfit`; nothing was changed.
        """
        others = [one for one in certificates if one != self._credentials.certificate]
        members = {certificate: device_of_certificate(certificate) for certificate in others}
        self._context = server_context(self._credentials, members)
        self._members = members

    def set_pairing(self, handler: PairingHandler | None) -> None:
        """Say who takes newcomers from now on; None while no invite is open.

        The channel is closed when the handler returns, and the handler cancelled after `PAIRING_S`.
        """
        self._pairing = handler

    def _current_context(self) -> ssl.SSLContext:
        return self._context

    def _connection(self, stranger: Stranger) -> _Connection:
        assert self._http is not None
        return _Connection(self._http, stranger)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection, transport = request.protocol, request.transport
        if not isinstance(connection, _Connection) or not isinstance(transport, asyncio.Transport):
            return _refusal(400)  # gone meanwhile
        shown = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
        visit = _Visit(request, transport, connection.stranger)
        if request.path == MESH_PATH and request.method == hdrs.METH_GET:
            device = self._members.get(shown or b"")
            return _refusal(403) if device is None else await self._mesh(visit, device)
        if request.path == PAIR_PATH and request.method == hdrs.METH_GET and not shown:
            handler = self._pairing
            return _refusal(404) if handler is None else await self._pair(visit, handler)
        return _refusal(404)

    async def _mesh(self, visit: _Visit, device: bytes) -> web.StreamResponse:
        if len(self._links) >= LINKS:
            return _refusal(503)
        socket = await visit.open_socket(MAX_SOCKET_MESSAGE_BYTES)
        if socket is None:
            return _refusal(400)
        link = WebLink(
            socket, device, visit.stranger.written, visit.hang_up, silence_s=self._silence_s
        )
        self._links.add(link)
        try:
            self._on_link(link)
            await link.ended()
        finally:
            await link.cut()
            self._links.discard(link)
        return socket

    async def _pair(self, visit: _Visit, handler: PairingHandler) -> web.StreamResponse:
        host = visit.stranger.host
        if host in self._pairing_hosts or len(self._pairing_hosts) >= PAIRINGS:
            return _refusal(429)
        self._pairing_hosts.add(host)
        try:
            socket = await visit.open_socket(PAIRING_MESSAGE_BYTES + 1)
            if socket is None:
                return _refusal(400)
            channel = PairingChannel(socket, visit.stranger.written, None, visit.hang_up)
            task = asyncio.create_task(_run_pairing(channel, handler))
            self._visits.add(task)
            try:
                await task
                await channel.close()
            finally:
                self._visits.discard(task)
                await visit.hang_up()
            return socket
        finally:
            self._pairing_hosts.discard(host)


async def _run_pairing(channel: PairingChannel, handler: PairingHandler) -> None:
    try:
        async with asyncio.timeout(PAIRING_S):
            await handler(channel)
    except (RegendError, TimeoutError) as error:
        log.info("a pairing with %s failed: %s", channel.address, error or "it took too long")


class _Visit:
    """One request that may become a WebSocket."""

    def __init__(
        self, request: web.BaseRequest, transport: asyncio.Transport, stranger: Stranger
    ) -> None:
        self.stranger = stranger
        self._request = request
        self._transport = transport

    async def open_socket(self, max_message_bytes: int) -> web.WebSocketResponse | None:
        """Answer with a WebSocket; None where none was asked for."""
        socket = web.WebSocketResponse(
            timeout=LINK_CLOSE_S,
            compress=False,
            autoping=False,  # who pings and reads no answer would hold up who reads
            max_msg_size=max_message_bytes,
        )
        if not socket.can_prepare(self._request):
            return None
        socket.headers[hdrs.SERVER] = ""
        self.stranger.settle()  # first: what it says to that may come at once, and be long
        await socket.prepare(self._request)
        return socket

    async def hang_up(self) -> None:
        """Cut the connection."""
        self._transport.abort()


class _Connection(web.RequestHandler):
    """aiohttp's connection, which says nothing of itself to what it cannot read."""

    __slots__ = ("_said_bytes", "gone", "stranger")

    def __init__(self, server: web.Server, stranger: Stranger) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]
            keepalive_timeout=STRANGER_S,
            lingering_time=0,
            max_line_size=_LINE_BYTES,
            max_field_size=_LINE_BYTES,
            max_headers=32,
        )
        self.stranger = stranger
        self.gone = asyncio.Event()
        self._said_bytes = 0

    def data_received(self, data: bytes) -> None:
        """Read what came, unless it is more than one that is not known yet has to say.

        The parser would refuse it too, but keep it all in the error.
        """
        self._said_bytes += len(data)
        if self.stranger.is_known or self._said_bytes <= _HEAD_BYTES:
            super().data_received(data)
        elif isinstance(self.transport, asyncio.WriteTransport):
            self.transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End."""
        self.stranger.settle()
        super().connection_lost(exc)
        self.gone.set()

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
        if request.writer.output_size > 0:
            raise ConnectionError("another answer is under way")
        return _refusal(status)


def _refusal(status: int) -> web.Response:
    response = web.Response(status=status, headers={hdrs.SERVER: ""})
    response.force_close()
    return response
