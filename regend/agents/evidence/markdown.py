"""Markdown: how a quote is shown, so that what it says cannot become part of the page.

A document may come from anyone. Its own markup is taken off where that is only dress (emphasis,
link targets, badges), code stays code, and every character that is left and could mean something
in Markdown or HTML is escaped. Control characters and the marks that turn writing direction are
dropped: they can make a text look other than it is. The exact characters are in the citation.
"""

from __future__ import annotations

import re

from regend.agents.evidence.units import units

_UNSEEN = re.compile(
    "[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2028\u2029"
    "\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]|[\U000e0000-\U000e007f]"
)
_DRESS = (
    (re.compile(r"!\[([^\]]{0,300})\](?:\([^)]{0,600}\)|\[[^\]]{0,300}\])"), ""),
    (
        re.compile(
            r"\[([^\[\]]{1,300})\](?:\([^()\s]{0,600}(?:\s[^()]{0,100})?\)|\[[^\]]{0,100}\])"
        ),
        r"\1",
    ),
    (re.compile(r"\[\]\([^()\s]{0,600}\)"), ""),
    (re.compile(r"(?<!`)`([^`<>]{1,300}?)\s*<[^<>`]{1,600}>`__?"), r"\1"),
    (re.compile(r"(?<!`)`([^`]{1,300})`__?(?!\w)"), r"\1"),
    (re.compile(r"(?<![\w_])([A-Za-z][\w.-]{0,80})_(?![\w_])"), r"\1"),
    (re.compile(r"(\*\*|__)(?=\S)([^*_]{1,400}?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<![\w*])\*(?=[^\s*])([^*]{1,400}?)(?<=[^\s*])\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w_])_(?=[^\s_])([^_]{1,400}?)(?<=[^\s_])_(?![\w_])"), r"\1"),
    (
        re.compile(
            r"</?(?:br|b|i|em|strong|p|a|sub|sup|span|div|img|center|small)\b[^<>]{0,300}>", re.I
        ),
        "",
    ),
)
_LISTED = ("item", "row")
_BAR = re.compile(r"(?<!\\)\|")  # between cells; what a backslash precedes is part of one
_CODE_SPAN = re.compile(r"(?<!`)(`{1,2})(?!`)([^`\n]{1,300}(?:\n[^`\n]{1,300})?)(?<!`)\1(?![`\w_])")
_SPECIAL = re.compile(r"[\\`*\[\]<>~|&]|(?<![^\W_])_|_(?![^\W_])")
# Of a number in a list it is the point that is escaped: a backslash before a digit would be shown.
_LINE_START = re.compile(r"^(\s*(?:\d{1,9}(?=[.)]))?)([#+=-]|(?<=\d)[.)])")


def visible(text: str) -> str:
    """Return a text without the characters that nobody sees, on one line."""
    return " ".join(_UNSEEN.sub("", text.replace("\t", " ").replace("\n", " ")).split())


def escaped(text: str) -> str:
    """Return a text as Markdown that shows exactly its visible characters, on one line."""
    safe = _SPECIAL.sub(lambda found: "\\" + found.group(), visible(text))
    return (
        _LINE_START.sub(lambda found: f"{found.group(1)}\\{found.group(2)}", safe) if safe else ""
    )


def sentence(text: str) -> str:
    """Return a sentence of a document as Markdown on one line: its words, and its code as code."""
    shown: list[str] = []
    at = 0
    for span in _CODE_SPAN.finditer(text):
        shown.append(_prose(text[at : span.start()]))
        shown.append(code_span(span.group(2)))
        at = span.end()
    shown.append(_prose(text[at:]))
    joined = "".join(shown).strip()
    return _LINE_START.sub(lambda found: f"{found.group(1)}\\{found.group(2)}", joined)


def _prose(text: str) -> str:
    """Take the dress off a stretch without code and escape it, keeping the blanks at its ends."""
    for pattern, plain in _DRESS:
        text = pattern.sub(plain, text)
    safe = _SPECIAL.sub(lambda found: "\\" + found.group(), visible(text))
    if not safe:
        return " " if text else ""
    return f"{' ' if text[0].isspace() else ''}{safe}{' ' if text[-1].isspace() else ''}"


def code_span(text: str) -> str:
    """Return a text as a span of code on one line, whatever backticks it has."""
    inside = visible(text)
    fence = "`" * (_longest_run(inside) + 1)
    pad = " " if inside.startswith("`") or inside.endswith("`") else ""
    return f"{fence}{pad}{inside}{pad}{fence}" if inside else ""


def code_block(text: str) -> list[str]:
    """Return the lines of a fenced block with a text, its common indent taken off."""
    lines = [_UNSEEN.sub("", line.expandtabs(4)).rstrip() for line in re.split(r"\r\n|\r|\n", text)]
    indent = min((len(line) - len(line.lstrip()) for line in lines if line), default=0)
    fence = "`" * max(3, _longest_run(text) + 1)
    return [fence, *(line[indent:] for line in lines), fence]


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)


def _row(text: str) -> str:
    """Return a row of a table with its cells side by side, the empty ones and the bars left out."""
    cells = (cell.strip() for cell in _BAR.split(text))
    return sentence(" · ".join(filter(None, cells)) or text)


def block_quote(text: str, mark: str) -> str:
    """Return a quote as a Markdown block quote: sentences as text, items as a list, code as code.

    Args:
        text: the quote.
        mark: its citation mark, `[1]`, set at the end of its text.
    """
    lines: list[str] = []
    marked: int | None = None  # the line that takes the mark: the last one that is not code
    previous = ""
    all_units = units(text)
    for place, unit in enumerate(all_units):
        body = text[unit.start : unit.end]
        following = all_units[place + 1].kind if place + 1 < len(all_units) else ""
        if unit.kind == "code":
            lines += [*([""] if lines else []), *code_block(body)]
        elif unit.kind == "prose" == previous and marked is not None:
            lines[marked] += f" {sentence(body)}"
        else:
            # One alone needs no bullet.
            listed = unit.kind in _LISTED and (previous != "" or following in _LISTED)
            goes_on = listed and previous in _LISTED
            lines += [] if goes_on or not lines else [""]
            shown = _row(body) if unit.kind == "row" else sentence(body)
            lines.append(f"- {shown}" if listed else shown)
            marked = len(lines) - 1
        previous = unit.kind
    if not lines:
        lines, marked = [escaped(text)], 0
    if marked is None:
        lines += ["", mark]
    else:
        lines[marked] += f" {mark}"
    return "\n".join(f"> {line}".rstrip() for line in lines)
