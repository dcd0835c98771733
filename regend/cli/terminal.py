"""Where output goes: stdout for data, stderr for messages, and what a terminal can show."""

from __future__ import annotations

import os
import sys
from typing import Any, Final, TextIO

# The sixteen colours of the terminal's own theme, so that both dark and light ones stay readable.
_CODES: Final = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "amber": "33",
    "accent": "34",
    "slate": "90",
}

MEASURE = 88  # columns of a text; longer lines are hard to read, however wide the terminal is

_DEFAULT_COLUMNS = 80
_UNBOUNDED = 1_000_000


def is_terminal(stream: TextIO) -> bool:
    """Tell whether a person is looking at this stream, and it can move its cursor."""
    return stream.isatty() and os.environ.get("TERM", "xterm") != "dumb"


def has_colours(stream: TextIO) -> bool:
    """Tell whether to use colours on this stream (https://no-color.org)."""
    if os.name == "nt" and "WT_SESSION" not in os.environ:
        return False
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def columns(stream: TextIO) -> int:
    """Return the width of the terminal, 80 where there is none to ask."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or _DEFAULT_COLUMNS
    except (OSError, ValueError):
        return _DEFAULT_COLUMNS


def room(stream: TextIO, at_most: int) -> int:
    """Return in how many columns to set a text: those of a terminal up to `at_most`, and where
    there is none, as many as it takes."""
    return min(columns(stream), at_most) if is_terminal(stream) else _UNBOUNDED


def paint(text: str, style: str, stream: TextIO | None = None) -> str:
    """Return the text in a style of `_CODES`, if the stream (stdout by default) shows colours."""
    if not style or not text or not has_colours(stream or sys.stdout):
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def out(text: str) -> None:
    """Print a line of data."""
    print(text)


def out_prose(text: str) -> None:
    """Print sentences as data: in lines of whole words on a terminal."""
    for row in _rows(text, sys.stdout):
        print(row)


def out_json(value: Any) -> None:
    """Print a value as JSON, readable and with stable keys."""
    import json

    from regend.cli.text import escaped

    print(escaped(json.dumps(value, ensure_ascii=False, indent=2)))


def say(text: str) -> None:
    """Print a message for the person: in lines of whole words on a terminal."""
    for row in _rows(text, sys.stderr):
        say_row(row)


def say_row(text: str) -> None:
    """Print a line of a message as it is, however long: it is set already, or to be copied."""
    print(text, file=sys.stderr, flush=True)


def _rows(text: str, stream: TextIO) -> list[str]:
    if not is_terminal(stream):
        return [text]
    from regend.cli.prose import rows

    return rows(text, room(stream, MEASURE))
