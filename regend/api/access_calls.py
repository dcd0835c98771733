"""Calls about who may call: tokens, browser sessions, tickets."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from regend.api.access import Access, session_cookie
from regend.api.body import optional_text, required_text, unfit
from regend.api.call import Call, answer
from regend.api.endpoints import API, Endpoint, fields, listing, optional, text
from regend.api.tokens import tokens
from regend.api.websocket import Streams
from regend.store import Store

_LONGEST_LIFE_S = 10 * 365 * 24 * 3600.0
_NAME_CHARACTERS = 200


class AccessCalls:
    """Handlers of `/tokens` and `/auth`."""

    def __init__(self, store: Store, access: Access, streams: Streams, *, secure: bool) -> None:
        self._store = store
        self._access = access
        self._streams = streams
        self._secure = secure

    def endpoints(self) -> list[Endpoint]:
        """Return the table of these calls."""
        return [*self._of_tokens(), *self._of_browsers()]

    def _of_tokens(self) -> list[Endpoint]:
        path = API + "/tokens"
        new_token = fields(
            "user",
            "scope",
            user=text(minLength=1, maxLength=100, pattern="\\S"),
            scope={"type": ["string", "array"], "items": text()},
            expires_s={"type": ["number", "null"], "exclusiveMinimum": 0},
            name=optional(text(maxLength=_NAME_CHARACTERS)),
        )
        created = {"type": "object", "required": ["id", "token"]}
        return [
            Endpoint(
                "POST",
                path,
                self.create,
                "Give out a token",
                "admin",
                body=new_token,
                status=201,
                answers=created,
            ),
            Endpoint(
                "GET",
                path,
                self.list,
                "List the tokens that were given out",
                "admin",
                answers=listing("tokens"),
            ),
            Endpoint(
                "DELETE",
                path + "/{token_id}",
                self.revoke,
                "Revoke a token",
                "admin",
                status=204,
            ),
        ]

    def _of_browsers(self) -> list[Endpoint]:
        auth = API + "/auth"
        return [
            Endpoint(
                "POST",
                auth + "/code",
                self.code,
                "Get a code that opens a browser session",
                "admin",
                body=fields(),
                body_required=False,
                answers=fields("code", code=text()),
            ),
            Endpoint(
                "POST",
                auth + "/session",
                self.session,
                "Swap a code for a session",
                None,
                body=fields("code", code=text(minLength=1)),
                answers={"type": "object"},
            ),
            Endpoint(
                "POST",
                auth + "/ticket",
                self.ticket,
                "Get a ticket that opens one WebSocket",
                "jobs:read",
                body=fields(),
                body_required=False,
                answers=fields("ticket", ticket=text()),
            ),
        ]

    async def create(self, call: Call) -> dict[str, Any]:
        """Make a token; it is shown this once."""
        body = await call.object("user", "scope", "expires_s", "name")
        user, scope, name = (
            required_text(body, "user"),
            body.get("scope"),
            optional_text(body, "name"),
        )
        if isinstance(scope, str):
            scope = scope.replace(",", " ").split()
        if not isinstance(scope, list) or not all(isinstance(item, str) for item in scope):
            raise unfit("scope", "must be a list of scopes")
        if len(name or "") > _NAME_CHARACTERS:
            raise unfit("name", f"has more than {_NAME_CHARACTERS} characters")
        life_s = _life(body.get("expires_s"))
        token, grant = await self._access.create(user, scope, life_s, name or "")
        return {"id": grant.token_id, "token": token}

    async def list(self, call: Call) -> dict[str, Any]:
        """List tokens, without their secrets."""
        return {"tokens": await self._store.query(tokens)}

    async def revoke(self, call: Call) -> None:
        """Revoke a token and end what came from it."""
        await self._access.revoke(call.path("token_id"))
        self._streams.drop_revoked()

    async def code(self, call: Call) -> dict[str, str]:
        """Return a code for one browser session."""
        await call.object(optional=True)
        return {"code": self._access.new_code(call.grant)}

    async def session(self, call: Call) -> web.Response:
        """Swap a code for a cookie and a CSRF value."""
        code = required_text(await call.object("code"), "code")
        cookie, session = self._access.open_session(code)
        response = answer({"csrf": session.csrf, "user": session.grant.user})
        name = session_cookie(call.request.url.port)
        response.set_cookie(
            name, cookie, httponly=True, samesite="Strict", secure=self._secure, path="/"
        )
        return response

    async def ticket(self, call: Call) -> dict[str, str]:
        """Return a ticket for one WebSocket."""
        await call.object(optional=True)
        return {"ticket": self._access.new_ticket(call.grant)}


def _life(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value <= _LONGEST_LIFE_S:
        raise unfit("expires_s", "must be a number of seconds, ten years at most")
    return float(value)
