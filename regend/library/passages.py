"""Splitting a text into passages that know where they stand.

A passage is what a search finds and a citation points to. Invariants, for every text:
 1. `text[start:end]` is the passage; it has no blank at either end;
 2. passages are in order and do not overlap;
 3. every character that is not blank is in one passage;
 4. no passage is longer than `limits.MAX_PASSAGE_CHARACTERS`.

Markdown (and the underlined headings of reStructuredText) is understood as far as that serves
finding: a heading opens a passage and names the ones below it, a fence of code is a passage of its
own kind with the heading above it, tables are cut between rows, lists between items, paragraphs
between sentences. Plain text is Markdown without marks. A form feed is a page break of a PDF.

Pure; time grows with the length of the text only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from regend.library.sentences import Span, sentences, trimmed
from regend.limits import MAX_PASSAGE_CHARACTERS

Kind = Literal["prose", "code", "table"]

HEADING_SEPARATOR: Final = " › "
_FULL_CHARACTERS = 800  # a passage that has as much takes no further block
_HEADING_CHARACTERS = 160  # of one heading in a path; longer “headings” are text gone astray
_HEADING_LINE_CHARACTERS = 1000  # a longer line is no heading, and keeps the patterns quick

# Lines that open with a word (after an indent or a list mark) can be nothing but text, so a run of
# them is read at once; every other line is looked at by itself. Nothing is given back once it is
# matched: a match holds the interpreter, and a file of blanks would be walked again and again.
_LINES = re.compile(r"(?:[ \t]*+(?:[-*+] )?+[^\W_][^\n\f]*+\n)++|[^\n]*+\n|[^\n]++")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r"([=\-~^\"'*+#`])\1{2,}[ \t]*$")
_UNDERLINES = frozenset("=-~^\"'*+#`")
_UNDERLINE_LEVELS: Final = {"=": 1, "-": 2, "~": 3, "^": 4}  # the usual order; others are deeper
_MARKS = re.compile(r"[*_`]{1,3}|!?\[([^\]]*)\]\([^)]*\)")
_MARK = re.compile(r"\s{0,3}(?:#{1,6}\s|```|~~~)")
_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])\s")


@dataclass(frozen=True, slots=True)
class Passage:
    """One stretch of a document.

    Attributes:
        ordinal: place among the passages of its document, from 0.
        heading: the headings above it, outermost first, joined by `HEADING_SEPARATOR`.
        kind: `code` for a fence (with the heading right above it), `table`, else `prose`.
        start: first character in the document's text.
        end: one past the last.
    """

    ordinal: int
    heading: str
    kind: Kind
    start: int
    end: int


@dataclass(slots=True)
class _Block:
    """A run of lines that belong together: a heading, a paragraph, a fence, a table."""

    kind: Literal["heading", "prose", "code", "table"]
    start: int
    end: int
    level: int = 0
    title: str = ""


def split(text: str) -> list[Passage]:
    """Return the passages of a text (see the invariants of this module)."""
    passages: list[Passage] = []
    for heading, kind, start, end in _sections(text):
        for low, high in _within_bound(text, kind, start, end):
            passages.append(Passage(len(passages), heading, kind, low, high))
    return passages


def literal(text: str) -> str:
    """Return text that is not Markdown so that no line of it is taken for a heading or a fence."""
    return "\n".join("\\" + line if _MARK.match(line) else line for line in text.split("\n"))


def _sections(text: str) -> Iterator[tuple[str, Kind, int, int]]:
    """Join blocks under one heading into stretches of about a passage's length."""
    path: list[tuple[int, str]] = []
    start = end = -1
    kind: Kind | None = None  # None: nothing but headings so far
    for block in _blocks(text):
        if start >= 0 and kind is not None and _closes(kind, start, end, block):
            yield _joined(path), kind, start, end
            start, kind = -1, None
        if block.kind == "heading":
            while path and path[-1][0] >= block.level:
                path.pop()
            if block.title:
                path.append((block.level, block.title))
        else:
            kind = block.kind
        start = block.start if start < 0 else start
        end = block.end
    if start >= 0:
        yield _joined(path), kind or "prose", start, end


def _closes(kind: Kind, start: int, end: int, block: _Block) -> bool:
    """Tell whether a stretch ends before `block`."""
    if block.kind != kind or kind == "code":
        return True
    return end - start >= _FULL_CHARACTERS or block.end - start > MAX_PASSAGE_CHARACTERS


def _joined(path: list[tuple[int, str]]) -> str:
    return HEADING_SEPARATOR.join(title for _, title in path)


