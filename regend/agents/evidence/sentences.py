"""Sentences: where one ends and the next begins, as spans.

A full stop ends a sentence only before white space and a fitting beginning, and not after the
usual abbreviations or a single initial; so versions ("3.10"), file names and addresses stay whole.
Devanagari's danda and the full-width marks of East Asian scripts end sentences as well.
"""

from __future__ import annotations

import re

MAX_SENTENCE_CHARACTERS = 600  # a longer one (a list in prose, a line of data) is cut at a space

_END = re.compile(r"[.!?…]+[\"'”’)\]*_`]*(?=\s)|[।॥][\"'”’)]*|[。！？]+[」』”]?")
_ABBREVIATION = re.compile(
    r"(?:\b(?:e\.g|i\.e|etc|vs|cf|al|approx|resp|incl|esp|no|vol|fig|eq|dr|mr|mrs|ms|prof|st|inc|ltd"
    r"|co|jr|sr|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec|eg|ie)|\b[A-Z])\.$",
    re.IGNORECASE,
)


def sentence_spans(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return the spans of the sentences of `text[start:end]`, without the white space around."""
    spans: list[tuple[int, int]] = []
    begin = start
    for found in _END.finditer(text, start, end):
        if found.group().startswith(".") and not _ends_here(text, begin, found.end(), end):
            continue
        spans.extend(_bounded(text, begin, found.end()))
        begin = found.end()
    spans.extend(_bounded(text, begin, end))
    return spans


def _ends_here(text: str, begin: int, stop: int, end: int) -> bool:
    if _ABBREVIATION.search(text[max(begin, stop - 12) : stop]):
        return False
    following = text[stop:end].lstrip()[:1]
    return not following.islower()


def _bounded(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Trim a span and cut it where it is longer than a sentence may be."""
    spans: list[tuple[int, int]] = []
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    while end - start > MAX_SENTENCE_CHARACTERS:
        cut = text.rfind(" ", start + MAX_SENTENCE_CHARACTERS // 2, start + MAX_SENTENCE_CHARACTERS)
        cut = start + MAX_SENTENCE_CHARACTERS if cut < 0 else cut
        spans.append((start, cut))
        start = cut + 1 if text[cut].isspace() else cut
    if start < end:
        spans.append((start, end))
    return spans
