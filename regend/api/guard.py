"""What every request passes before its handler: host, origin, proof, pace; and its errors' shape.

A page of another origin must reach nothing: the Host and Origin lists are exact, cookies are
SameSite=Strict, and a browser's changing calls carry a CSRF value besides.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from regend.api.access import Access, session_cookie
from regend.api.call import Call, answer, read_body
from regend.api.limiter import RateLimiter
from regend.api.metrics import Metrics
from regend.api.tokens import Grant
from regend.clock import Clock, new_id
from regend.config import ServerConfig
from regend.errors import NotAllowed, NotAuthenticated, RegendError
from regend.limits import MAX_BODY_BYTES, MIB

log = logging.getLogger("regend.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ErrorBody = Callable[[RegendError], dict[str, Any]]

GRANT: web.RequestKey[Grant] = web.RequestKey("grant", Grant)
REFUSAL: web.RequestKey[RegendError] = web.RequestKey("refusal", RegendError)
REQUEST_ID: web.RequestKey[str] = web.RequestKey("request_id", str)
_BEGUN: web.RequestKey[bool] = web.RequestKey("begun", bool)

_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_CHANGING = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_METHODS = _CHANGING | {"GET", "HEAD", "OPTIONS"}
_SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'self'; object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
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
        self.clock = clock
        self._requests = requests
        self._metrics = metrics
        self._hosts: frozenset[str] = frozenset()
        self._origins: frozenset[str] = frozenset()
        self._foreign: dict[str, tuple[str, ErrorBody]] = {}

    def listen_at(self, port: int, scheme: str) -> None:
        """Allow the names under which the daemon is reached at this port."""
        names = {*_LOCAL_NAMES, self._config.host}
        hosts = {f"{name}:{port}" for name in names}
        if port == _DEFAULT_PORTS[scheme]:
            hosts |= names  # clients leave the scheme's own port out
        self._hosts = frozenset(hosts)
        self._origins = frozenset(
            {*(f"{scheme}://{host}" for host in self._hosts), *self._config.allowed_origins}
        )

    def require(self, prefix: str, scope: str, error_body: ErrorBody) -> None:
        """Let only callers with this scope pass to paths that begin so, which are of another
        interface: errors are told there by `error_body`."""
        self._foreign[prefix] = (scope, error_body)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let a request through, or answer why not."""
        request[REQUEST_ID] = new_id(self.clock)
        started = time.monotonic()
        try:
            self._check_origin(request)
            self._admit(request)
            await self._admit_foreign(request)
            response = await handler(request)
        except RegendError as error:
            response = self._failure(request, error)
        except web.HTTPException as error:
            response = self._failure(request, _from_http(error, request))
            if "Allow" in error.headers:
                response.headers["Allow"] = error.headers["Allow"]
        except ConnectionError:
            raise
        except Exception:
            # The outermost loop of a request: a fault is logged here and never shown.
            log.exception("request failed", extra={"request_id": request[REQUEST_ID]})
            fault = RegendError("internal", "The daemon made a mistake.", hint="See its log.")
            response = self._failure(request, fault)
        if request.get(_BEGUN) and not response.prepared:
            # An answer is under way and broke off: all that is left is to end the line.
            raise ConnectionResetError("the answer broke off")
        # Methods are the caller's to make up; as labels they must not grow without bound.
        method = request.method if request.method in _METHODS else "other"
        elapsed_s = time.monotonic() - started
        self._metrics.request_latency.labels(method, response.status).observe(elapsed_s)
        log.debug(
            "%s %s %d",
            method,
            request.rel_url.raw_path,
            response.status,
            extra={"request_id": request[REQUEST_ID]},
        )
        return response

    async def mark(self, request: web.Request, response: web.StreamResponse) -> None:
        """Put on every response, streams too, what each must carry (an `on_response_prepare`)."""
        request[_BEGUN] = True
        for name, value in _SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        response.headers["X-Request-Id"] = request[REQUEST_ID]

    def _admit(self, request: web.Request) -> None:
        """Note who calls, or why their proof does not hold.

        A session's cookie comes by itself, also on calls that need no proof, as the one that opens
        the next session: there an old one must not stand in the way.
        """
        try:
            grant = self._identify(request)
        except (NotAuthenticated, NotAllowed) as refusal:
            if "Authorization" in request.headers:
                raise
            request[REFUSAL] = refusal
            return
        if grant is not None:
            request[GRANT] = grant
            self._requests.take(grant.token_id, "requests", "limits.requests_per_minute")

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

    def _failure(self, request: web.Request, error: RegendError) -> web.Response:
        for prefix, (_, error_body) in self._foreign.items():
            if request.path.startswith(prefix):
                return failure(error, request[REQUEST_ID], error_body(error))
        return failure(error, request[REQUEST_ID])

    async def _admit_foreign(self, request: web.Request) -> None:
        """Check the scope of a call of another interface, and read its body within the bounds."""
        for prefix, (scope, _) in self._foreign.items():
            if request.path.startswith(prefix):
                Call(request, request.get(GRANT), request.get(REFUSAL)).require(scope)
                await read_body(request)  # aiohttp keeps it for the handler

    def _identify(self, request: web.Request) -> Grant | None:
        """Return who calls, None where they did not say.

        Raises:
            NotAuthenticated: what they said does not hold.
        """
        header = request.headers.get("Authorization")
        if header is not None:
            scheme, _, token = header.partition(" ")
            if scheme.lower() != "bearer" or not token:
                raise NotAuthenticated(
                    "not_authenticated",
                    "The Authorization header is of no kind that the daemon knows.",
                    hint="Send Authorization: Bearer TOKEN; see: regend tokens create",
                )
            return self._access.bearer(token.strip())
        cookie = request.cookies.get(session_cookie(request.url.port))
        if cookie is None:
            return None
        session = self._access.session(cookie)
        if not self._access.holds(session.grant):
            raise NotAuthenticated(
                "not_authenticated",
                "The token behind this session has expired or was revoked.",
                hint="Sign in again with a token that holds.",
            )
        if request.method in _CHANGING:
            self._access.check_csrf(session, request.headers.get("X-CSRF-Token"))
        return session.grant


def failure(
    error: RegendError, request_id: str, body: dict[str, Any] | None = None
) -> web.Response:
    """Return the response that tells an error.

    Args:
        body: how another interface tells it; None means the contract's shape.
    """
    body = body or {"error": {**error.to_dict(), "request_id": request_id}}
    headers = {**_SECURITY_HEADERS, "X-Request-Id": request_id}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    return answer(body, error.status, headers)


def _from_http(error: web.HTTPException, request: web.Request) -> RegendError:
    """Return aiohttp's own refusal as one of ours."""
    codes = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}
    messages = {
        404: f"There is nothing at {request.rel_url.raw_path[:200]}.",
        405: f"{request.method[:20]} is not possible here.",
        413: "The body is too large.",
    }
    hints = {413: f"At most {MAX_BODY_BYTES // MIB} MiB are taken; send a document as a file."}
    told = RegendError(
        codes.get(error.status, "refused"),
        messages.get(error.status, error.reason),
        hint=hints.get(error.status, "What there is: /api/v1/openapi.json"),
    )
    told.status = error.status
    return told
