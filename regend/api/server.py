"""The HTTP server: the table of endpoints behind the guard, on one address."""

from __future__ import annotations

import asyncio
import errno
import ssl
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web

from regend.api import openapi, pages
from regend.api.access import Access
from regend.api.call import Call
from regend.api.doorway import Doorway
from regend.api.endpoints import API, Endpoint, route
from regend.api.guard import GRANT, Guard
from regend.api.outflow import Outflow
from regend.api.tokens import Grant
from regend.api.websocket import Streams
from regend.config import ServerConfig, is_loopback
from regend.errors import BadInput, NotAllowed, NotAuthenticated
from regend.jobs.inputs import InputType
from regend.limits import MAX_BODY_BYTES
from regend.models.openai_api import error_body

_BACKLOG = 2048  # a thousand clients may come back at the same moment
_ACCEPTED_AT_ONCE = 16  # each is an open file, some turns of the loop before the doorway sees it
_CLOSE_S = 2.0


class Server:
    """Serves the REST interface and the WebSocket.

    Args:
        more_routes: routes that are not of this interface (the OpenAI-compatible ones).
    """

    def __init__(
        self,
        config: ServerConfig,
        guard: Guard,
        access: Access,
        streams: Streams,
        endpoints: Sequence[Endpoint],
        types: Mapping[str, InputType],
        more_routes: Iterable[web.AbstractRouteDef] = (),
    ) -> None:
        self._config = config
        self._guard = guard
        self._access = access
        self._streams = streams
        self._document = openapi.document(endpoints, types)
        self._outflow = Outflow()
        self._doorway = Doorway(guard.clock, self._outflow)
        self._app = web.Application(
            middlewares=[
                self._doorway.middleware,
                guard.middleware,
                self._doorway.after_guard,
                self._outflow.middleware,
            ],
            client_max_size=MAX_BODY_BYTES,
        )
        self._app.on_response_prepare.append(guard.mark)
        described = Endpoint("GET", f"{API}/openapi.json", self._openapi, "This document", None)
        self._app.add_routes([route(endpoint) for endpoint in (*endpoints, described)])
        self._app.router.add_get(f"{API}/ws", self._websocket)
        self._app.add_routes(pages.routes())
        self._app.add_routes(more_routes)
        guard.require("/v1/", "models:read", error_body)
        self._runner = web.AppRunner(
            self._app, access_log=None, handle_signals=False, shutdown_timeout=_CLOSE_S
        )
        self._listener: asyncio.Server | None = None

    async def start(self, port: int) -> str:
        """Listen, and return the address as a URL.

        Raises:
            NotAllowed: the address is not loopback and TLS is not configured.
            BadInput: the port is taken or may not be used.
        """
        host = self._config.host
        tls = _tls(self._config)
        if not is_loopback(host) and tls is None:
            raise NotAllowed(
                "tls_needed",
                f"{host} can be reached by others, and TLS is not configured.",
                hint="Set tls_certificate and tls_key under [server], or listen on 127.0.0.1.",
            )
        await self._runner.setup()
        assert self._runner.server is not None
        try:
            self._listener = await asyncio.get_running_loop().create_server(
                self._doorway.factory(self._runner.server),
                host,
                port,
                backlog=_ACCEPTED_AT_ONCE,
                ssl=tls,
            )
            for listening in self._listener.sockets:
                with listening.dup() as queue:
                    queue.listen(_BACKLOG)  # asyncio takes one number for both
        except OSError as error:
            raise _cannot_listen(host, port, error) from error
        bound: int = self._listener.sockets[0].getsockname()[1]
        scheme = "https" if tls is not None else "http"
        self._guard.listen_at(bound, scheme)
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{bound}"

    async def stop(self) -> None:
        """Close every connection and stop listening."""
        if self._listener is not None:
            self._listener.close()
        self._doorway.close()
        await self._streams.close()
        await self._runner.cleanup()
        self._outflow.close()

    async def _openapi(self, call: Call) -> dict[str, Any]:
        return self._document

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        grant = self._websocket_grant(request)
        grant.require("jobs:read")
        upgrade = request.headers.get("Upgrade", "").lower()
        if upgrade != "websocket":
            raise BadInput(
                "websocket_expected",
                "This address speaks WebSocket only.",
                hint="For one job, GET /api/v1/jobs/ID/events streams over plain HTTP.",
            )
        self._doorway.keep(request)
        return await self._streams.serve(request, grant)

    def _websocket_grant(self, request: web.Request) -> Grant:
        """Return who opens a stream: by bearer header, or by a ticket.

        A session's cookie alone is not enough: a page of another origin could send it.
        """
        ticket = request.query.get("ticket")
        if ticket is not None:
            return self._access.use_ticket(ticket)
        grant: Grant | None = request.get(GRANT)
        if grant is None or "Authorization" not in request.headers:
            raise NotAuthenticated(
                "not_authenticated",
                "A stream needs a token or a ticket.",
                hint="POST /api/v1/auth/ticket gives a ticket.",
            )
        return grant


def _tls(config: ServerConfig) -> ssl.SSLContext | None:
    if not config.tls_certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        context.load_cert_chain(config.tls_certificate, config.tls_key or None)
    except (OSError, ssl.SSLError) as error:
        raise BadInput(
            "tls_unusable",
            f"The certificate {config.tls_certificate} cannot be used: {error}.",
            field="server.tls_certificate",
        ) from error
    return context


def _cannot_listen(host: str, port: int, error: OSError) -> BadInput:
    if error.errno == errno.EADDRINUSE:
        return BadInput(
            "port_in_use",
            f"Port {port} on {host} is taken by another program.",
            hint="Stop it, or choose another: regend serve --port 0 picks a free one.",
        )
    return BadInput("cannot_listen", f"Cannot listen on {host}:{port}: {error.strerror or error}.")
