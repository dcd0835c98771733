"""One request on its way to its handler: who calls, with what, and how answers are made."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from regend.api.tokens import Grant
from regend.errors import BadInput, NotAuthenticated, RegendError, TooLarge, WrongMediaType
from regend.jsontext import dumps, loads
from regend.limits import (
    BODY_TIMEOUT_S,
    DEFAULT_PAGE_LENGTH,
    MAX_BODY_BYTES,
    MAX_INTEGER,
    MAX_PAGE_LENGTH,
    STRANGERS_BODY_BYTES,
    THREADED_BODY_BYTES,
)

# What reading a body raises where it is cut short or not what its headers say.
BROKEN_BODY = (web.RequestPayloadError, ClientPayloadError, HttpProcessingError)


@dataclass(frozen=True)
class Call:
    """A request whose caller is known.

    Attributes:
        request: as it came.
        known: who calls; None where they did not prove it.
        refusal: why what they sent as proof does not hold, if they sent some.
    """

    request: web.Request
    known: Grant | None
    refusal: RegendError | None = None

    @property
    def grant(self) -> Grant:
        """Who calls.

        Raises:
            NotAuthenticated: they did not say.
            NotAllowed: a browser's call without its session's CSRF value.
        """
        if self.known is None:
            raise self.refusal or NotAuthenticated(
                "not_authenticated",
                "This call needs a token.",
                hint="Send Authorization: Bearer TOKEN; see: regend tokens create",
            )
        return self.known

    def require(self, scope: str) -> None:
        """Refuse a caller who is unknown or lacks a scope.

        Raises:
            NotAuthenticated: they are not known.
            NotAllowed: their token lacks the scope.
        """
        self.grant.require(scope)

    @property
    def user(self) -> str:
        """The name of who calls."""
        return self.grant.user

    def path(self, name: str) -> str:
        """Return a part of the path.

        Raises:
            BadInput: it holds what is no text.
        """
        return _checked_text(self.request.match_info[name], name)

    def header(self, name: str) -> str | None:
        """Return a header, None where it is not given.

        Raises:
            BadInput: it is given twice, or holds what is no text.
        """
        values = self.request.headers.getall(name, [])
        if len(values) > 1:
            raise BadInput("invalid_header", f"“{name}” is given twice.", field=name)
        return _checked_text(values[0], name) if values else None

    def key(self) -> str | None:
        """Return the idempotency key, None where none is given."""
        return self.header("Idempotency-Key")

    def check_parameters(self, known: Collection[str]) -> None:
        """Refuse query parameters that this call does not know: a slip of the pen would else pass
        for an answer.

        Raises:
            BadInput: there is one.
        """
        for name in self.request.query:
            if name not in known:
                hint = f"Parameters: {', '.join(known)}." if known else "No parameter is taken."
                shown = name[:60].encode(errors="replace").decode()
                raise BadInput(
                    "unknown_parameter",
                    f"There is no parameter “{shown}” here.",
                    hint=hint,
                    field=shown or None,
                )

    def text(self, name: str) -> str | None:
        """Return a query parameter, None where it is not given.

        Raises:
            BadInput: it is given twice, or holds what is no text.
        """
        values = self.request.query.getall(name, [])
        if len(values) > 1:
            raise BadInput("invalid_parameter", f"“{name}” is given twice.", field=name)
        return _checked_text(values[0], name) if values else None

    def whole(self, name: str, default: int, low: int, high: int) -> int:
        """Return a query parameter that is a whole number within bounds.

        Raises:
            BadInput: it is not.
        """
        value = self.text(name)
        if value is None:
            return default
        fits = value.isascii() and value.isdigit() and len(value) < 20
        if not fits or not low <= int(value) <= high:
            raise BadInput(
                "invalid_parameter",
                f"“{name}” must be a whole number from {low} to {high}.",
                field=name,
            )
        return int(value)

    def limit(self) -> int:
        """Return how many entries a page may have."""
        return self.whole("limit", DEFAULT_PAGE_LENGTH, 1, MAX_PAGE_LENGTH)

    def after_seq(self) -> int:
        """Return the position after which events are wanted."""
        return self.whole("after_seq", 0, 0, MAX_INTEGER)

    def wants_stream(self) -> bool:
        """Tell whether events are wanted as they happen."""
        accepted = self.request.headers.get("Accept", "")
        return self.request.method == "GET" and "text/event-stream" in accepted

    async def json(self, *, optional: bool = False) -> Any:
        """Return the body.

        Args:
            optional: an absent body is an empty object.

        Raises:
            WrongMediaType: the body is not declared as JSON.
            BadInput: it is not JSON, or not such as can be stored.
            TooLarge: it is over the bound, which is low for who has not proved who they are.
        """
        request = self.request
        if request.body_exists and request.content_type != "application/json":
            raise _json_expected()
        is_stranger = self.known is None
        body = await read_body(request, STRANGERS_BODY_BYTES if is_stranger else MAX_BODY_BYTES)
        if not body and optional:
            return {}
        if request.content_type != "application/json":
            raise _json_expected()
        if len(body) > THREADED_BODY_BYTES:
            return await asyncio.to_thread(loads, body)
        return loads(body)

    async def object(self, *fields: str, optional: bool = False) -> dict[str, Any]:
        """Return the body, an object with no other than these fields.

        Raises:
            BadInput: it is not, naming the field.
        """
        body = await self.json(optional=optional)
        if not isinstance(body, dict):
            raise BadInput("invalid_body", "The body must be an object.")
        for name in body:
            if name not in fields:
                raise BadInput(
                    "unknown_field",
                    f"There is no field “{name[:60]}” here.",
                    hint=f"Fields: {', '.join(fields)}." if fields else "No field is taken.",
                    field=name,
                )
        return body


async def read_body(request: web.Request, largest_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Return the whole body.

    Raises:
        BadInput: it ends early, comes too slowly or is encoded wrongly.
        TooLarge: it is over the bound.
    """
    if (request.content_length or 0) > largest_bytes:
        raise _too_large(largest_bytes)
    request._client_max_size = largest_bytes
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except TimeoutError as error:
        raise BadInput("body_slow", "The body took too long to arrive.") from error
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large(largest_bytes) from error
    except BROKEN_BODY as error:
        raise BadInput("body_broken", "The body is cut short or wrongly encoded.") from error


def _too_large(largest_bytes: int) -> TooLarge:
    return TooLarge(
        "body_too_large",
        f"The body has more than {largest_bytes:,} bytes.",
        hint="Send a document as a file.",
    )


def _checked_text(value: str, name: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise BadInput("invalid_text", f"“{name}” is not valid UTF-8.", field=name) from error
    return value


def _json_expected() -> WrongMediaType:
    return WrongMediaType(
        "json_expected",
        "The body must be JSON.",
        hint="Send it with Content-Type: application/json.",
    )


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON response."""
    return web.Response(
        body=dumps(value).encode(),
        status=status,
        content_type="application/json",
        charset="utf-8",
        headers=headers,
    )
