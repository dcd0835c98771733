"""One request on its way to its handler: who calls, with what, and how answers are made."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from regend.api.tokens import Grant
from regend.errors import BadInput, NotAuthenticated, RegendError, TooLarge, WrongMediaType
from regend.jsonschema import Schema, check, filled
from regend.jsontext import dumps, loads
from regend.limits import (
    BODY_TIMEOUT_S,
    MAX_BODY_BYTES,
    STRANGERS_BODY_BYTES,
    THREADED_BODY_BYTES,
)

# What reading a body raises where it is cut short or not what its headers say.
BROKEN_BODY = (web.RequestPayloadError, ClientPayloadError, HttpProcessingError)

_WHOLE = re.compile("[0-9]{1,19}")  # the length of the largest that is taken


@dataclass(frozen=True)
class Call:
    """A request whose caller is known.

    Attributes:
        request: as it came.
        known: who calls; None where they did not prove it.
        refusal: why what they sent as proof does not hold, if they sent some.
        query: the parameters, checked by the endpoint's schema.
        body: checked likewise; None where the endpoint takes none.
    """

    request: web.Request
    known: Grant | None
    refusal: RegendError | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None

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

    def checked_query(self, schema: Schema) -> dict[str, Any]:
        """Return every query parameter of a schema: as it was given, or its default, or None.

        Raises:
            BadInput: one is unknown, unfit or given twice; a slip of the pen would else pass for
                an answer.
        """
        given: dict[str, Any] = dict(self.request.query)
        for name, rule in schema["properties"].items():
            values = self.request.query.getall(name, [])
            if len(values) > 1:
                raise BadInput("invalid_parameter", f"“{name}” is given twice.", field=name)
            for value in values:
                given[name] = _checked_text(value, name)
                if rule["type"] == "integer" and _WHOLE.fullmatch(value):
                    given[name] = int(value)
        check(schema, given, noun="parameter")
        return filled(schema, given)

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

    async def checked_body(self, schema: Schema, *, optional: bool = False) -> Any:
        """Return the body with every field of a schema: as it was given, or its default, or None.

        Args:
            optional: an absent body is an empty object.

        Raises:
            RegendError: what `json` raises.
            BadInput: it is not what the schema says, naming the field.
        """
        body = await self.json(optional=optional)
        check(schema, body)
        return filled(schema, body) if "properties" in schema else body


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
