"""Where the sentences of a text stand.

A sentence ends at a full stop, question or exclamation mark, danda (।) or double danda (॥), with
its closing quotes, where a blank and something that can open a sentence follow; a full stop after
a known abbreviation, an initial or a number that opens a line does not end one. Points inside
words (`v1.2`, addresses, file names) have no blank behind them and so never count.

Blank lines, headings, list items, table rows and lines of code end a sentence too, and their marks
(`#`, `-`, `1.`, `>`, `|`) belong to none: a quoted sentence reads well on its own.

Pure; time grows with the length of the text only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from regend.library.stopwords import word_set

Span = tuple[int, int]

_BLANKS = re.compile(r"\s*+")

# Never the end of a sentence.
_ABBREVIATIONS: Final = word_set(
    """
    e.g i.e eg ie cf vs viz ca figs eq eqs vol pp ed eds dr mr mrs ms prof rev gen capt
    hon nos rs smt shri jan feb aug sept oct nov dec डॉ डा प्रो श्री रु कि.मी मो ডা ডঃ মো রু
    டாக்டர் திரு డా శ్రీ ഡോ શ્રી ડૉ ಡಾ ਡਾ
    """
)
# The end of a sentence where a capital or a letter without case follows.
_MAY_END: Final = word_set("etc inc ltd corp bros jr sr dept a.m p.m est approx al")
# Words in their own right, and abbreviations before a number.
_BEFORE_NUMBER: Final = word_set(
    "no p fig sec ch min max art para approx est re tel ph mob ext pin flat plot lic regd acct"
)
_INITIALS = re.compile(r"\w(?:\.\w)*")  # of a person, a street, a country; no end, for it may go on

_END = re.compile(r"[.?!…]+|[।॥؟]+")
_CLOSING = "\"'”’»)]*_`"
_LINE = re.compile(r"[^\n]*\n?")
_FENCE = re.compile(r"\s{0,3}(```|~~~)")
_MARK = re.compile(r"\s*(?:(?:>\s?)+\s*)?(?:[-*+•]\s+(?:\[[ xX]\]\s+)?|\d{1,3}[.)]\s+|#{1,6}\s+)?")
_STARTS_UNIT = re.compile(r"\s*(?:>\s*)*(?:[-*+•]\s|\d{1,3}[.)]\s|#{1,6}\s|\|)")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s")
_UNDERLINE = re.compile(r"\s*([=\-~^*#.\"'`+_:])\1{2,}\s*$")


def sentences(text: str) -> list[Span]:
    """Return the spans of the sentences of a text, in order and apart from one another.

    Each span is (start, end) in characters with `text[start:end]` free of blanks at both ends and
    holding a letter or digit; it may run over a soft line break.
    """
    spans: list[Span] = []
    for start, end, is_prose in _units(text):
        parts = _split(text, start, end) if is_prose else [(start, end)]
        for low, high in parts:
            low, high = trimmed(text, low, high)
            if any(map(str.isalnum, text[low:high])):
                spans.append((low, high))
    return spans


def _units(text: str) -> Iterator[tuple[int, int, bool]]:
    """Yield the stretches that no sentence crosses, and whether each is prose."""
    fence = ""
    is_quote = False
    start = end = 0
    for match in _LINE.finditer(text):
        low, high = match.span()
        line = match[0]
        opening = _FENCE.match(line)
        if opening and not fence and start < end and _UNDERLINE.match(line):
            opening = None  # tildes under a title are no fence
        if fence or opening:
            if start < end:
                yield start, end, True
            if fence and not (opening and opening[1] == fence):
                yield low, high, False
            elif opening:
                fence = "" if fence else opening[1]
            start = end = high
            continue
        stripped = line.strip()
        turns = stripped.startswith(">") != is_quote
        is_quote = stripped.startswith(">")
        apart = turns or not stripped or _STARTS_UNIT.match(line) or _UNDERLINE.match(line)
        if apart and start < end:
            yield start, end, True
            start = end = low
        if not stripped or _UNDERLINE.match(line):
            start = end = high
        elif stripped.startswith("|"):
            yield from _cells(low, high, line)
            start = end = high
        else:
            if start == end:
                start = low + len(_MARK.match(line)[0])  # type: ignore[index]  # matches always
            end = high
            if _HEADING.match(line):
                yield start, end, True
                start = end = high
    if start < end:
        yield start, end, True


def _cells(low: int, high: int, line: str) -> Iterator[tuple[int, int, bool]]:
    """Yield a table row as one unit, without its outer bars; a rule between rows is none."""
    left = len(line) - len(line.lstrip("| \t"))
    right = len(line.rstrip("| \t\n"))
    if left < right:
        yield low + left, min(low + right, high), False


def _split(text: str, start: int, end: int) -> list[Span]:
    """Split one stretch of prose at the ends of its sentences."""
    spans: list[Span] = []
    for match in _END.finditer(text, start, end):
        stop = match.end()
        while stop < end and text[stop] in _CLOSING:
            stop += 1
        if stop < end and not text[stop].isspace():
            continue
        if match[0] == "." and not _is_full_stop(text, start, match.start(), stop, end):
            continue
        spans.append((start, stop))
        start = stop
    if start < end:
        spans.append((start, end))
    return spans


def _is_full_stop(text: str, start: int, point: int, stop: int, end: int) -> bool:
    """Tell whether the point at `point` ends a sentence rather than an abbreviation."""
    word_start = point
    oldest = max(start, point - 24)
    while word_start > oldest and not text[word_start - 1].isspace():
        word_start -= 1
    word = text[word_start:point].lstrip("([{\"'“‘*_").casefold()
    following = text[stop : min(end, stop + 40)].lstrip().lstrip("\"'“‘([*_`")
    if not following:
        return True
    if word in _BEFORE_NUMBER and following[0].isdigit():
        return False
    if word in _MAY_END:
        return not following[0].islower()
    is_initial = word != "i" and _INITIALS.fullmatch(word) and not any(map(str.isdigit, word))
    return word not in _ABBREVIATIONS and not is_initial


def trimmed(text: str, start: int, end: int) -> Span:
    """Return a span without the blanks at its ends."""
    blanks = _BLANKS.match(text, start, end)
    start = blanks.end() if blanks else start
    if start < end and text[end - 1].isspace():  # else spare the copy, which may be long
        end = start + len(text[start:end].rstrip())
    return start, end
