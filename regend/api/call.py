"""One request on its way to its handler: who calls, with what, and how answers are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiohttp import web

from regend.api.tokens import Grant
from regend.errors import BadInput, NotAuthenticated, WrongMediaType
from regend.jsontext import dumps, loads
from regend.limits import DEFAULT_PAGE_LENGTH, MAX_INTEGER, MAX_PAGE_LENGTH


@dataclass(frozen=True)
class Call:
    """A request whose caller is known.

    Attributes:
        request: as it came.
        known: who calls; None on the few calls that need no proof.
    """

    request: web.Request
    known: Grant | None

    @property
    def grant(self) -> Grant:
        """Who calls.

        Raises:
            NotAuthenticated: they did not say.
        """
        if self.known is None:
            raise NotAuthenticated("not_authenticated", "This call needs a token.")
        return self.known

    @property
    def user(self) -> str:
        """The name of who calls."""
        return self.grant.user

    def path(self, name: str) -> str:
        """Return a part of the path."""
        return self.request.match_info[name]

    def text(self, name: str) -> str | None:
        """Return a query parameter, None where it is not given.

        Raises:
            BadInput: it is given twice, or holds what is no text.
        """
        values = self.request.query.getall(name, [])
        if len(values) > 1:
            raise BadInput("invalid_parameter", f"“{name}” is given twice.", field=name)
        if values:
            try:
                values[0].encode()
            except UnicodeEncodeError as error:
                raise BadInput(
                    "invalid_parameter", f"“{name}” is not valid UTF-8.", field=name
                ) from error
        return values[0] if values else None

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

    async def json(self, *, optional: bool = False) -> Any:
        """Return the body.

        Args:
            optional: an absent body is an empty object.

        Raises:
            WrongMediaType: the body is not declared as JSON.
            BadInput: it is not JSON, or not such as can be stored.
        """
        body = await self.request.read()
        if not body and optional:
            return {}
        if self.request.content_type != "application/json":
            raise WrongMediaType(
                "json_expected",
                "The body must be JSON.",
                hint="Send it with Content-Type: application/json.",
            )
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


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """Return a JSON response."""
    return web.Response(
        body=dumps(value).encode(),
        status=status,
        content_type="application/json",
        charset="utf-8",
        headers=headers,
    )
