"""Units: a document's text cut into the pieces that an answer can quote.

A unit is a sentence, a list item, a table row or a block of code, with its span in the text, so
that a quote is always `text[start:end]`. Markdown, reStructuredText and plain text are read by one
line scanner: what it takes for decoration (badges, link targets, directives, rules) yields no
unit; what it does not know is prose. It never fails, and each line is looked at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from regend.library.passages import HEADING_SEPARATOR
from regend.library.sentences import sentences

MAX_ITEM_CHARACTERS = 400  # a longer list item is cut into sentences
MAX_CODE_CHARACTERS = 900  # a quote shows the first lines of a longer block
MAX_ROW_CHARACTERS = 600
MAX_SENTENCE_CHARACTERS = 600  # a longer one (a line of data, a list in prose) is cut at a space

MAX_BARE_HEADING_CHARACTERS = 60
BARE_HEADING_LEVEL = 7  # below those that are marked

_NOT_BARE = re.compile(r"[.!?:;,।…`|*_<>\[\](){}=\d]|^\W")
_FENCE = re.compile(r"\s{0,8}(`{3,}|~{3,})")
_HEADING = re.compile(r"\s{0,3}(#{1,6})\s+(\S.*)$")
_UNDERLINE = re.compile(r"\s?([=\-~^\"'`+#*_.:])\1{2,}\s*$")
_ITEM = re.compile(r"(\s*)(?:[-*+•◦‣·–]|\(?\d{1,3}[.)])\s+(?=\S)")
_DIRECTIVE = re.compile(
    r"\s*\.\.\s+(?:(code|code-block|sourcecode|parsed-literal)::|"
    r"(note|warning|caution|important|tip|hint|attention|danger)::|\S)"
)
_OPTION = re.compile(r"\s*:[\w-]+:(\s|$)")
_LINK_TARGET = re.compile(r"\s{0,3}\[[^\]]+\]:\s+\S+")
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_IMAGE = re.compile(r"!\[[^\]]*\](?:\([^)]*\)|\[[^\]]*\])")
_DECORATION = re.compile(
    r"\[\s*\]\([^)]*\)|\[\s*\](?:\[[^\]]*\])?"
    r"|<!--.*?-->|</?[a-zA-Z][^<>]*>|\|[\w -]+\|(?=\s|$)|[•·|—-]"
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A quotable piece of a document.

    Attributes:
        start, end: its span in the text.
        kind: "prose", "item", "row" or "code".
        heading: the headings above it, outermost first, joined by " › ".
        lead: place of the unit that introduces it (the sentence before a list or a block of code).
        block: number of its paragraph, list or table; units of one block stand together.
    """

    start: int
    end: int
    kind: str
    heading: str
    lead: int | None
    block: int


@dataclass
class _Line:
    start: int
    end: int
    text: str

    @property
    def blank(self) -> bool:
        return not self.text.strip()

    @property
    def indent(self) -> int:
        expanded = self.text.expandtabs(4)
        return len(expanded) - len(expanded.lstrip())


def units(text: str) -> list[Unit]:
    """Cut a text, or a part of one that begins at a line, into units; they do not overlap."""
    return _Scanner(text).scan()


