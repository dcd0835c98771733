"""Bounds on a JSON Schema that a stranger sends, before a model is made to follow it.

A model host unrolls repetitions: an array of a hundred million entries is a grammar of gigabytes,
and so is one of at least five and at most two. It follows references without looking where it has
been. It follows all alternatives at once, and what may be left out in each of them (`patterns`);
arrays within arrays cost it no more than each by itself. Here a schema is measured, not understood:
whether it is a valid one is for its user to say.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Any

from regend.errors import BadInput
from regend.jobs.patterns import cost_of
from regend.jsontext import dumps
from regend.limits import SCHEMA_BYTES, SCHEMA_NODES, SCHEMA_REPETITIONS, SCHEMA_SKIPS

_COUNTS = frozenset(
    {"maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties"}
)
_CHOICES = frozenset({"anyOf", "oneOf"})
_BOUNDS = tuple((f"min{what}", f"max{what}") for what in ("Items", "Length", "Properties"))
_REPETITION = re.compile(r"\{([0-9]*)(?:,([0-9]*))?\}", re.ASCII)
_PLACE_CHARACTERS = 80
_REFERENCES_IN_A_ROW = 20  # each is followed from every one that leads to it
_DIGITS = len(str(SCHEMA_REPETITIONS))


def check_schema(schema: Any, field: str) -> None:
    """Refuse a schema that costs its model host more than a schema may.

    Args:
        schema: a JSON value, nested no deeper than JSON from a stranger may be.
        field: where it stands in the request, for the error.

    Raises:
        BadInput: `schema_too_large` or `schema_impossible`, naming the place.
    """
    if len(dumps(schema).encode()) > SCHEMA_BYTES:
        raise _too_large(field, f"has more than {SCHEMA_BYTES} bytes")
    nodes, choices = 0, _Choices()
    pending: list[tuple[Any, str, str]] = [(schema, field, "")]
    while pending:
        node, place, choice = pending.pop()
        nodes += 1
        if isinstance(node, dict):
            if (name := _impossible(node, schema)) is not None:
                raise _no_answer(f"{place}.{name}"[:_PLACE_CHARACTERS])
            for name, value in node.items():
                inner = f"{place}.{name}"[:_PLACE_CHARACTERS]
                if _repeats_too_often(name, value):
                    raise _too_large(inner, f"asks for more than {SCHEMA_REPETITIONS} repetitions")
                nodes += choices.add(name, value, inner, choice)
                begins = name in _CHOICES and not choice
                pending.append((value, inner, inner if begins else choice))
        elif isinstance(node, list):
            for index, value in enumerate(node):
                pending.append((value, f"{place}[{index}]"[:_PLACE_CHARACTERS], choice))
        if nodes > SCHEMA_NODES:
            raise _too_large(field, f"has more than {SCHEMA_NODES} parts")
    choices.check()


class _Choices:
    """How much of a schema may come next at one place: what each choice adds up to."""

    def __init__(self) -> None:
        self._skips: Counter[str] = Counter()  # by the place of the outermost choice
        self._references: Counter[str] = Counter()
        self._most = 0  # of one pattern

    def add(self, name: str, value: Any, place: str, choice: str) -> int:
        """Count what stands under a name; return how many parts it has by itself.

        Args:
            place: of the value.
            choice: place of the outermost choice that it is in, empty where it is in none.
        """
        if name == "$ref" and choice:
            self._references[choice] += 1
        if name != "pattern" or not isinstance(value, str):
            return 0
        cost = cost_of(value)
        self._skips[choice or place] += cost.skips
        self._most = max(self._most, cost.skips)
        return cost.branches

    def check(self) -> None:
        """Refuse what leaves too much open.

        Raises:
            BadInput: `schema_too_large`.
        """
        for place in self._skips | self._references:
            # A reference may lead to any of the patterns.
            if self._skips[place] + self._references[place] * self._most > SCHEMA_SKIPS:
                raise _too_large(
                    place, f"has more than {SCHEMA_SKIPS} parts in a row that may be left out"
                )


def _repeats_too_often(name: str, value: Any) -> bool:
    if name in _COUNTS and isinstance(value, (int, float)):
        return value > SCHEMA_REPETITIONS
    if name == "pattern" and isinstance(value, str):
        numbers = (number for pair in _REPETITION.findall(value) for number in pair)
        return any(map(_is_over, numbers)) or cost_of(value).turns > SCHEMA_REPETITIONS
    return False


def _impossible(node: dict[str, Any], root: Any) -> str | None:
    """Return the name of a part that nothing can fulfil: least over most, or a circle."""
    for low, high in _BOUNDS:
        least, most = node.get(low), node.get(high)
        if isinstance(least, (int, float)) and isinstance(most, (int, float)) and least > most:
            return low
    pattern = node.get("pattern")
    if isinstance(pattern, str):
        for least, most in _REPETITION.findall(pattern):
            if most and not _is_over(most) and (_is_over(least) or _count(least) > _count(most)):
                return "pattern"
    return "$ref" if _goes_in_a_circle(node, root) else None


def _goes_in_a_circle(node: Any, root: Any) -> bool:
    """Tell whether the references that begin at a node come back to one of them."""
    seen: set[str] = set()
    while isinstance(node, dict) and isinstance(reference := node.get("$ref"), str):
        if reference in seen or len(seen) == _REFERENCES_IN_A_ROW:
            return True
        seen.add(reference)
        node = _referred(reference, root)
    return False


def _referred(reference: str, root: Any) -> Any:
    """Return what a reference within the schema points at (RFC 6901), None where nothing is."""
    if not reference.startswith("#"):
        return None
    node = root
    for part in reference.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(node, dict):
            node = node.get(name)
        elif isinstance(node, list) and name.isdecimal() and len(name) < _DIGITS:
            node = node[int(name)] if int(name) < len(node) else None
        else:
            return None
    return node


def _is_over(number: str) -> bool:
    # By its length first: Python refuses to read a number of thousands of digits.
    return len(number.lstrip("0")) > _DIGITS or _count(number) > SCHEMA_REPETITIONS


def _count(number: str) -> int:
    return int(number.lstrip("0") or "0")


def _too_large(place: str, what: str) -> BadInput:
    return BadInput(
        "schema_too_large",
        f"The JSON Schema at “{place}” {what}.",
        hint="Ask for less in one answer.",
        field=place,
    )


def _no_answer(place: str) -> BadInput:
    return BadInput(
        "schema_impossible",
        f"The JSON Schema at “{place}” can be followed by no answer.",
        hint="Correct it: at least more than at most, or a reference to itself.",
        field=place,
    )
