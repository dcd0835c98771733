"""Markdown as text in a terminal: wrapped, quotes with a bar, emphasis as bold, marks kept.

Only what answers are made of: headings, paragraphs, lists, quotes, code, emphasis. Everything else
is shown as it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from regend.cli.terminal import MEASURE, paint
from regend.cli.text import plain, shown_width, wrap

_ESCAPE = re.compile(r"\\([\\`*_\[\]<>~|&#+=\-.)!])")
_CODE = re.compile(r"(?<!\\)(`+)(.+?)\1")
_STRONG = re.compile(r"(?<!\\)\*\*(.+?)(?<!\\)\*\*")
_ITALIC = re.compile(r"(?<![\\*])\*(?!\*)(.+?)(?<![\\*])\*(?!\*)")
_ITEM = re.compile(r"^(\s*)([-*+]|\d{1,3}[.)])\s+(.*)$")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
_QUOTE = "│ "


def render(text: str, columns: int) -> list[str]:
    """Return the Markdown as lines for a terminal of this width."""
    return list(_blocks(plain(text).splitlines(), min(columns, MEASURE)))


def _blocks(lines: list[str], columns: int) -> Iterator[str]:
    """Yield the rendered lines of a sequence of blocks."""
    at = 0
    while at < len(lines):
        line = lines[at]
        if line.startswith(">"):
            quoted, at = _take(lines, at, lambda one: one.startswith(">"))
            inner = [one[1:].removeprefix(" ") for one in quoted]
            bar = paint(_QUOTE, "accent")
            yield from (bar + one for one in _blocks(inner, columns - len(_QUOTE)))
        elif line.lstrip().startswith("```"):
            code, at = _fenced(lines, at)
            yield from ("    " + one for one in code)
        elif heading := _HEADING.match(line):
            at += 1
            yield paint(_inline(heading[1], plainly=True), "bold")
        elif item := _ITEM.match(line):
            at += 1
            lead = f"{item[1]}{item[2].replace('-', '•').replace('*', '•')} "
            yield from _flow(item[3], columns, lead)
        elif not line.strip():
            at += 1
            yield ""
        else:
            paragraph, at = _take(lines, at, _is_prose)
            yield from _flow(" ".join(paragraph), columns, "")


def _fenced(lines: list[str], at: int) -> tuple[list[str], int]:
    """Return the lines of the code block that opens at `at`, and where it ends."""
    opening = lines[at].strip()
    fence = opening[: len(opening) - len(opening.lstrip("`"))]
    code, end = _take(lines, at + 1, lambda one: not one.strip().startswith(fence))
    return code, end + 1


def _take(lines: list[str], at: int, wanted: Callable[[str], bool]) -> tuple[list[str], int]:
    """Return the lines from `at` on that fit, and where they end."""
    end = at
    while end < len(lines) and wanted(lines[end]):
        end += 1
    return lines[at:end], end


def _is_prose(line: str) -> bool:
    begins_block = line.startswith(">") or line.lstrip().startswith("```")
    return (
        bool(line.strip())
        and not begins_block
        and not _ITEM.match(line)
        and not (_HEADING.match(line))
    )


def _flow(text: str, columns: int, lead: str) -> Iterator[str]:
    """Yield a paragraph wrapped behind its lead."""
    indent = " " * len(lead)
    yield from wrap(lead + _inline(text), columns, indent, measure=shown_width)


def _inline(text: str, *, plainly: bool = False) -> str:
    """Return a text with its emphasis as styles, word by word so that lines may end inside, and
    its escapes undone."""
    parts: list[str] = []
    at = 0
    for code in _CODE.finditer(text):
        parts.append(_emphasis(text[at : code.start()], plainly))
        parts.append(code[2].strip() if plainly else _each_word(code[2], "accent"))
        at = code.end()
    parts.append(_emphasis(text[at:], plainly))
    return "".join(parts)


def _emphasis(text: str, plainly: bool) -> str:
    if plainly:
        styled = _ITALIC.sub(r"\1", _STRONG.sub(r"\1", text))
    else:
        styled = _STRONG.sub(lambda found: _each_word(found[1], "bold"), text)
        styled = _ITALIC.sub(lambda found: _each_word(found[1], "dim"), styled)
    return _ESCAPE.sub(r"\1", styled)


def _each_word(text: str, style: str) -> str:
    return " ".join(paint(word, style) for word in text.split())
