"""From a web page to Markdown: what its reader sees, and of that the main part.

 1. What the page hides is not read: `hidden`, `aria-hidden`, and what an element's own style makes
    invisible. Style sheets are not looked at; what they hide depends on the window.
 2. Headings, lists, tables and code keep their form, and a blank line parts each block from the
    next, so that no sentence runs from one into another.
 3. trafilatura tells where the main part begins and ends. All that a reader sees between is kept:
    its own choice of sentences leaves some out.

Only the extractor process loads this: the parsers are heavy, and made for foreign input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import lxml.html
import trafilatura
from lxml import etree

from regend.errors import BadInput
from regend.library.passages import literal
from regend.library.stopwords import word_set

_UNREAD: Final = word_set(
    "annotation annotation-xml audio button canvas datalist embed iframe input map nav"
    " noscript object option rp script select style svg template textarea title video"
)
_HEADINGS: Final = {f"h{level}": level for level in range(1, 7)}
_BLOCKS: Final = word_set(
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset"
    " figcaption figure footer form h1 h2 h3 h4 h5 h6 header hgroup hr html legend li main menu ol"
    " p search section summary table tbody td tfoot th thead tr ul"
)
_LISTS: Final = word_set("dir menu ol ul")
_HIDING_STYLE = re.compile(
    r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*(?:hidden|collapse)"
    r"|content-visibility\s*:\s*hidden|(?:opacity|font-size)\s*:\s*0*\.?0+(?![\d.]))",
    re.I,
)
_ROW_CHARACTERS = 500  # a longer row is a layout: each of its cells stands alone
_NO_LETTERS = re.compile(r"[\W_]+")
_JUDGED_ELEMENTS = 20_000  # trafilatura's time grows with their square: a second for as many
_TELLING_CHARACTERS = 20  # letters of a block that are no chance find in another text
_SHORT_SHARE = 0.2  # of a page's text; less than that, and what was taken for padding is kept


def read(html: str) -> tuple[str, str]:
    """Return title and text of a page.

    Raises:
        BadInput: it is nested too deeply to be read.
    """
    root = _parsed(html)
    if root is None:
        return "", ""
    title = root.findtext(".//title") or ""
    _drop_unseen(root)
    heading = root.find(".//h1")
    blocks = _Reader().read(root)
    text = _joined(_main_part(blocks, root))
    return title if title.strip() or heading is None else _line(heading), text


def _parsed(html: str) -> Any:
    """Return the tree of a page, None where there is none."""
    parser = lxml.html.HTMLParser(
        encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True
    )
    content = html.replace("\0", "\ufffd").encode("utf-8", errors="replace")
    try:
        root = lxml.html.document_fromstring(content, parser=parser)
    except etree.ParserError:  # empty
        root = None
    if any("depth" in entry.message for entry in parser.error_log):
        raise BadInput(
            "document_broken",
            "This page is nested too deeply to be read.",
            hint="Open it in a browser, and save its text.",
        )
    return root


def _drop_unseen(root: Any) -> None:
    """Empty every element that a reader of the page does not see."""
    for element in list(root.iter(etree.Element)):
        if _is_unread(element) or _is_hidden(element):
            element.clear(keep_tail=True)
            element.tag = "span"


def _is_unread(element: Any) -> bool:
    if element.tag == "button":  # many a heading is one, to unfold what is below it
        return element.getparent().tag not in _HEADINGS
    return element.tag in _UNREAD


def _is_hidden(element: Any) -> bool:
    if element.tag in ("html", "body"):  # hidden until a script has run
        return False
    hidden = element.get("hidden")
    if hidden is not None and hidden.strip().lower() != "until-found":
        return True
    if (element.get("aria-hidden") or "").strip().lower() == "true":
        return True
    return bool(_HIDING_STYLE.search(element.get("style") or ""))


@dataclass(frozen=True, slots=True)
class _Block:
    kind: Literal["heading", "item", "text"]
    text: str

    @property
    def letters(self) -> str:
        """Its letters and digits without anything between."""
        return _NO_LETTERS.sub("", self.text)


@dataclass
class _Reader:
    """One walk over a page; `words` are those of the block that is open."""

    blocks: list[_Block] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    lists: list[int | None] = field(default_factory=list)  # the number of each list's last item
    mark: str = ""  # of the list item that the open block begins

    def read(self, root: Any) -> list[_Block]:
        """Return the blocks of a page in order."""
        walk = etree.iterwalk(root, events=("start", "end"))
        for event, element in walk:
            if event == "start":
                if self._enter(element):
                    walk.skip_subtree()
                elif element.text:
                    self._say(element.text)
            else:
                self._leave(element)
                if element.tail:
                    self._say(element.tail)
        self._end_block()
        return self.blocks

    def _enter(self, element: Any) -> bool:
        """Begin an element; tell whether all of it has been read by that."""
        tag = element.tag
        if tag == "br":
            self.words.append("\n")
        if tag not in _BLOCKS and tag != "pre":
            return False
        self._end_block()
        if level := _HEADINGS.get(tag):
            self._add("heading", "#" * level + " ", _line(element))
            return True
        if tag == "pre":
            self._add_code(element)
            return True
        if tag == "table" and (rows := _rows(element)):
            self.blocks += rows
            return True
        if tag in _LISTS:
            self.lists.append(0 if tag == "ol" else None)
        elif tag in ("li", "dd"):
            self.mark = self._item_mark()
        return False

    def _leave(self, element: Any) -> None:
        if element.tag in _BLOCKS:
            self._end_block()
            self.mark = ""
        if element.tag in _LISTS:
            self.lists.pop()

    def _item_mark(self) -> str:
        indent = "  " * (len(self.lists) - 1)
        number = self.lists[-1] if self.lists else None
        if number is None:
            return f"{indent}- "
        self.lists[-1] = number + 1
        return f"{indent}{number + 1}. "

    def _say(self, text: str) -> None:
        self.words.append(text.replace("\n", " "))

    def _end_block(self) -> None:
        lines = [" ".join(line.split()) for line in "".join(self.words).split("\n")]
        self.words.clear()
        for paragraph in re.split(r"\n{2,}", "\n".join(lines).strip("\n")):
            if paragraph:
                self._add("item" if self.mark else "text", self.mark, literal(paragraph))
                self.mark = ""

    def _add(self, kind: Literal["heading", "item", "text"], mark: str, text: str) -> None:
        if text:
            self.blocks.append(_Block(kind, mark + text))

    def _add_code(self, element: Any) -> None:
        for line_break in element.iter("br"):
            line_break.tail = "\n" + (line_break.tail or "")
        code = "".join(element.itertext()).strip("\n")
        if code.strip():
            longest = max(map(len, re.findall("`+", code)), default=0)
            fence = "`" * max(3, longest + 1)
            self._add("text", "", f"{fence}\n{code}\n{fence}")


def _rows(table: Any) -> list[_Block]:
    """Return a table as blocks, none for one that only lays a page out."""
    layout = table.get("role") in ("presentation", "none")
    if layout or any(table.find(f".//{tag}") is not None for tag in ("table", *_HEADINGS)):
        return []
    rows = [
        [(cell.tag, _line(cell)) for cell in row if cell.tag in ("td", "th")]
        for row in table.iter("tr")
    ]
    if all(len(row) < 2 for row in rows):
        return []
    blocks = [_Block("text", _line(caption)) for caption in table.iter("caption")]
    lines: list[str] = []
    for row in rows:
        filled = [literal(text) for _, text in row if text]
        line = "| " + " | ".join(text.replace("|", "\\|") for _, text in row) + " |"
        if len(filled) > 1 and len(line) <= _ROW_CHARACTERS:
            lines.append(line)
            if len(lines) == 1 and all(tag == "th" for tag, _ in row):
                lines.append("|" + "---|" * len(row))
            continue
        if lines:
            blocks.append(_Block("text", "\n".join(lines)))
            lines = []
        blocks += [_Block("text", text) for text in filled]
    if lines:
        blocks.append(_Block("text", "\n".join(lines)))
    return blocks


def _line(element: Any) -> str:
    """Return the words of an element on one line."""
    parts: list[str] = []
    for event, one in etree.iterwalk(element, events=("start", "end")):
        if one.tag in _BLOCKS or one.tag == "br":
            parts.append(" ")
        if event == "start":
            parts.append(one.text or "")
        elif one is not element:
            parts.append(one.tail or "")
    return " ".join("".join(parts).split())


def _main_part(blocks: list[_Block], root: Any) -> list[_Block]:
    """Return the blocks of the main part, all where it cannot be told."""
    if sum(1 for _ in root.iter(etree.Element)) > _JUDGED_ELEMENTS:
        return blocks
    try:
        chosen = trafilatura.extract(
            root, include_comments=False, include_tables=True, favor_recall=True
        )
    except RecursionError:
        return blocks
    known = _NO_LETTERS.sub("", chosen or "")
    first = _first_known(blocks, known)
    last = len(blocks) - _first_known(blocks[::-1], known)
    while first > 0 and (blocks[first - 1].kind == "heading" or blocks[first - 1].letters in known):
        first -= 1
    while last < len(blocks) and blocks[last].letters in known:
        last += 1
    part = blocks[first:last]
    return part if _size(part) >= _SHORT_SHARE * _size(blocks) else blocks


def _first_known(blocks: list[_Block], known: str) -> int:
    """Return the place of the first block that is surely in a text, the end if none is."""
    for place, block in enumerate(blocks):
        letters = block.letters
        if len(letters) >= _TELLING_CHARACTERS and letters in known:
            return place
    return len(blocks)


def _size(blocks: list[_Block]) -> int:
    return sum(len(block.text) for block in blocks)


def _joined(blocks: list[_Block]) -> str:
    """Return blocks as one text: items of a list line by line, all else with a blank line."""
    return "".join(_parted(blocks))


def _parted(blocks: list[_Block]) -> Iterator[str]:
    for place, block in enumerate(blocks):
        if place:
            together = block.kind == blocks[place - 1].kind == "item"
            yield "\n" if together else "\n\n"
        yield block.text