def _sentences(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the spans of the sentences of `text[start:end]`, each of bounded length."""
    for low, high in sentences(text[start:end]):
        first, last = start + low, start + high
        while last - first > MAX_SENTENCE_CHARACTERS:
            half = first + MAX_SENTENCE_CHARACTERS // 2
            cut = text.rfind(" ", half, first + MAX_SENTENCE_CHARACTERS)
            cut = first + MAX_SENTENCE_CHARACTERS if cut < 0 else cut
            yield first, cut
            first = cut + 1 if text[cut].isspace() else cut
        if first < last:
            yield first, last


@dataclass
class _Scanner:
    """One pass over the lines; each `_take_…` consumes what it understands at `at`."""

    text: str
    lines: list[_Line] = field(default_factory=list)
    at: int = 0
    found: list[Unit] = field(default_factory=list)
    headings: list[tuple[int, str]] = field(default_factory=list)
    rule_levels: list[str] = field(default_factory=list)
    lead: int | None = None
    parents: list[tuple[int, int]] = field(default_factory=list)  # indent and place of list items
    block: int = 0
    literal: bool = False  # the paragraph before ended in "::", so an indented block is code

    def scan(self) -> list[Unit]:
        offset = 0
        for raw in self.text.splitlines(keepends=True):
            self.lines.append(_Line(offset, offset + len(raw.rstrip()), raw.rstrip()))
            offset += len(raw)
        while self.at < len(self.lines):
            if self.lines[self.at].blank:
                self.at += 1
                continue
            if not (
                self._take_fence()
                or self._take_doctest()
                or self._take_heading()
                or self._take_directive()
                or self._take_table()
                or self._take_item()
                or self._take_indented()
            ):
                self._take_paragraph()
        return self.found

    def _take_fence(self) -> bool:
        opened = _FENCE.match(self.lines[self.at].text)
        if not opened:
            return False
        first = self.at + 1
        self.at = first
        while self.at < len(self.lines):
            closed = _FENCE.match(self.lines[self.at].text)
            if closed and closed.group(1).startswith(opened.group(1)):
                break
            self.at += 1
        self._add_code(first, self.at)
        self.at += 1
        return True

    def _take_doctest(self) -> bool:
        if not self.lines[self.at].text.lstrip().startswith(">>> "):
            return False
        first = self.at
        while self.at < len(self.lines) and not self.lines[self.at].blank:
            self.at += 1
        self._add_code(first, self.at)
        return True

    def _take_heading(self) -> bool:
        line = self.lines[self.at]
        marked = _HEADING.match(line.text)
        if marked:
            self._enter(len(marked.group(1)), marked.group(2).rstrip("# \t"))
            self.at += 1
            return True
        if _UNDERLINE.match(line.text):
            self.at += 1  # an overline or a rule; the title's own underline follows it
            return True
        below = self.lines[self.at + 1] if self.at + 1 < len(self.lines) else None
        if below is None or line.indent > 3 or not _UNDERLINE.match(below.text):
            return self._take_bare_heading()
        if len(line.text) > 200 or len(below.text.strip()) < len(line.text.strip()) // 2:
            return False
        mark = below.text.strip()[0]
        if mark not in self.rule_levels:
            self.rule_levels.append(mark)
        self._enter(self.rule_levels.index(mark) + 1, line.text.strip())
        self.at += 2
        return True

    def _take_bare_heading(self) -> bool:
        """Take a short line that stands alone above text, as papers without marks have them."""
        line = self.lines[self.at]
        alone = self._is_blank(self.at - 1) and self._is_blank(self.at + 1)
        if not alone or len(line.text) > MAX_BARE_HEADING_CHARACTERS or line.indent:
            return False
        following = next((one for one in self.lines[self.at + 1 :] if not one.blank), None)
        if following is None or following.indent > 3 or _NOT_BARE.search(line.text):
            return False
        if _FENCE.match(following.text) or not following.text[0].isalnum():
            return False
        self._enter(BARE_HEADING_LEVEL, line.text.strip())
        self.at += 1
        return True

    def _is_blank(self, at: int) -> bool:
        return not 0 <= at < len(self.lines) or self.lines[at].blank

    def _enter(self, level: int, title: str) -> None:
        while self.headings and self.headings[-1][0] >= level:
            self.headings.pop()
        self.headings.append((level, _TAG.sub("", title).strip()))
        self.lead = None
        self.parents.clear()
        self.literal = False

    def _take_directive(self) -> bool:
        line = self.lines[self.at]
        if _OPTION.match(line.text) or _LINK_TARGET.match(line.text):
            self.at += 1
            return True
        directive = _DIRECTIVE.match(line.text)
        if not directive:
            return False
        self.at += 1
        if directive.group(2):
            return True  # an admonition: what is in it is prose
        while self.at < len(self.lines) and _OPTION.match(self.lines[self.at].text):
            self.at += 1
        first = self.at
        self._skip_deeper(line.indent)
        if directive.group(1):
            self._add_code(first, self.at)
        return True

    def _skip_deeper(self, indent: int) -> None:
        while self.at < len(self.lines) and (
            self.lines[self.at].blank or self.lines[self.at].indent > indent
        ):
            self.at += 1

    def _take_table(self) -> bool:
        if not self.lines[self.at].text.lstrip().startswith(("|", "+--", "+==")):
            return False
        self.block += 1
        while self.at < len(self.lines) and self.lines[self.at].text.lstrip().startswith(
            ("|", "+")
        ):
            line = self.lines[self.at]
            if len(line.text) <= MAX_ROW_CHARACTERS:
                self._add(line.start + len(line.text) - len(line.text.lstrip()), line.end, "row")
            self.at += 1
        return True

    def _take_item(self) -> bool:
        line = self.lines[self.at]
        marked = _ITEM.match(line.text)
        if not marked:
            return False
        indent = line.indent
        self.at += 1
        while self.at < len(self.lines) and self._continues_item(indent):
            self.at += 1
        start, end = line.start + marked.end(), self.lines[self.at - 1].end
        self.block += 1
        self.parents = [parent for parent in self.parents if parent[0] < indent]
        if end - start <= MAX_ITEM_CHARACTERS:
            self._add(start, end, "item")
        else:
            for first, last in _sentences(self.text, start, end):
                self._add(first, last, "item")
        if self.found and self.found[-1].end == end:
            self.parents.append((indent, len(self.found) - 1))
        return True

    def _continues_item(self, indent: int) -> bool:
        line = self.lines[self.at]
        if line.blank or _ITEM.match(line.text) or _FENCE.match(line.text):
            return False
        opens_section = _HEADING.match(line.text) or self._starts_heading()
        return line.indent > indent or not opens_section

    def _starts_heading(self) -> bool:
        below = self.lines[self.at + 1] if self.at + 1 < len(self.lines) else None
        return below is not None and bool(_UNDERLINE.match(below.text))

    def _take_indented(self) -> bool:
        line = self.lines[self.at]
        looks_like_code = line.text.lstrip().startswith(("$ ", ">>>", "pip install", "import "))
        in_list = bool(self.found) and self.found[-1].kind == "item"
        deep = line.indent >= 4 and not in_list
        if line.indent == 0 or not (self.literal or deep or looks_like_code):
            return False
        first = self.at
        self._skip_deeper(line.indent - 1)
        self._add_code(first, self.at)
        self.literal = False
        return True

    def _take_paragraph(self) -> None:
        first = self.lines[self.at]
        self.at += 1
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if line.blank or (_ITEM.match(line.text) and line.indent <= first.indent + 3):
                break
            if _FENCE.match(line.text) or _HEADING.match(line.text) or self._starts_heading():
                break
            if line.text.lstrip().startswith("|") or _LINK_TARGET.match(line.text):
                break
            if line.text.startswith(".. "):
                break
            self.at += 1
        last = self.lines[self.at - 1]
        quoted = len(first.text) - len(first.text.lstrip(" \t>"))
        self.literal = last.text.endswith("::")
        self.block += 1
        before = len(self.found)
        for start, end in _sentences(self.text, first.start + quoted, last.end):
            self._add(start, end, "prose")
        if len(self.found) > before:
            self.lead = len(self.found) - 1
            self.parents.clear()

    def _add_code(self, first: int, after: int) -> None:
        while first < after and self.lines[first].blank:
            first += 1
        while first < after and self.lines[after - 1].blank:
            after -= 1
        if first >= after:
            return
        self.block += 1
        start, end = self.lines[first].start, self.lines[first].start
        for line in self.lines[first:after]:
            if line.end - start > MAX_CODE_CHARACTERS:
                break
            end = line.end
        self._add(start, end, "code")

    def _add(self, start: int, end: int, kind: str) -> None:
        """Add a unit, unless nothing is left of it once decoration is taken away."""
        body = self.text[start:end]
        bare = _DECORATION.sub(" ", _IMAGE.sub("", body))
        if not any(one.isalnum() for one in bare):
            return
        heading = HEADING_SEPARATOR.join(title for _, title in self.headings if title)
        lead = self.lead if kind != "prose" else None
        if kind in ("item", "code") and self.parents:
            lead = self.parents[-1][1]
        self.found.append(Unit(start, end, kind, heading, lead, self.block))
