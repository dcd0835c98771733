"""What JSON must be: schemas as they are published, and the one check by them.

A small part of JSON Schema (2020-12), and nothing beyond it is checked: `type`, `enum`, bounds,
lengths, `pattern`, `items`, `properties` with `required` and no others, and `oneOf` with the names
of fields that exclude one another. A `description` completes “must be …” in errors.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from math import inf
from typing import Any

from regend.errors import BadInput

Schema = dict[str, Any]

_SHOWN_CHARACTERS = 60  # of a name that a stranger made up
_TYPES = {
    str: {"string"},
    bool: {"boolean"},
    int: {"integer", "number"},
    float: {"number"},
    list: {"array"},
    dict: {"object"},
    type(None): {"null"},
}
_WORDS = {
    "string": "a text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "array": "a list",
    "object": "an object",
}


def text(**more: Any) -> Schema:
    """Return the schema of a text."""
    return {"type": "string", **more}


def words(maximum: int) -> Schema:
    """Return the schema of a text of at most `maximum` characters that is not blank."""
    return text(minLength=1, maxLength=maximum, pattern="\\S")


def choice(*values: str) -> Schema:
    """Return the schema of one of some words."""
    return text(enum=list(values))


def whole(low: int, high: int, **more: Any) -> Schema:
    """Return the schema of a whole number."""
    return {"type": "integer", "minimum": low, "maximum": high, **more}


def flag(**more: Any) -> Schema:
    """Return the schema of true or false."""
    return {"type": "boolean", **more}


def optional(schema: Schema) -> Schema:
    """Return the schema of a field that may be null, which is as if it were not there."""
    return {**schema, "type": [schema["type"], "null"]}


def fields(*required: str, **properties: Schema) -> Schema:
    """Return the schema of an object with these fields and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def check(schema: Schema, value: Any, name: str = "", noun: str = "field") -> None:
    """Refuse a value that is not what its schema says.

    Args:
        name: where it stands, dotted; empty for a whole body.
        noun: what its fields are called.

    Raises:
        BadInput: `invalid_field` or `unknown_field`, naming the field; `invalid_body`.
    """
    fault = _fault(schema, value)
    if fault is not None:
        told = f"must be {schema['description']}" if "description" in schema else fault
        raise _unfit(name, told, noun)
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            check(schema["items"], item, f"{name}[{index}]", noun)
    if isinstance(value, dict) and "properties" in schema:
        _check_fields(schema, value, name, noun)


def filled(schema: Schema, value: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checked object with every field: one that is absent or null has its default."""
    return {
        name: rule.get("default") if value.get(name) is None else value[name]
        for name, rule in schema["properties"].items()
    }


def _fault(schema: Schema, value: Any) -> str | None:
    """Return what is wrong with a value by itself, None where nothing is."""
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    if types and not _TYPES[type(value)].intersection(types):
        return _must_be(types, schema)
    if isinstance(value, (str, list)):
        kind, parts = ("Length", "characters") if isinstance(value, str) else ("Items", "entries")
        if len(value) < schema.get(f"min{kind}", 0):
            return "is empty"  # no other least length is asked for
        most = schema.get(f"max{kind}", inf)
        if len(value) > most:
            return f"has {len(value)} {parts}; at most {most} are taken"
    if isinstance(value, str):
        if "enum" in schema and value not in schema["enum"]:
            return _must_be(types, schema)
        # In Python, `$` also stands before a last line break.
        if not re.search(schema.get("pattern", "").replace("$", r"\Z"), value):
            return _must_be(types, schema) if value.strip() else "is empty"
    if isinstance(value, (int, float)):
        low, above = schema.get("minimum", -inf), schema.get("exclusiveMinimum", -inf)
        if not (low <= value <= schema.get("maximum", inf) and above < value):
            return _must_be(types, schema)
    return None


def _must_be(types: list[str], schema: Schema) -> str:
    if "enum" in schema:
        return f"must be one of {', '.join(schema['enum'])}"
    kinds = " or ".join(_WORDS[kind] for kind in types if kind != "null")
    if "minimum" in schema:
        kinds += f" from {schema['minimum']} to {schema['maximum']}"
    return f"must be {kinds}"


def _check_fields(schema: Schema, value: dict[str, Any], name: str, noun: str) -> None:
    rules: dict[str, Schema] = schema["properties"]
    for field in value:
        if field not in rules:
            raise _unknown(field, list(rules), name, noun)
    for field, rule in rules.items():
        if field in schema["required"] and value.get(field) is None:
            raise _unfit(_inside(name, field), "is missing", noun)
        if field in value:
            check(rule, value[field], _inside(name, field), noun)
    _check_choice(schema, value, name)


def _check_choice(schema: Schema, value: dict[str, Any], name: str) -> None:
    choices = [set(one["required"]) for one in schema.get("oneOf", [])]
    given = set(value) & set().union(*choices)
    if not choices or given in choices:
        return
    nearest = max(choices, key=lambda one: len(one & given))
    wrong = min(nearest ^ given, key=list(schema["properties"]).index)
    listed = ", or ".join(" and ".join(one["required"]) for one in schema["oneOf"])
    told = f"Give either {listed}."
    if "description" in schema:
        told = f"{_subject(name)} must be {schema['description']}."
    code = "invalid_field" if name else "invalid_body"
    raise BadInput(code, told, field=_inside(name, wrong))


def _unknown(field: str, known: list[str], name: str, noun: str) -> BadInput:
    shown = field[:_SHOWN_CHARACTERS].encode(errors="replace").decode()
    near = difflib.get_close_matches(shown, known, n=1)
    hint = f"{noun.capitalize()}s: {', '.join(known)}." if known else f"No {noun} is taken."
    return BadInput(
        f"unknown_{noun}",
        f"There is no {noun} “{shown}” here.",
        hint=f"Did you mean “{near[0]}”? {hint}" if near else hint,
        field=_inside(name, shown) or None,
    )


def _unfit(name: str, what: str, noun: str) -> BadInput:
    code = f"invalid_{noun}" if name else "invalid_body"
    return BadInput(code, f"{_subject(name)} {what}.", field=name or None)


def _subject(name: str) -> str:
    return f"“{name}”" if name else "The body"


def _inside(name: str, field: str) -> str:
    return f"{name}.{field}" if name else field
