"""What is said of a value that is not what its schema says."""

from __future__ import annotations

from typing import Any

import pytest

from regend.errors import BadInput
from regend.jsonschema import (
    Schema,
    check,
    choice,
    fields,
    filled,
    flag,
    optional,
    text,
    whole,
    words,
)

CAPTURE = fields(url=text(), title=text(), html=text()) | {
    "oneOf": [{"required": ["url"]}, {"required": ["title", "html"]}]
}
LIST: Schema = {"type": "array", "items": text(), "minItems": 1, "maxItems": 2}


@pytest.mark.parametrize(
    ("schema", "value", "message"),
    [
        (text(), 7, "“x” must be a text."),
        (optional(text()), 7, "“x” must be a text."),
        ({"type": ["string", "array"]}, 7, "“x” must be a text or a list."),
        (words(5), " ", "“x” is empty."),
        (words(5), "", "“x” is empty."),
        (words(5), "abcdef", "“x” has 6 characters; at most 5 are taken."),
        (words(5), None, "“x” must be a text."),
        (choice("a", "b"), "c", "“x” must be one of a, b."),
        (choice("a", "b"), 7, "“x” must be one of a, b."),
        (text(pattern="^[0-9]+$"), "b", "“x” must be a text."),
        (text(pattern="^[0-9]+$", description="a cursor"), "b", "“x” must be a cursor."),
        (text(pattern="^[0-9]+$"), "1\n", "“x” must be a text."),
        (whole(0, 2**63 - 1), -1, "“x” must be a whole number from 0 to 9223372036854775807."),
        (whole(0, 9), True, "“x” must be a whole number from 0 to 9."),
        (whole(0, 9), 1.0, "“x” must be a whole number from 0 to 9."),
        (whole(0, 9, description="a step"), 10, "“x” must be a step."),
        (flag(), 1, "“x” must be true or false."),
        (LIST, [], "“x” is empty."),
        (LIST, ["a", "b", "c"], "“x” has 3 entries; at most 2 are taken."),
        (LIST, ["a", 7], "“x[1]” must be a text."),
        (fields("a", a=text()), {}, "“x.a” is missing."),
        (fields("a", a=text()), {"a": None}, "“x.a” is missing."),
        (fields(a=text()), {"a": None}, "“x.a” must be a text."),
        (CAPTURE, {}, "Give either url, or title and html."),
        (CAPTURE, {"title": "a"}, "Give either url, or title and html."),
        (CAPTURE, {"url": "a", "title": "a"}, "Give either url, or title and html."),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_what_it_must_be(
    schema: Schema, value: Any, message: str
) -> None:
    with pytest.raises(BadInput) as refused:
        check(schema, value, "x")
    assert (refused.value.code, refused.value.message) == ("invalid_field", message)
    assert refused.value.field and refused.value.field.startswith("x")


@pytest.mark.parametrize(
    ("given", "field"),
    [({"title": "a"}, "html"), ({"url": "a", "title": "a"}, "title"), ({}, "url")],
)
def test_of_fields_that_exclude_one_another_the_one_at_fault_is_named(
    given: dict[str, Any], field: str
) -> None:
    with pytest.raises(BadInput) as refused:
        check(CAPTURE, given)
    assert (refused.value.code, refused.value.field) == ("invalid_body", field)


def test_an_unknown_field_is_named_with_the_nearest_and_all_that_there_are() -> None:
    with pytest.raises(BadInput) as refused:
        check(fields(prompt=text(), seed=whole(0, 9)), {"promt": "a"}, "input")
    assert (refused.value.code, refused.value.field) == ("unknown_field", "input.promt")
    assert refused.value.hint == "Did you mean “prompt”? Fields: prompt, seed."
    with pytest.raises(BadInput, match="no field “none” here") as refused:
        check(fields(), {"none": 1})
    assert (refused.value.field, refused.value.hint) == ("none", "No field is taken.")


def test_a_name_without_end_is_not_told_back_whole() -> None:
    with pytest.raises(BadInput) as refused:
        check(fields(a=text()), {"x" * 1_000_000: 1})
    assert len(refused.value.message) < 200 and len(refused.value.field or "") < 200


def test_what_is_absent_or_null_has_its_default() -> None:
    schema = fields(name=optional(text()), leave=optional(flag(default=False)), n=whole(0, 9))
    assert filled(schema, {"leave": None, "n": 0}) == {"name": None, "leave": False, "n": 0}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (optional(words(5)), None),
        (words(5), "abcde"),
        (text(), ""),
        ({}, {"any": [1, None]}),
        ({"type": "number", "minimum": 0, "maximum": 2}, 2),
        ({"type": "number", "minimum": 0, "maximum": 2}, 0.5),
        (CAPTURE, {"title": "a", "html": "b"}),
        (CAPTURE, {"url": "a"}),
    ],
)
def test_what_fits_is_taken(schema: Schema, value: Any) -> None:
    check(schema, value, "x")
