"""Endpoints as data: one table says what a call takes, needs and answers.

The router and the OpenAPI document are both made from it, so they cannot differ.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from regend.api.call import Call, answer
from regend.api.guard import GRANT, REFUSAL
from regend.limits import IDEMPOTENCY_KEY_CHARACTERS, MAX_INTEGER, MAX_PAGE_LENGTH

Handle = Callable[[Call], Awaitable[Any]]
Schema = dict[str, Any]

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
        query: JSON Schemas of the query parameters.
        headers: JSON Schemas of header parameters.
        body: JSON Schema of the body, None where there is none.
        multipart: whether a file may be sent instead of JSON.
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
    query: tuple[tuple[str, Schema], ...] = ()
    headers: tuple[tuple[str, Schema], ...] = ()
    body: Schema | None = None
    body_required: bool = True
    multipart: bool = False
    status: int = 200
    answers: Schema | None = None
    media: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()


def route(endpoint: Endpoint) -> web.RouteDef:
    """Return the route that checks the scope, calls the handler and makes its JSON."""

    async def serve(request: web.Request) -> web.StreamResponse:
        call = Call(request, request.get(GRANT), request.get(REFUSAL))
        if endpoint.scope is not None:
            call.require(endpoint.scope)
        call.check_parameters([name for name, _ in endpoint.query])
        value = await endpoint.handle(call)
        if isinstance(value, web.StreamResponse):
            return value
        if endpoint.status == 204:
            return web.Response(status=204)
        return answer(value, endpoint.status)

    return web.route(endpoint.method, endpoint.path, serve)


def text(**more: Any) -> Schema:
    """Return the schema of a text."""
    return {"type": "string", **more}


def whole(low: int, high: int) -> Schema:
    """Return the schema of a whole number."""
    return {"type": "integer", "minimum": low, "maximum": high}


def optional(schema: Schema) -> Schema:
    """Return the schema of a field that may be null, which is as if it were not there."""
    return {**schema, "type": [schema["type"], "null"]}


def listing(name: str, item: Schema | None = None, **more: Schema) -> Schema:
    """Return the schema of an object that holds a list under `name`."""
    entries = {"type": "array", "items": item or {"type": "object"}}
    return {"type": "object", "required": [name, *more], "properties": {name: entries, **more}}


def fields(*required: str, **properties: Schema) -> Schema:
    """Return the schema of an object with these fields and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


EVENTS: Schema = listing("events", {"$ref": "#/components/schemas/Event"})
LIMIT = ("limit", whole(1, MAX_PAGE_LENGTH))
EVENTS_QUERY = (("after_seq", whole(0, MAX_INTEGER)), LIMIT)
JOB: Schema = {"$ref": "#/components/schemas/Job"}
CURSOR: Schema = {"type": ["string", "null"]}
KEYED = (("Idempotency-Key", text(minLength=1, maxLength=IDEMPOTENCY_KEY_CHARACTERS)),)
