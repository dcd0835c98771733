"""What was to be read and could not be: each with its reason, or one line on how to see them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from regend.cli.terminal import MEASURE, paint, room, say, say_row
from regend.cli.text import count, line, width, wrap

_LISTING = "regend library list --unreadable"


def say_unreadable(number: int, *, or_more: bool = False) -> None:
    """Say in a line how many documents could not be read, and what lists them."""
    if number:
        documents = f"{number} or more documents" if or_more else count(number, "document")
        said = paint(f"{documents} could not be read:", "amber", sys.stderr)
        say(f"{said} {_LISTING}")


def say_refused(refused: list[dict[str, Any]], most: int) -> None:
    """Say of each what was wrong with it, of `most` at most."""
    for one in refused[:most]:
        for row in rows(one, room(sys.stderr, MEASURE) - 2):
            say_row(f"  {row}")
    if len(refused) > most:
        say(f"  … and {len(refused) - most} more: {_LISTING}")


def rows(one: dict[str, Any], columns: int) -> Iterator[str]:
    """Yield what could not be read and why: in a line, or the reason below where it is too long."""
    source, reason = line(str(one["source"])), line(str(one["reason"]))
    if width(source) + 2 + width(reason) <= columns:
        yield f"{source}: {reason}"
        return
    yield f"{source}:"  # whole, so that it can be copied
    yield from ("  " + row for row in wrap(reason, columns - 2))
