"""Texts as a terminal shows them: safe to print, measured in columns, cut and wrapped by them.

Documents, titles and models say what they like; control characters in them must neither move the
cursor nor turn the text around. A column is not a character: Indian scripts put marks on a letter,
East Asian letters take two columns.
"""

from __future__ import annotations

import re
from collections.abc import Callable

# C0 and C1 controls except tab and newline, and the marks that reorder what follows them.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]"
)

# A letter that may end a line wherever it stands, and the punctuation that may not begin one.
LONE = "[\u2e80-\u2fff\u3041-\u30ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003fffd]"
CLOSING = "[、。〃〉》」』】・ー！），．：；？]*"
_WORD = rf"(\s*)({LONE}{CLOSING}|(?:(?!{LONE})\S)+)"  # compiled when the first text is wrapped

_AS_PICTURE = "\ufe0f"  # makes a picture, two columns wide, of a letter that takes one

_UNITS = ("B", "kB", "MB", "GB", "TB")
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def plain(text: str) -> str:
    """Return the text without characters that would command the terminal; newlines stay."""
    return _UNSAFE.sub("", text)


def escaped(json_text: str) -> str:
    """Return JSON text in which what could steer a terminal is written as an escape.

    The value stays the same; line breaks between its parts stay too.
    """
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", json_text)


def line(text: str) -> str:
    """Return the text as one safe line."""
    return " ".join(plain(text).split())


def width(text: str) -> int:
    """Return how many columns a text takes in a terminal."""
    if text.isascii():
        return len(text)
    return sum(_cell(character) for character in text)


def shown_width(text: str) -> int:
    """Return how many columns a text takes whose styles take none."""
    return width(re.sub("\x1b\\[\\d+m", "", text))


def fit(text: str, columns: int) -> str:
    """Return the text cut to at most this many columns, with “…” where something is missing."""
    if width(text) <= columns:
        return text
    kept, used = [], 0
    for character in text:
        used += _cell(character)
        if used > columns - 1:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…" if columns > 0 else ""


def fit_end(text: str, columns: int) -> str:
    """Return the text cut at its front to at most this many columns: of a path, its name stays."""
    if width(text) <= columns:
        return text
    left, used = len(text), 1
    while left and (used := used + _cell(text[left - 1])) <= columns:
        left -= 1
    while left < len(text) and not _cell(text[left]):  # a mark without its letter
        left += 1
    return "…" + text[left:].lstrip() if columns > 0 else ""


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """Return the text filled with spaces to this many columns, pushed right if asked."""
    filling = " " * max(0, columns - width(text))
    return filling + text if right else text + filling


def wrap(
    text: str, columns: int, indent: str = "", measure: Callable[[str], int] = width
) -> list[str]:
    """Return the paragraph as lines of at most this many columns; longer words stay whole.

    Letters of scripts that have no spaces are words of their own.

    Args:
        indent: before every line but the first.
        measure: returns the columns of a word.
    """
    lines: list[str] = []
    current, used = "", 0
    for space, word in re.findall(_WORD, text.rstrip()):
        gap, size = " " if space and current else "", measure(word)
        if current and used + len(gap) + size > columns:
            lines.append(current)
            current, used = indent + word, width(indent) + size
        else:
            current += gap + word
            used += len(gap) + size
    return [*lines, current] if current else lines


def size(count: int) -> str:
    """Return a number of bytes as people read it: `98.4 MB`."""
    amount, step = float(count), 0
    while amount >= 1000 and step < len(_UNITS) - 1:
        amount, step = amount / 1000, step + 1
    digits = 0 if step == 0 or amount >= 100 else 1
    return f"{amount:.{digits}f} {_UNITS[step]}"


def duration(seconds: float) -> str:
    """Return a length of time in its leading units: `40 ms`, `1.4 s`, `12 min 5 s`, `3 d 4 h`."""
    if seconds < 0.001:
        return "<1 ms"
    if seconds < 0.95:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S} s"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def age(seconds: float) -> str:
    """Return how long ago something was, short enough for a column: `now`, `3m`, `2h`, `5d`."""
    if seconds < 5:
        return "now"
    if seconds < _MINUTE_S:
        return f"{int(seconds)}s"
    if seconds < _HOUR_S:
        return f"{int(seconds) // _MINUTE_S}m"
    if seconds < _DAY_S:
        return f"{int(seconds) // _HOUR_S}h"
    return f"{int(seconds) // _DAY_S}d"


def left(seconds: float) -> str:
    """Return how long something still lasts, to the nearest unit: `30d`, `12h`, `1m`."""
    for unit_s, letter, rounding_s in (
        (_DAY_S, "d", _HOUR_S / 2),
        (_HOUR_S, "h", _MINUTE_S / 2),
    ):
        if seconds >= unit_s - rounding_s:
            return f"{round(seconds / unit_s)}{letter}"
    return f"{max(1, round(seconds / _MINUTE_S))}m"


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun: `1 step`, `2 steps`."""
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"


def _cell(character: str) -> int:
    """Return the columns of one character, as terminals with wcwidth count them."""
    if character.isascii():
        return 1
    if character == _AS_PICTURE:
        return 1
    from unicodedata import category, east_asian_width  # a library of its own, for few texts

    if category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if east_asian_width(character) in "WF" else 1
