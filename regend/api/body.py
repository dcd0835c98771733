"""The fields of a body: what each must be, refused alike by every call.

A field that is null is as if it were not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regend.errors import BadInput


def required_text(body: Mapping[str, Any], name: str) -> str:
    """Return a field that must be there and hold a text.

    Raises:
        BadInput: it does not.
    """
    value = optional_text(body, name)
    if value is None:
        raise unfit(name, "is missing")
    return value


def optional_text(body: Mapping[str, Any], name: str) -> str | None:
    """Return a field that holds a text, None where it is not there.

    Raises:
        BadInput: it holds something else.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        raise unfit(name, "must be a text")
    return value


def flag(body: Mapping[str, Any], name: str) -> bool:
    """Return a field that holds true or false, false where it is not there.

    Raises:
        BadInput: it holds something else.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise unfit(name, "must be true or false")
    return value is True


def unfit(name: str, what: str) -> BadInput:
    """Return the error for a field that is not what it must be."""
    return BadInput("invalid_field", f"“{name}” {what}.", field=name)
