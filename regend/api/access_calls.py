"""Calls about who may call: tokens, browser sessions, tickets."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from regend.api.access import Access, session_cookie
from regend.api.call import Call, answer
from regend.api.endpoints import API, Endpoint, listing
from regend.api.tokens import tokens
from regend.api.websocket import Streams
from regend.jsonschema import fields, optional, text, words
from regend.store import Store


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
            user=words(100),
            scope={
                "description": "a list of scopes",
                "type": ["string", "array"],
                "items": text(),
            },
            expires_s={
                "description": "a number of seconds, ten years at most",
                "type": ["number", "null"],
                "exclusiveMinimum": 0,
                "maximum": 10 * 365 * 24 * 3600,
            },
            name=optional(text(maxLength=200, default="")),
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
        body = call.body
        scopes = body["scope"]
        if isinstance(scopes, str):
            scopes = scopes.replace(",", " ").split()
        token, grant = await self._access.create(
            body["user"], scopes, body["expires_s"], body["name"]
        )
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
        return {"code": self._access.new_code(call.grant)}

    async def session(self, call: Call) -> web.Response:
        """Swap a code for a cookie and a CSRF value."""
        cookie, session = self._access.open_session(call.body["code"])
        response = answer({"csrf": session.csrf, "user": session.grant.user})
        name = session_cookie(call.request.url.port)
        response.set_cookie(
            name, cookie, httponly=True, samesite="Strict", secure=self._secure, path="/"
        )
        return response

    async def ticket(self, call: Call) -> dict[str, str]:
        """Return a ticket for one WebSocket."""
        return {"ticket": self._access.new_ticket(call.grant)}
