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
        *(
            ({"pattern": pattern}, "schema.properties.नाम.pattern")
            for pattern in ("a{" + "9" * 5000 + "}", "a{1," + "9" * 5000 + "}")
        ),
        *(
            ({"pattern": pattern}, "schema.properties.नाम.pattern")
            for pattern in (
                *("^((((a?){30}){30}){30})$", "^(((a{0,60}){0,60}){0,60})$", "^a{30}{30}{30}$"),
                *("^(a?){2000}$", "^(a?){65}$", "^(a*){200}$", "^(a?b?c?d?){17}$", "^(a{0,9}){8}$"),
                *("^(a{1,30}){600}$", "^(((a+){45}){45})$", r"^(\(?[)\]?]?){40}$", "^(?:a|){65}$"),
                *("^" + "a?" * 65 + "$", "(" * 20_000 + "a" + "){30}" * 3, "^(a?(b?(c?){9}){9}$"),
                *("^(a{3}){700,}$", "^((|a){9}|(b?){60})$"),
            )
        ),
        (
            {"anyOf": [{"type": "string", "pattern": "^(a?){20}$"}] * 4},
            "schema.properties.नाम.anyOf",
        ),
        ({"pattern": "^(" + "a|" * 1000 + "b)$"}, "schema"),
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
    ("schema", "place"),
    [
        ({"type": "string", "pattern": "^a{5,2}$"}, "schema.pattern"),
        ({"items": {"minLength": 3, "maxLength": 2}}, "schema.items.minLength"),
        ({"minItems": 1, "maxItems": 0}, "schema.minItems"),
        ({"allOf": [{"$ref": "#/allOf/0"}]}, "schema.allOf[0].$ref"),
        (
            {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"$ref": "#/$defs/c"}, "c": {"$ref": "#"}}},
            "schema.$ref",
        ),
    ],
)
def test_what_no_answer_can_follow_is_refused_before_it_kills_a_host(
    schema: Any, place: str
) -> None:
    with pytest.raises(BadInput) as caught:
        check_schema(schema, "schema")
    assert (caught.value.code, caught.value.field) == ("schema_impossible", place)


def test_a_schema_may_refer_to_itself_inside_an_answer() -> None:
    tree = {"properties": {"below": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    check_schema({"$ref": "#/$defs/tree", "$defs": {"tree": tree}}, "schema")
    for reference in ("#/nowhere", "#/$defs/9", "https://example.com/a", 5, "", "#/$defs/list/9"):
        check_schema({"allOf": [{"$ref": reference}], "$defs": {"list": [{}]}}, "schema")


@pytest.mark.parametrize(
    "schema",
    [
        *(None, True, 5, [], {}, {"maxItems": 2000, "maxLength": "long", "minItems": True}),
        {"pattern": "^[a-z]{1,2000}x{}y{0002000}$"},
        {"pattern": "a{0," + "0" * 5000 + "1}"},
        {"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?Z?)?$"},
        {"pattern": r"^(\+[0-9]{1,3} ?)?([0-9]{2,4}[ -]?){2,5}$"},
        {"pattern": "^[a-z]+(, [a-z]+){0,100}$"},
        {"pattern": "^([a-z]{1,20} ){1,60}$"},
        {"pattern": ")(](|{a{2}?*+" + "\\"},
        {"type": "array", "maxItems": 500, "items": {"type": "array", "maxItems": 500}},
        {"anyOf": [{"type": "string", "pattern": "^a?b?$"}, {"type": "null"}]},
        {
            "items": [{"anyOf": [{"$ref": "#/phone"}, {"type": "null"}]}] * 30,
            "phone": {"pattern": "^([0-9]{2,4}[ -]?){2,5}$"},
        },
        {"properties": {"maxItems": {"type": "integer", "maximum": 10**9}}},
        {"pattern": {"type": "string"}, "enum": [10**9, "a{9999}"]},
    ],
)
def test_an_ordinary_schema_passes(schema: Any) -> None:
    check_schema(schema, "schema")
    check_input("chat", {"prompt": "x", "schema": of(schema)})


def test_alternatives_that_lead_to_one_pattern_count_as_often_as_they_do() -> None:
    referring = {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/a"}}] * 5}
    for pattern, passes in (("^(a?){20}$", False), ("^(a?){5}$", True)):
        schema = {**referring, "$defs": {"a": {"type": "string", "pattern": pattern}}}
        if passes:
            check_schema(schema, "schema")
            continue
        with pytest.raises(BadInput) as caught:
            check_schema(schema, "schema")
        assert (caught.value.code, caught.value.field) == ("schema_too_large", "schema.anyOf")


def test_the_place_stays_short_however_long_the_names() -> None:
    with pytest.raises(BadInput) as caught:
        check_schema({"x" * 30_000: [[0]] * 5_000}, "schema")
    with pytest.raises(BadInput) as deep:
        check_schema({"x" * 30_000: {"maxItems": 9999}}, "schema")
    assert len(caught.value.message) < 200 and len(deep.value.message) < 200
