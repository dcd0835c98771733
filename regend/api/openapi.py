"""The OpenAPI 3.1 document, made from the table of endpoints and the table of job inputs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_args

from regend import __version__
from regend.api.endpoints import Endpoint
from regend.jobs.account import Kind
from regend.jobs.inputs import OPTIONS, InputType
from regend.jobs.lifecycle import STATES, Desired
from regend.jsonschema import fields, optional, text

_COMMON_ERRORS = (400, 401, 403, 429, 503)
_REASONS = {
    200: "What was asked for",
    201: "Created",
    202: "Accepted and durable",
    204: "Done",
    400: "Bad input; the field is named",
    401: "No proof of who calls",
    403: "Not allowed",
    404: "Not found",
    409: "Conflict with the present state or an earlier request",
    413: "Too large",
    415: "Wrong media type",
    422: "Refused by a rule",
    429: "Too many calls; see Retry-After",
    500: "The work failed; trying again would fail the same way",
    503: "Busy; try again",
}


def document(endpoints: Iterable[Endpoint], types: Mapping[str, InputType]) -> dict[str, Any]:
    """Return the document as a JSON value."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "regend",
            "version": __version__,
            "summary": "Durable agent jobs on your own devices",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": {
                "Job": _job(),
                "NewJob": _new_job(types),
                "Event": _event(),
                "Error": _error(),
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    names, query = re.findall(r"{(\w+)}", endpoint.path), endpoint.query
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in names
    ]
    parameters += [
        {"name": name, "in": "query", "required": name in query["required"], "schema": schema}
        for name, schema in query["properties"].items()
    ]
    parameters += [
        {"name": name, "in": "header", "schema": schema} for name, schema in endpoint.headers
    ]
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": _responses(endpoint, bool(names)),
        "security": [{"bearer": []}] if endpoint.scope is not None else [],
    }
    if endpoint.body is not None:
        content: dict[str, Any] = {"application/json": {"schema": endpoint.body}}
        if endpoint.multipart:
            file = {"type": "object", "properties": {"file": {"type": "string"}}}
            content["multipart/form-data"] = {"schema": {**file, "required": ["file"]}}
        operation["requestBody"] = {"required": endpoint.body_required, "content": content}
    return operation


def _responses(endpoint: Endpoint, named: bool) -> dict[str, Any]:
    success: dict[str, Any] = {"description": _REASONS[endpoint.status]}
    content = {}
    if endpoint.answers is not None:
        content["application/json"] = {"schema": endpoint.answers}
    for media in endpoint.media:
        content[media] = {"schema": {"type": "string"}}
    if content:
        success["content"] = content
    statuses = {*_COMMON_ERRORS, *endpoint.errors}
    if named:
        statuses |= {404, 409}
    if endpoint.body is not None:
        statuses |= {413, 415}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    responses = {str(endpoint.status): success}
    for status in sorted(statuses):
        responses[str(status)] = {"description": _REASONS[status], "content": error}
    return responses


def _new_job(types: Mapping[str, InputType]) -> dict[str, Any]:
    return {
        "oneOf": [
            fields("type", "input", type={"const": name}, input=kind.schema, **OPTIONS)
            for name, kind in types.items()
        ]
    }


def _job() -> dict[str, Any]:
    words, optional_words = text(), optional(text())
    anything: dict[str, Any] = {}
    properties: dict[str, Any] = {
        "id": words,
        "schema": {"const": 1},
        "type": words,
        "state": {"enum": list(STATES)},
        "desired": {"description": "What the person wants", "enum": list(get_args(Desired))},
        "title": words,
        "input": anything,
        "progress": {"type": "number", "minimum": 0, "maximum": 100},
        "step": optional_words,
        "attempt": {"type": "integer"},
        "last_seq": {"type": "integer"},
        "result": anything,
        "error": {"type": ["object", "null"]},
        "waiting": {
            "description": "What a person has to say, or which device has to send",
            "type": ["object", "null"],
        },
        "model": words,
        "priority": {"type": "integer"},
        "owner_device": words,
        "device": words,
        "contested": {
            "description": "Whether several devices took it over at once",
            "type": "boolean",
        },
        "created_at": words,
        "updated_at": words,
        "finished_at": optional_words,
        "parent_id": optional_words,
    }
    omitted = {
        "description": "In listings: the payloads that are too large for them and read null",
        "type": "array",
        "items": {"enum": ["input", "result", "error", "waiting"]},
    }
    return {
        "type": "object",
        "required": list(properties),
        "properties": {**properties, "omitted": omitted, "account": _account()},
    }


def _account() -> dict[str, Any]:
    facts: dict[str, Any] = {
        "kind": {"enum": list(get_args(Kind))},
        "steps": {"type": "array", "items": {"type": "integer"}},
        "devices": {"type": "array", "items": text()},
        "counts": optional(text()),
        "text": text(description="The same in plain words"),
    }
    return {
        "description": "Of one job: its forks, and its steps that ran on several devices",
        "type": "array",
        "items": {"type": "object", "required": list(facts), "properties": facts},
    }


def _event() -> dict[str, Any]:
    of_job = {"description": "null where it is about the person's devices"}
    properties: dict[str, Any] = {
        "seq": {"type": "integer", "minimum": 1},
        "job_id": {"type": ["string", "null"], **of_job},
        "job_seq": {"type": ["integer", "null"], **of_job},
        "type": text(),
        "at": text(),
        "data": {"type": "object"},
    }
    return {"type": "object", "required": list(properties), "properties": properties}


def _error() -> dict[str, Any]:
    told = {
        "type": "object",
        "required": ["code", "message", "hint", "retryable", "request_id"],
        "properties": {
            "code": {"type": "string"},
            "message": {"type": "string"},
            "hint": {"type": "string"},
            "retryable": {"type": "boolean"},
            "request_id": {"type": "string"},
            "field": {"type": "string"},
            "retry_after_s": {"type": "number"},
        },
    }
    return {"type": "object", "required": ["error"], "properties": {"error": told}}
