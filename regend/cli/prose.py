"""Sentences for the person, in lines of whole words.

Rules
1. A line ends between words, never in one. What is longer than a line (a path, an address) stays
   whole, so that it can be copied.
2. A command in a sentence stays in one line if one can hold it. A longer one ends its lines in a
   backslash, so that it can be copied too.
3. A text that fits is left as it is, with all its spaces.
"""

from __future__ import annotations

import re
from functools import cache

from regend.cli.index import targets
from regend.cli.text import shown_width, wrap

_GLUE = "\0"  # between words that no end of line may part; never shown
_LEAD = re.compile(r"((?:\x1b\[\d+m)*)( *)")
_ARGUMENT = r"(?:\"[^\"]*\"|'[^']*'|[^\s\"'])+"


def whole(text: str) -> str:
    """Return the text as one word for `rows`, spaces and all."""
    return text.replace(" ", _GLUE)


def unglued(text: str) -> str:
    """Undo `whole`."""
    return text.replace(_GLUE, " ")


def rows(text: str, columns: int) -> list[str]:
    """Return a text with its styles as lines of at most this many columns, indented as it is."""
    found: list[str] = []
    for line in text.split("\n"):
        if shown_width(line) <= columns:
            found.append(unglued(line))
            continue
        styles, lead = _LEAD.findall(line)[0]
        room = columns - len(lead)
        said = styles + line[len(styles) + len(lead) :]
        glued = _command().sub(lambda match: whole(match[0]), said)
        for row in wrap(glued, room, measure=shown_width):
            long = _GLUE in row and shown_width(row) > room
            parts = command_rows(unglued(row), room) if long else [unglued(row)]
            found += [lead + part for part in parts]
    return found


def command_rows(text: str, columns: int) -> list[str]:
    """Return a command line in lines of at most this many columns that can be copied together.

    A quoted argument stays in one line if one can hold it; in single quotes, in any case: there a
    backslash would be part of it.
    """
    if shown_width(text) <= columns:
        return [text]
    room = columns - 2  # for the backslash
    words = [
        whole(argument) if "'" in argument or shown_width(argument) <= room - 2 else argument
        for argument in re.findall(_ARGUMENT, text)
    ]
    *before, last = wrap(" ".join(words), room, indent="  ", measure=shown_width)
    return [unglued(one) for one in (*(f"{row} \\" for row in before), last)]


@cache
def _command() -> re.Pattern[str]:
    """Return what a command in a sentence looks like, up to the mark that ends it."""
    known = "|".join(targets())
    ending = r"\s,;()“”\x1b"
    argument = rf"\"[^\"]*\"|[^{ending}]*[^{ending}.:]"
    return re.compile(rf"(?<![^\sm])regend (?:{known})(?: (?:{argument}))*")  # m: ends a style
