"""What the document forbids is refused, naming the field: each rule of each call is broken once.

The requests are made from the published document, so a new call is tried without a word here. A
keyword that nobody knows how to break fails: it would be published and not checked.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from regend.limits import MAX_INTEGER
from tests.api.conftest import Answer, Running

JSON = {"Content-Type": "application/json"}
Schema = dict[str, Any]

SAMPLES: dict[str, Any] = {
    "null": None,
    "boolean": True,
    "integer": 7,
    "number": 7.5,
    "string": "1",
    "array": [],
    "object": {},
}


def of_other_types(types: str | list[str]) -> list[Any]:
    allowed = {types} if isinstance(types, str) else set(types)
    allowed |= {"integer"} if "number" in allowed else set()
    return [sample for name, sample in SAMPLES.items() if name not in allowed]


# Values that break each keyword.
BREAK: dict[str, Callable[[Any], list[Any]]] = {
    "type": of_other_types,
    "const": lambda _value: ["none", 7],
    "enum": lambda _values: ["none", ""],
    "minLength": lambda _least: [""],
    "maxLength": lambda most: ["1" * (most + 1)],
    "pattern": lambda pattern: [bad for bad in ("", " ", "x", "-1") if not re.search(pattern, bad)],
    "minItems": lambda _least: [[]],
    "maxItems": lambda most: [["1"] * (most + 1)],
    "minimum": lambda low: [low - 1],
    "exclusiveMinimum": lambda low: [low],
    "maximum": lambda high: [high + 1],
    "description": lambda _words: [],
    "default": lambda _value: [],
}
OF_PARTS = {"items", "properties", "required", "additionalProperties", "oneOf"}


class Broken(NamedTuple):
    """A value that breaks one rule, and what is said of it."""

    value: Any
    field: str
    code: str


def fit(schema: Schema) -> Any:
    """Return a small value that a schema allows."""
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    if "properties" in schema:
        choice: Schema = schema.get("oneOf", [{"required": []}])[0]
        names = schema["required"] + choice["required"]
        return {name: fit(schema["properties"][name]) for name in names}
    if "items" in schema and schema["type"] == "array":
        return [fit(schema["items"])]
    types = schema["type"]
    return schema.get("minimum") or SAMPLES[types if isinstance(types, str) else types[0]]


def breaking(schema: Schema, place: str = "") -> Iterator[Broken]:
    """Yield values that break each rule of a schema, and of what it holds."""
    for keyword in schema.keys() - OF_PARTS:
        code = "unknown_job_type" if keyword == "const" else "invalid_field"
        for value in BREAK[keyword](schema[keyword]):
            beyond = isinstance(value, int) and value > MAX_INTEGER
            told = "json_value" if beyond else code if place else "invalid_body"
            yield Broken(value, place, told)
    if "items" in schema:
        for value, field, code in breaking(schema["items"], f"{place}[0]"):
            yield Broken([value], field, code)
    if "properties" in schema:
        yield from breaking_parts(schema, f"{place}." if place else "")


def breaking_parts(schema: Schema, before: str) -> Iterator[Broken]:
    """Yield objects in which one field is unknown, missing or unfit."""
    whole = fit(schema)
    assert schema["additionalProperties"] is False
    yield Broken({**whole, "none": 1}, f"{before}none", "unknown_field")
    for name, rule in schema["properties"].items():
        for value, field, code in breaking(rule, before + name):
            yield Broken({**whole, name: value}, field, code)
        if name in schema["required"]:
            left = {one: value for one, value in whole.items() if one != name}
            code = "unknown_job_type" if "const" in rule else "invalid_field"
            yield Broken(left, before + name, code)


def bodies(document: dict[str, Any]) -> Iterator[tuple[str, str, Schema]]:
    """Yield method, path and schema of each body; of new jobs, one for each type."""
    kinds = document["components"]["schemas"]["NewJob"]["oneOf"]
    jobs = [kind for kind in kinds if "properties" in kind["properties"]["input"]]
    assert len(jobs) >= 3, "the types of the tests take anything; the others do not"
    for method, path, operation in operations(document):
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            for one in jobs if "$ref" in schema else [schema]:
                yield method, path, one


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), re.sub("{.*?}", "none", path), operation


async def published(running: Running) -> dict[str, Any]:
    document: dict[str, Any] = (await running.call("GET", "/api/v1/openapi.json")).json
    return document


def told(answer: Answer) -> tuple[int, str, str | None]:
    return answer.status, answer.error["code"], answer.error.get("field")


async def test_each_field_of_each_body_is_refused_where_it_is_not_what_the_document_says(
    running: Running,
) -> None:
    tried = set()
    for method, path, schema in bodies(await published(running)):
        for value, field, code in breaking(schema):
            answer = await running.call(method, path, data=json.dumps(value).encode(), headers=JSON)
            # A part that is left out is missed by the first of what it must hold.
            status, said, place = told(answer)
            where = (method, path, field, str(value)[:100], answer.error["message"])
            assert (status, said) == (400, code), where
            assert (place or "") == field or (place or "").startswith(f"{field}."), where
            tried.add((path, field))
    assert len(tried) > 60, "or nothing was tried"


async def test_each_query_parameter_is_refused_where_it_is_not_what_the_document_says(
    running: Running,
) -> None:
    tried = set()
    for method, path, operation in operations(await published(running)):
        rules = [one for one in operation["parameters"] if one["in"] == "query"]
        whole = {one["name"]: str(fit(one["schema"])) for one in rules if one["required"]}

        async def refused(code: str, name: str, *query: tuple[str, str]) -> None:
            rest = [pair for pair in whole.items() if pair[0] != name]  # noqa: B023
            answer = await running.call(method, path, params=[*rest, *query])  # noqa: B023
            assert told(answer) == (400, code, name), (method, path, query)  # noqa: B023

        await refused("unknown_parameter", "none", ("none", "1"))
        for rule in rules:
            name, schema = rule["name"], rule["schema"]
            value = str(fit(schema))
            await refused("invalid_parameter", name, (name, value), (name, value))
            if rule["required"]:
                await refused("invalid_parameter", name)
            for unfit in breaking(schema, name):
                text = "one" if unfit.value == SAMPLES["string"] else str(unfit.value)
                if schema["type"] == "string" and not isinstance(unfit.value, str):
                    continue  # in a query, everything is a text
                await refused("invalid_parameter", name, (name, text))
            tried.add((path, name))
    assert len(tried) > 12, "or nothing was tried"
