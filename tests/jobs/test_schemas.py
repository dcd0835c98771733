"""A JSON Schema from a stranger costs a model host no more than a schema may."""

from __future__ import annotations

from typing import Any

import pytest

from regend.errors import BadInput
from regend.jobs.inputs import check_input
from regend.jobs.schemas import check_schema
from regend.limits import SCHEMA_REPETITIONS


def of(schema: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"नाम": schema}}


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        *(
            ({name: count}, f"schema.properties.नाम.{name}")
            for name in ("maxItems", "minItems", "maxLength", "minLength")
            for count in (SCHEMA_REPETITIONS + 1, 1e8)
        ),
        ({"maxProperties": 2001}, "schema.properties.नाम.maxProperties"),
        ({"minProperties": 2001}, "schema.properties.नाम.minProperties"),
        ({"anyOf": [{}, {"maxItems": 10**8}]}, "schema.properties.नाम.anyOf[1].maxItems"),
        *(
            ({"pattern": pattern}, "schema.properties.नाम.pattern")
            for pattern in ("a{2001}", "a{0,99999999}", "a{2001,}", "a{,2001}")
        ),
        ({"pattern": "a{" + "9" * 5000 + "}"}, "schema.properties.नाम.pattern"),
        ({"description": "x" * 65_536}, "schema"),
        ({"enum": list(range(1000))}, "schema"),
    ],
)
def test_what_would_fill_a_hosts_memory_is_refused_with_its_place(schema: Any, place: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_schema(of(schema), "schema")
    assert (caught.value.code, caught.value.field) == ("schema_too_large", place)
    with pytest.raises(BadInput):
        check_input("chat", {"prompt": "x", "schema": of(schema)})


@pytest.mark.parametrize(
    "schema",
    [
        *(None, True, 5, [], {}, {"maxItems": 2000, "maxLength": "long", "minItems": True}),
        {"pattern": "^[a-z]{1,2000}x{}y{0002000}$"},
        {"properties": {"maxItems": {"type": "integer", "maximum": 10**9}}},
        {"pattern": {"type": "string"}, "enum": [10**9, "a{9999}"]},
    ],
)
def test_an_ordinary_schema_passes(schema: Any) -> None:
    check_schema(schema, "schema")
    check_input("chat", {"prompt": "x", "schema": of(schema)})


def test_the_place_stays_short_however_long_the_names() -> None:
    with pytest.raises(BadInput) as caught:
        check_schema({"x" * 30_000: [[0]] * 5_000}, "schema")
    with pytest.raises(BadInput) as deep:
        check_schema({"x" * 30_000: {"maxItems": 9999}}, "schema")
    assert len(caught.value.message) < 200 and len(deep.value.message) < 200