class _Blocks:
    """The blocks read so far and the one that is still open."""

    def __init__(self) -> None:
        self.done: list[_Block] = []
        self.open: _Block | None = None

    def close(self) -> None:
        """End the open block, if there is one."""
        if self.open is not None:
            self.done.append(self.open)
            self.open = None

    def add_line(self, kind: Kind, start: int, end: int) -> None:
        """Let a line go on with the open block of its kind, or open one."""
        if self.open is not None and self.open.kind == kind:
            self.open.end = end
        else:
            self.close()
            self.open = _Block(kind, start, end)

    def add_heading(self, level: int, title: str, start: int, end: int) -> None:
        """Add a heading, a block of its own."""
        self.close()
        self.done.append(_Block("heading", start, end, level, title))


def _blocks(text: str) -> list[_Block]:
    """Return the blocks of a text in order; together they hold every character not blank."""
    blocks = _Blocks()
    fence = ""
    page = 1
    if "\f" in text:
        blocks.add_heading(1, "Page 1", 0, 0)
    for match in _LINES.finditer(text):
        line, (low, high) = match[0], match.span()
        stripped = line.strip()
        if fence:
            blocks.add_line("code", low, high)
            if stripped.startswith(fence) and not stripped.strip(fence[0]):
                blocks.close()
                fence = ""
        elif not stripped:
            blocks.close()
        elif stripped[0] in _UNDERLINES and _is_underline(text, blocks.open, stripped):
            assert blocks.open is not None
            title, blocks.open = blocks.open, None
            level = _UNDERLINE_LEVELS.get(stripped[0], 5)
            blocks.add_heading(level, _plain(text[title.start : title.end]), title.start, high)
        elif stripped[0] in "`~" and (opening := _FENCE.match(line)):
            blocks.close()
            blocks.add_line("code", low, high)
            fence = opening[1]
        elif stripped[0] == "#" and (heading := _heading(line)):
            blocks.add_heading(*heading, low, high)
        else:
            blocks.add_line("table" if stripped[0] == "|" else "prose", low, high)
        if "\f" in line:
            page += line.count("\f")
            blocks.add_heading(1, f"Page {page}", high, high)
            fence = ""
    blocks.close()
    return blocks.done


def _heading(line: str) -> tuple[int, str] | None:
    """Return level and title of a line that is a heading by its own marks."""
    if len(line) > _HEADING_LINE_CHARACTERS:
        return None
    match = _HEADING.match(line.rstrip("\n"))
    return (len(match[1]), _plain(match[2])) if match else None


def _is_underline(text: str, block: _Block | None, stripped: str) -> bool:
    """Tell whether a line underlines the one-line block above it, which makes that a heading."""
    if block is None or block.kind != "prose" or not _UNDERLINE.match(stripped):
        return False
    title = text[block.start : block.end].strip()
    if "\n" in title or len(title) > _HEADING_CHARACTERS or _ITEM.match(title + " "):
        return False
    return stripped[0] in "=-" or len(stripped) >= len(title)


def _plain(heading: str) -> str:
    """Return a heading's words without marks of emphasis and links."""
    bare = _MARKS.sub(lambda match: match[1] or "", heading[:_HEADING_LINE_CHARACTERS])
    words = " ".join(bare.split())
    return words[:_HEADING_CHARACTERS]


def _within_bound(text: str, kind: Kind, start: int, end: int) -> Iterator[Span]:
    """Cut a stretch into pieces no longer than the bound, at the best places that it offers."""
    start, end = trimmed(text, start, end)
    while end - start > MAX_PASSAGE_CHARACTERS:
        cut = _cut(text, kind, start)
        low, high = trimmed(text, start, cut)
        if low < high:
            yield low, high
        start, end = trimmed(text, cut, end)
    if start < end:
        yield start, end


def _cut(text: str, kind: Kind, start: int) -> int:
    """Return where to cut a stretch that is too long: the last good place within the bound."""
    bound = start + MAX_PASSAGE_CHARACTERS
    half = start + MAX_PASSAGE_CHARACTERS // 2
    if kind == "prose":
        ends = [start + high for _, high in sentences(text[start : bound + 1])]
        good = [place for place in ends if half <= place < bound]
        if good:
            return good[-1]
    line = text.rfind("\n", half, bound)
    if line >= 0:
        return line + 1
    blank = max(text.rfind(" ", half, bound), text.rfind("\t", half, bound))
    return blank + 1 if blank >= 0 else bound
