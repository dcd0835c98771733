"""Bounds on a JSON Schema that a stranger sends, before a model is made to follow it.

A model host unrolls repetitions: an array of a hundred million entries is a grammar of gigabytes.
Here a schema is measured, not understood: whether it is a valid one is for its user to say.
"""

from __future__ import annotations

import re
from typing import Any

from regend.errors import BadInput
from regend.jsontext import dumps
from regend.limits import SCHEMA_BYTES, SCHEMA_NODES, SCHEMA_REPETITIONS

_COUNTS = frozenset(
    {"maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties"}
)
_REPETITION = re.compile(r"\{([0-9]*)(?:,([0-9]*))?\}", re.ASCII)
_PLACE_CHARACTERS = 80
_DIGITS = len(str(SCHEMA_REPETITIONS))


def check_schema(schema: Any, field: str) -> None:
    """Refuse a schema that costs its model host more than a schema may.

    Args:
        schema: a JSON value, nested no deeper than JSON from a stranger may be.
        field: where it stands in the request, for the error.

    Raises:
        BadInput: `schema_too_large`, naming the place.
    """
    if len(dumps(schema).encode()) > SCHEMA_BYTES:
        raise _too_large(field, f"has more than {SCHEMA_BYTES} bytes")
    nodes = 0
    pending: list[tuple[Any, str]] = [(schema, field)]
    while pending:
        node, place = pending.pop()
        nodes += 1
        if nodes > SCHEMA_NODES:
            raise _too_large(field, f"has more than {SCHEMA_NODES} parts")
        if isinstance(node, dict):
            for name, value in node.items():
                inner = f"{place}.{name}"[:_PLACE_CHARACTERS]
                if _repeats_too_often(name, value):
                    raise _too_large(inner, f"asks for more than {SCHEMA_REPETITIONS} repetitions")
                pending.append((value, inner))
        elif isinstance(node, list):
            for index, value in enumerate(node):
                pending.append((value, f"{place}[{index}]"[:_PLACE_CHARACTERS]))


def _repeats_too_often(name: str, value: Any) -> bool:
    if name in _COUNTS and isinstance(value, (int, float)):
        return value > SCHEMA_REPETITIONS
    if name == "pattern" and isinstance(value, str):
        numbers = (number for pair in _REPETITION.findall(value) for number in pair)
        return any(_is_over(number) for number in numbers)
    return False


def _is_over(number: str) -> bool:
    # By its length first: Python refuses to read a number of thousands of digits.
    digits = number.lstrip("0")
    return len(digits) > _DIGITS or int(digits or "0") > SCHEMA_REPETITIONS


def _too_large(place: str, what: str) -> BadInput:
    return BadInput(
        "schema_too_large",
        f"The JSON Schema at “{place}” {what}.",
        hint="Ask for less in one answer.",
        field=place,
    )
