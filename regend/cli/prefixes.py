"""Ids by their beginning, where the daemon itself takes only whole ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from regend.cli.text import line
from regend.errors import Conflict, NotFound

_NAMED_ALIKE = 5  # ids that begin alike are listed as far as one looks at them


def whole_id(known: Sequence[dict[str, Any]], wanted: str, noun: str, listing: str) -> str:
    """Return the id of the one object that begins so.

    Args:
        known: objects with an `id`.
        noun: what they are, for the message.
        listing: command that lists them, for the hint.

    Raises:
        NotFound: none begins so.
        Conflict: several do.
    """
    ids = [str(one["id"]) for one in known]
    found = [one for one in ids if one == wanted] or [one for one in ids if one.startswith(wanted)]
    if not found or not wanted:
        raise NotFound(
            f"{noun}_not_found", f"There is no {noun} “{line(wanted)}”.", hint=f"See: {listing}"
        )
    if len(found) > 1:
        raise several(noun, wanted, found)
    return found[0]


def several(noun: str, wanted: str, ids: Sequence[str]) -> Conflict:
    """Return the error for a beginning that several ids share; it lists them."""
    named = [*ids[:_NAMED_ALIKE], *["…"] * (len(ids) > _NAMED_ALIKE)]
    return Conflict(
        "ambiguous_id",
        f"Several {noun}s begin with “{line(wanted)}”.",
        hint=f"Give more of the id: {', '.join(named)}",
    )
