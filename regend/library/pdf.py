"""From a PDF to text that says where its headings and paragraphs are.

A PDF knows only where each run of letters stands, and how large it is. From that:
 1. a line larger than the running text, or bold, is a heading where it is short and no sentence;
 2. a blank line goes where the gap between two lines is wider than is usual on the page, or where
    a line is much shorter than those around it without ending a sentence;
 3. but not before a line that begins in lower case, which goes on with the one above, unless the
    gap is one that only a page's head or foot has.
Each page ends in a form feed. What is in no order in the file is in none here.

Only the extractor process loads this: the parser is heavy, and made for foreign input.
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import pypdf
from pypdf.errors import PyPdfError

from regend.errors import BadInput
from regend.library.passages import literal
from regend.library.refusals import broken, too_large
from regend.limits import MAX_DOCUMENT_CHARACTERS

_LARGER = 1.12  # times the size of the running text: a heading
_WIDER = 1.2  # times the usual gap: a new paragraph
_MUCH_WIDER = 1.6  # something else altogether
_SHORTER = 0.6  # of the lines around it: nothing goes on from here
_HEADING_CHARACTERS = 120
_HEADING_LINES = 3  # more lines alike in a row are text in large print
_DEEPEST_LEVEL = 6  # of a heading; a page is one of level 1
_BOLD = re.compile(r"bold|black|heavy|demi|CMBX", re.I)
_SENTENCE_END: Final = tuple('.!?…।॥"”»)')
_NO_HEADING_END: Final = tuple(".,;:-‐–&/(")
_LEADERS = re.compile(r"(?:[.…]\s?){4}")  # of a table of contents
_GOES_ON_AFTER: Final = tuple(",-‐–&/(")
_OPENING = re.compile(r"\W*(?:\d[\d.]*[.)]?\s+)?([^\W\d_])")


@dataclass(frozen=True, slots=True)
class Run:
    """Letters that were set together.

    Attributes:
        text: may hold line breaks.
        size: of its letters, in points.
        place: height above the page's foot, in points.
    """

    text: str
    size: float
    is_bold: bool
    place: float


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a page: its text, and the size, weight and place of most of it."""

    text: str
    size: float
    is_bold: bool
    place: float


def read(data: bytes) -> tuple[str, str]:
    """Return title and text of a PDF.

    Raises:
        BadInput: it is protected by a password, or broken.
        TooLarge: its text is longer than the bound.
    """
    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        # Many files are “encrypted” with an empty password, only to forbid printing.
        if reader.is_encrypted and not reader.decrypt(""):
            raise BadInput(
                "document_encrypted",
                "This PDF is protected by a password.",
                hint="Save a copy without the password, and add that.",
            )
        title = (reader.metadata.title if reader.metadata else None) or ""
        return str(title), formed(list(_pages(reader)))
    except PyPdfError as error:
        raise broken(f"This PDF is broken: {error}.") from error


def _pages(reader: pypdf.PdfReader) -> Iterator[list[Line]]:
    size = 0
    for page in reader.pages:
        runs: list[Run] = []
        text = page.extract_text(visitor_text=lambda *told, runs=runs: runs.append(_run(*told)))
        size += len(text)
        if size > MAX_DOCUMENT_CHARACTERS:
            raise too_large(f"Its text has more than {MAX_DOCUMENT_CHARACTERS:,} characters.")
        if "".join(run.text for run in runs) != text:  # then nothing is known of its lines
            runs = [Run(text, 0.0, False, 0.0)]
        yield lines(runs)


def _run(text: str, page: Sequence[float], place: Sequence[float], font: Any, size: float) -> Run:
    """Return a run as pypdf tells of it: with two matrices, the font and its size."""
    scale = math.hypot(page[2], page[3]) * math.hypot(place[2], place[3])
    height = place[4] * page[1] + place[5] * page[3] + page[5]
    name = str(font.get("/BaseFont", "")) if font else ""
    return Run(text, round(abs(float(size)) * scale, 1), bool(_BOLD.search(name)), height)


def lines(runs: Iterable[Run]) -> list[Line]:
    """Return the lines that runs make up."""
    done: list[Line] = []
    parts: list[Run] = []
    for run in runs:
        first, *others = run.text.split("\n")
        parts.append(Run(first, run.size, run.is_bold, run.place))
        for text in others:
            done.append(_line(parts))
            parts = [Run(text, run.size, run.is_bold, run.place)]
    done.append(_line(parts))
    return done


