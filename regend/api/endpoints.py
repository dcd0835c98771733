"""Endpoints as data: one table says what a call takes, needs and answers.

The router checks by it and the OpenAPI document is made of it, so they cannot differ. A handler
gets what was checked.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from aiohttp import web

from regend.api.call import Call, answer
from regend.api.guard import GRANT, REFUSAL
from regend.jsonschema import Schema, fields, text, whole
from regend.limits import (
    DEFAULT_PAGE_LENGTH,
    IDEMPOTENCY_KEY_CHARACTERS,
    MAX_INTEGER,
    MAX_PAGE_LENGTH,
)

Handle = Callable[[Call], Awaitable[Any]]

API = "/api/v1"


@dataclass(frozen=True)
class Endpoint:
    """One call of the REST interface.

    Attributes:
        method: HTTP method.
        path: with `{name}` parts.
        handle: takes the call and returns what becomes JSON, or a whole response.
        summary: one line for the document.
        scope: what the caller's token must allow; None needs no proof.
        query: JSON Schema of the query parameters, as fields of an object.
        headers: JSON Schemas of header parameters.
        body: JSON Schema of the body, None where there is none. One that is a reference is checked
            by whom the handler hands the body to.
        body_required: whether it may not be absent, which is as if it were empty.
        multipart: whether a file may be sent instead of JSON; the handler reads what came.
        status: of the answer.
        answers: JSON Schema of the answer.
        media: further media types of the answer.
        errors: statuses beside those that every call may answer.
    """

    method: str
    path: str
    handle: Handle
    summary: str
    scope: str | None
    query: Schema = field(default_factory=fields)
    headers: tuple[tuple[str, Schema], ...] = ()
    body: Schema | None = None
    body_required: bool = True
    multipart: bool = False
    status: int = 200
    answers: Schema | None = None
    media: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()


def route(endpoint: Endpoint) -> web.RouteDef:
    """Return the route that checks scope, query and body, and makes JSON of the handler's value."""

    async def serve(request: web.Request) -> web.StreamResponse:
        call = Call(request, request.get(GRANT), request.get(REFUSAL))
        if endpoint.scope is not None:
            call.require(endpoint.scope)
        query, body = call.checked_query(endpoint.query), None
        if endpoint.body is not None and not endpoint.multipart:
            may_be_absent = not endpoint.body_required
            body = await call.checked_body(endpoint.body, optional=may_be_absent)
        value = await endpoint.handle(replace(call, query=query, body=body))
        if isinstance(value, web.StreamResponse):
            return value
        if endpoint.status == 204:
            return web.Response(status=204)
        return answer(value, endpoint.status)

    return web.route(endpoint.method, endpoint.path, serve)


def listing(name: str, item: Schema | None = None, **more: Schema) -> Schema:
    """Return the schema of an object that holds a list under `name`."""
    entries = {"type": "array", "items": item or {"type": "object"}}
    return {"type": "object", "required": [name, *more], "properties": {name: entries, **more}}


EVENTS: Schema = listing("events", {"$ref": "#/components/schemas/Event"})
LIMIT: Schema = whole(1, MAX_PAGE_LENGTH, default=DEFAULT_PAGE_LENGTH)
EVENTS_QUERY: Schema = fields(after_seq=whole(0, MAX_INTEGER, default=0), limit=LIMIT)
JOB: Schema = {"$ref": "#/components/schemas/Job"}
CURSOR: Schema = {"type": ["string", "null"]}
KEYED = (("Idempotency-Key", text(minLength=1, maxLength=IDEMPOTENCY_KEY_CHARACTERS)),)
