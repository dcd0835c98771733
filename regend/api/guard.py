"""What every request passes before its handler: host, origin, proof, pace; and its errors' shape.

A page of another origin must reach nothing: the Host and Origin lists are exact, cookies are
SameSite=Strict, and a browser's changing calls carry a CSRF value besides.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from aiohttp import web

from regend.api.access import SESSION_COOKIE, Access
from regend.api.call import answer
from regend.api.limiter import RateLimiter
from regend.api.metrics import Metrics
from regend.api.tokens import Grant
from regend.clock import Clock, new_id
from regend.config import ServerConfig
from regend.errors import NotAllowed, NotAuthenticated, RegendError

log = logging.getLogger("regend.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

GRANT: web.RequestKey[Grant] = web.RequestKey("grant", Grant)
REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)

_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Decides who may pass, and turns every error into the contract's shape."""

    def __init__(
        self,
        access: Access,
        config: ServerConfig,
        clock: Clock,
        requests: RateLimiter,
        metrics: Metrics,
    ) -> None:
        self._access = access
        self._config = config
        self._clock = clock
        self._requests = requests
        self._metrics = metrics
        self._hosts: frozenset[str] = frozenset()
        self._origins: frozenset[str] = frozenset()
        self._required: list[tuple[str, str]] = []

    def listen_at(self, port: int, scheme: str) -> None:
        """Allow the names under which the daemon is reached at this port."""
        names = {*_LOCAL_NAMES, self._config.host}
        self._hosts = frozenset(f"{name}:{port}" for name in names)
        self._origins = frozenset(
            {*(f"{scheme}://{host}" for host in self._hosts), *self._config.allowed_origins}
        )

    def require(self, prefix: str, scope: str) -> None:
        """Let only callers with this scope pass to paths that begin so."""
        self._required.append((prefix, scope))

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through, or answer why not."""
        request[REQUEST_ID] = new_id(self._clock)
        started = time.monotonic()
        try:
            self._check_origin(request)
            grant = await self._identify(request)
            if grant is not None:
                request[GRANT] = grant
                self._requests.take(grant.token_id, "requests")
            self._check_scope(request.path, grant)
            response = await handler(request)
        except RegendError as error:
            response = failure(error, request[REQUEST_ID])
        except web.HTTPException as error:
            response = _from_http(error, request)
        except (ConnectionError, TimeoutError):
            raise
        except Exception:
            # The outermost loop of a request: a fault is logged here and never shown.
            log.exception("request %s failed", request[REQUEST_ID])
            response = failure(
                RegendError("internal", "The daemon made a mistake.", hint="See its log."),
                request[REQUEST_ID],
            )
        elapsed_s = time.monotonic() - started
        self._metrics.request_latency.labels(request.method, response.status).observe(elapsed_s)
        log.debug(
            "%s %s %d",
            request.method,
            request.path,
            response.status,
            extra={"request_id": request[REQUEST_ID]},
        )
        if not response.prepared:
            response.headers.update(_SECURITY_HEADERS)
            response.headers["X-Request-Id"] = request[REQUEST_ID]
        return response

    def _check_origin(self, request: web.Request) -> None:
        host = request.headers.get("Host", "")
        if host not in self._hosts:
            raise NotAllowed(
                "foreign_host",
                "The daemon is not reached under this name.",
                hint=f"Use one of {', '.join(sorted(self._hosts))}.",
            )
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self._origins:
            raise NotAllowed(
                "foreign_origin",
                "Pages of another origin may not call this daemon.",
                hint="To allow one, add it to [server] allowed_origins in config.toml.",
            )

    def _check_scope(self, path: str, grant: Grant | None) -> None:
        for prefix, scope in self._required:
            if not path.startswith(prefix):
                continue
            if grant is None:
                raise NotAuthenticated("not_authenticated", "This call needs a token.")
            if not grant.allows(scope):
                raise NotAllowed("scope", f"This token may not do that; it lacks {scope}.")

    async def _identify(self, request: web.Request) -> Grant | None:
        """Return who calls, None where they did not say.

        Raises:
            NotAuthenticated: what they said does not hold.
        """
        header = request.headers.get("Authorization")
        if header is not None:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise NotAuthenticated("not_authenticated", "Authorization must be “Bearer TOKEN”.")
            return await self._access.bearer(token.strip())
        cookie = request.cookies.get(SESSION_COOKIE)
        if cookie is None:
            return None
        session = self._access.session(cookie)
        if not await self._access.still_holds(session.grant):
            raise NotAuthenticated("not_authenticated", "The session's token was revoked.")
        if request.method in _CHANGING:
            self._access.check_csrf(session, request.headers.get("X-CSRF-Token"))
        return session.grant


def failure(error: RegendError, request_id: str) -> web.Response:
    """Return the response that tells an error."""
    body = {"error": {**error.to_dict(), "request_id": request_id}}
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return answer(body, error.status, headers)


def _from_http(error: web.HTTPException, request: web.Request) -> web.Response:
    """Return aiohttp's own refusals in the contract's shape."""
    codes = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
    messages = {
        404: f"There is nothing at {urlsplit(request.path).path[:200]}.",
        405: f"{request.method} is not possible here.",
        413: "The body is too large.",
    }
    told = RegendError(codes.get(error.status, "refused"), messages.get(error.status, error.reason))
    response = failure(told, request[REQUEST_ID])
    response.set_status(error.status)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def is_loopback(host: str) -> bool:
    """Tell whether a listen address is reachable from this machine only."""
    return host in ("localhost", "::1") or host.startswith("127.")


def umask_private() -> None:
    """Make every file that this process creates private to its owner."""
    os.umask(0o077)
