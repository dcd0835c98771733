"""Text that comes in pieces, set in lines of whole words while it comes.

Rules
1. A word is shown when it is whole: when something came that parts it from the next. Letters of
   scripts that have no spaces are words of their own; a word longer than a line is shown as it
   comes, and never broken here, so that an address can be copied.
2. Before a word that would pass the edge the line ends, and goes on below where its text began:
   behind its spaces, or behind the mark of a list.
3. Lines, empty lines and spaces of the text stay, but for those at its very beginning and end. Code
   between fences is left to the terminal.
"""

from __future__ import annotations

import re

from regend.cli.text import CLOSING, LONE, width

_PARTS = re.compile(rf"[ \t\n]+|{LONE}{CLOSING}|(?:(?!{LONE})[^ \t\n])+")
_LIST_MARK = re.compile(r"[-*+•]|\d{1,3}[.)]")
_FENCE = "```"


class Flow:
    """Sets one text after the other; what `feed` and `end` return is to be written as it is.

    Args:
        columns: of the lines, indent included.
        indent: before every line.
    """

    def __init__(self, columns: int, indent: str = "") -> None:
        self._columns = columns
        self._indent = indent
        self._held = ""  # the beginning of a word whose end has not come
        self._begin()

    def feed(self, piece: str) -> str:
        """Return what of the text can be shown now that this piece has come."""
        *parts, self._held = _PARTS.findall(self._held + piece) or [""]
        shown = "".join(self._set(part) for part in parts)
        if width(self._held) > self._columns:
            shown += self._set(self._held)
            self._held = ""
        return shown

    def end(self) -> str:
        """Return the rest and the end of its line; what is fed next is another text."""
        shown = self._set(self._held)
        if self._used:
            shown += "\n"
        self._begin()
        return shown

    def _begin(self) -> None:
        self._held = ""
        self._gap = "\n"  # what came before the next word
        self._used = 0  # columns of the line; 0 only before the first word of the text
        self._hang = ""  # before the rest of a line that goes on below
        self._fenced = False

    def _set(self, part: str) -> str:
        if not part.strip(" \t\n"):
            self._gap += part.replace("\t", "    ")
            return ""
        gap, self._gap = self._gap, ""
        if "\n" in gap:
            return self._first(part, gap)
        beyond = self._used + width(gap + part) > self._columns
        if beyond and not self._fenced and (gap or re.match(LONE, part)):
            return "\n" + self._line(self._hang, part)
        self._used += width(gap + part)
        return gap + part

    def _first(self, word: str, gap: str) -> str:
        """Begin a line of the text."""
        breaks, lead = gap.count("\n"), gap.rpartition("\n")[2]
        if not self._used:
            breaks, lead = 0, ""
        if word.startswith(_FENCE):
            self._fenced = not self._fenced
        self._hang = lead + " " * (width(word) + 1 if _LIST_MARK.fullmatch(word) else 0)
        if 2 * width(self._indent + self._hang) > self._columns:
            self._hang = ""
        return "\n" * breaks + self._line(lead, word)

    def _line(self, lead: str, word: str) -> str:
        line = self._indent + lead + word
        self._used = width(line)
        return line
