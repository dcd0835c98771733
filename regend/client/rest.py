"""The daemon's REST calls, each as one method; errors come back as `RegendError` classes.

Nothing is tried twice by itself: `Busy` and `RateLimited` say when to come back, and what is given
again under the same idempotency key is carried out once.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp

from regend.client.address import Address, RefusedConnection
from regend.client.backoff import Backoff
from regend.client.calls import Approvals, Jobs, Library, Models, Tokens
from regend.client.protocol import SUBPROTOCOL, StreamProtocol
from regend.client.records import Health
from regend.client.stream import Stream
from regend.clock import SystemClock, new_id
from regend.errors import Failed, RegendError, Retryable, not_running
from regend.home import Home
from regend.limits import HEARTBEAT_COMMENT_S, STREAM_CONNECT_TIMEOUT_S, STREAM_FRAME_BYTES

_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=STREAM_CONNECT_TIMEOUT_S, sock_read=120)
_SOCKET_TIMEOUT = aiohttp.ClientWSTimeout(ws_receive=None, ws_close=1.0)


class Client:
    """A caller of one daemon; close it, or use it as an async context manager.

    Args:
        url: address of the daemon; None for the one of the home.
        token: bearer token; None for the owner's token of the home.
        home: None for `Home.find()`.

    Attributes:
        jobs: create, list, steer and inspect jobs.
        approvals: what waits for a person.
        library: the person's documents.
        models: models that are here or can be.
        tokens: who may call.
    """

    def __init__(
        self, url: str | None = None, token: str | None = None, home: Home | None = None
    ) -> None:
        self._address = Address(url, token, home or Home.find())
        self._clock = SystemClock()
        self._session: aiohttp.ClientSession | None = None
        self.jobs = Jobs(self.request, lambda: new_id(self._clock))
        self.approvals = Approvals(self.request)
        self.library = Library(self.request)
        self.models = Models(self.request)
        self.tokens = Tokens(self.request)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; streams are closed by their own context."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def health(self) -> Health:
        """Return what the daemon says of itself; needs no token."""
        health: Health = await self.request("GET", "/health", authenticated=False)
        return health

    def stream(
        self,
        jobs: Sequence[str] | None = None,
        after_seq: int | None = None,
        epoch: str | None = None,
        *,
        backoff: Backoff | None = None,
    ) -> Stream:
        """Return the event stream; enter it, then iterate it.

        Args:
            jobs: ids of the jobs to follow; None for all of the caller's.
            after_seq: go on after this position; 0 for all that is kept, None for from now on.
            epoch: the history that `after_seq` belongs to, if it was kept with it.
            backoff: waits between connections; None for the contract's.

        Raises:
            BadInput: `after_seq` or `jobs` are not usable.
        """
        protocol = StreamProtocol(
            jobs=jobs,
            after_seq=after_seq,
            epoch=epoch,
            random=random.random,
            new_key=lambda: new_id(self._clock),
            backoff=backoff or Backoff(),
        )
        return Stream(protocol, self._open_socket, self._clock)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        form: aiohttp.FormData | aiohttp.MultipartWriter | None = None,
        headers: Mapping[str, str] | None = None,
        authenticated: bool = True,
    ) -> Any:
        """Make one call and return its JSON; None where there is none.

        Args:
            method: HTTP method.
            path: from the root, as in `/api/v1/jobs`.
            query: parameters; those that are None are left out.
            body: JSON body.
            form: multipart body, instead of `body`.
            headers: further headers.
            authenticated: whether to send the token.

        Raises:
            RegendError: what the daemon answered, as the class of its status.
            Busy: no daemon answers (`daemon_not_running`).
            Retryable: the connection broke before the answer was whole (`answer_lost`).
        """
        url = self._address.base().with_path(path, encoded=True)
        all_headers = dict(headers or {})
        if authenticated:
            all_headers["Authorization"] = f"Bearer {self._address.bearer()}"
        try:
            async with self._open_session().request(
                method,
                url.with_query(_query(query or {})),
                json=body,
                data=form,
                headers=all_headers,
                allow_redirects=False,
            ) as response:
                content = await response.read()
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise not_running() from error
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _answer_lost(error) from error
        return _answer(response.status, content, response.headers.get("Retry-After"))

    async def _open_socket(self) -> aiohttp.ClientWebSocketResponse:
        try:
            url = self._address.base()
            bearer = self._address.bearer()
        except RegendError as error:
            raise RefusedConnection(error.status, error, None) from error
        try:
            return await self._open_session().ws_connect(
                url.with_path("/api/v1/ws"),
                protocols=(SUBPROTOCOL,),
                headers={"Authorization": f"Bearer {bearer}"},
                timeout=_SOCKET_TIMEOUT,
                heartbeat=HEARTBEAT_COMMENT_S,
                max_msg_size=STREAM_FRAME_BYTES,
                compress=0,
            )
        except aiohttp.WSServerHandshakeError as error:
            retry_after = error.headers.get("Retry-After") if error.headers else None
            refusal = _error(error.status, b"", retry_after)
            raise RefusedConnection(error.status, refusal, refusal.retry_after_s) from error

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session


def _query(query: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in query.items() if value is not None}


def _answer(status: int, content: bytes, retry_after: str | None) -> Any:
    if not 200 <= status < 300:
        raise _error(status, content, retry_after)
    if not content:
        return None
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Failed(
            "answer_not_understood",
            "What answers at the daemon's address does not speak its language.",
            hint="Check the address, and that client and daemon are of the same version.",
        ) from error


def _answer_lost(error: Exception) -> Retryable:
    reason = "took too long" if isinstance(error, TimeoutError) else "broke off"
    return Retryable(
        "answer_lost",
        f"The daemon's answer {reason}; whether the call was carried out is not known.",
        hint="Look before you repeat it: only with the same idempotency key is it done once.",
    )


def _error(status: int, content: bytes, retry_after: str | None) -> RegendError:
    """Return the error that an answer carries; its class follows the status."""
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        parsed = None
    body = parsed.get("error") if isinstance(parsed, dict) else None
    if not isinstance(body, dict):
        body = {"code": f"http_{status}", "message": f"The daemon answered with HTTP {status}."}
    error = RegendError.from_dict(body, status)
    if error.retry_after_s is None and retry_after is not None and retry_after.isdecimal():
        error.retry_after_s = float(retry_after)
    if "request_id" in body:
        error.add_note(f"request {body['request_id']}")
    return error