def _line(parts: list[Run]) -> Line:
    filled = [part for part in parts if part.text.strip()] or [Run("", 0.0, False, 0.0)]
    longest = max(filled, key=lambda part: len(part.text))
    is_bold = all(part.is_bold for part in filled)
    text = "".join(part.text for part in parts)
    return Line(text, longest.size, is_bold, filled[0].place)


def formed(pages: Sequence[Sequence[Line]]) -> str:
    """Return the text of pages with its headings marked and its paragraphs parted."""
    body = _running_text(pages)
    sizes = sorted({line.size for page in pages for line in page if _stands_out(line, body)})
    levels = {size: min(2 + rank, _DEEPEST_LEVEL) for rank, size in enumerate(reversed(sizes))}
    return "".join(f"{_page(page, body, levels)}\n\f\n" for page in pages)


def _running_text(pages: Sequence[Sequence[Line]]) -> Line:
    """Return a line like most of the text."""
    counted: Counter[tuple[float, bool]] = Counter()
    for page in pages:
        for line in page:
            counted[line.size, line.is_bold] += len(line.text)
    (size, is_bold), _ = max(counted.items(), key=lambda item: item[1], default=((0.0, False), 0))
    return Line("", size, is_bold, 0.0)


def _stands_out(line: Line, body: Line) -> bool:
    """Tell whether a line looks like one of a heading by its letters alone."""
    text = line.text.strip()
    if not 1 < len(text) <= _HEADING_CHARACTERS or text.endswith(_NO_HEADING_END):
        return False
    if _LEADERS.search(text):
        return False
    bolder = line.is_bold and not body.is_bold and line.size * _LARGER > body.size
    return bolder or line.size > _LARGER * body.size


def _opens(text: str) -> bool:
    """Tell whether a line can be the first of something: it does not begin in lower case."""
    first = _OPENING.match(text)
    return first is not None and not first[1].islower()


def _page(page: Sequence[Line], body: Line, levels: dict[float, int]) -> str:
    """Return the text of one page."""
    usual = _usual_gap(page)
    written: list[str] = []
    stop = 0
    while stop < len(page):
        at, stop = stop, _alike_end(page, stop, body)
        if _is_heading(page, at, stop, body):
            title = " ".join(" ".join(line.text for line in page[at:stop]).split())
            written += ["", f"{'#' * levels[page[at].size]} {title}", ""]
            continue
        for place in range(at, stop):
            if place and _parts(page[place - 1], page[place], usual):
                written.append("")
            written.append(literal(page[place].text))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(written)).strip("\n")


def _usual_gap(page: Sequence[Line]) -> float:
    """Return the commonest distance between two lines of a page, 0 if it cannot be told."""
    gaps = Counter(
        round(above.place - line.place) for above, line in pairwise(page) if above.text.strip()
    )
    return max((gap for gap in gaps if gap > 0), key=gaps.__getitem__, default=0)


def _alike_end(page: Sequence[Line], at: int, body: Line) -> int:
    """Return the end of the lines from `at` on that stand out in one way; else of that one."""
    stop = at
    style = (page[at].size, page[at].is_bold)
    while stop < len(page) and (page[stop].size, page[stop].is_bold) == style:
        if not _stands_out(page[stop], body):
            break
        stop += 1
    return max(stop, at + 1)


def _is_heading(page: Sequence[Line], at: int, stop: int, body: Line) -> bool:
    """Tell whether lines that are alike are a heading, and no part of a sentence."""
    if stop - at > _HEADING_LINES or not _stands_out(page[at], body) or not _opens(page[at].text):
        return False
    if at and page[at - 1].text.rstrip().endswith(_GOES_ON_AFTER):
        return False
    return stop == len(page) or not page[stop].text[:1].islower()


def _parts(above: Line, line: Line, usual: float) -> bool:
    """Tell whether a new paragraph begins with a line."""
    text, before = line.text.strip(), above.text.strip()
    if not text or not before:
        return False
    gap = (above.place - line.place) / usual if usual else 0.0
    if gap > _MUCH_WIDER:
        return True
    if text[0].islower() or before.endswith(_GOES_ON_AFTER):
        return False
    if gap > _WIDER:
        return True
    is_short = len(before) < _SHORTER * len(text)
    return is_short and _opens(text) and not before.endswith(_SENTENCE_END)
