"""Selection: which pieces of the documents become the quotes of an answer, or that none does.

A quote is always the very characters of the document between its span. It is widened where a
reader would stumble: to the code or the list that a sentence announces, to the sentence before one
that begins with "It" or "This", to the sentence that introduces a block of code.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from regend.agents.evidence.question import Question
from regend.agents.evidence.scoring import Candidate, named_share
from regend.agents.evidence.units import Unit
from regend.agents.evidence.words import telling

MIN_COVERAGE = 0.56  # share of the question that a quote must speak of; below, no answer
MIN_COVERAGE_NAMED = 0.44  # … of a document that the question names
MIN_SHARE = 0.68  # of the best score, for a further quote
MIN_SHARE_ELSEWHERE = 0.85  # … of a document other than the best one's
DUPLICATE_SHARE = 0.8  # of common words with meaning, from which two quotes say the same
MAX_QUOTE_CHARACTERS = 900
MAX_ASIDE_CHARACTERS = 300  # of code that a sentence announces where nobody asked for code
MAX_LEAN_CHARACTERS = 420  # a sentence takes the one before along up to this length

_LEANING = re.compile(
    r"(?:it|its|this|these|those|they|that|such|he|she|however|but|also|both|then|यह|ये|वह|वे|इसे|इसका)\b",
    re.IGNORECASE,
)
_ANNOUNCING = re.compile(r":[*_`\"')\]]*\s*$")


@dataclass(frozen=True, slots=True)
class Quote:
    """A piece of a document that answers; `text` is `document_text[start:end]`, unchanged.

    Attributes:
        document_id, title, source, heading: where it stands.
        start, end: its span in the document's text.
        text: its characters.
        kind: "prose", "item", "row" or "code".
        score, coverage: what it is worth, and the share of the question that it speaks of.
    """

    document_id: str
    title: str
    source: str
    heading: str
    start: int
    end: int
    text: str
    kind: str
    score: float
    coverage: float

    def to_dict(self) -> dict[str, Any]:
        """Return the quote as a JSON object."""
        return asdict(self)

    @staticmethod
    def from_dict(body: dict[str, Any]) -> Quote:
        """Return the quote that `to_dict` described."""
        return Quote(**body)


def choose(question: Question, ranked: Sequence[Candidate], limit: int) -> list[Quote]:
    """Return up to `limit` quotes that answer, best first; none where nothing answers.

    Args:
        question: what is asked.
        ranked: the candidates, best first (`scoring.rank`).
        limit: how many quotes at most.
    """
    fitting = [one for one in ranked if one.coverage >= _needed(question, one)]
    if not fitting:
        return []
    spans: list[_Span] = []
    best = fitting[0]
    for candidate in fitting:
        share = candidate.score / best.score if best.score else 0.0
        if share < MIN_SHARE:
            break
        if candidate.piece.document_id != best.piece.document_id and share < MIN_SHARE_ELSEWHERE:
            continue
        _take(_Span(candidate, *_widened(question, candidate)), spans, limit)
    return [_quote(span) for span in spans]


def _needed(question: Question, candidate: Candidate) -> float:
    named = named_share(question, candidate.piece.title, candidate.piece.source) == 1
    return MIN_COVERAGE_NAMED if named else MIN_COVERAGE


@dataclass(slots=True)
class _Span:
    """The units from `first` to `last`, chosen for one candidate among them."""

    candidate: Candidate
    first: int
    last: int

    @property
    def start(self) -> int:
        return self.candidate.units[self.first].start

    @property
    def end(self) -> int:
        return self.candidate.units[self.last].end

    @property
    def text(self) -> str:
        return self.candidate.piece.text[self.start : self.end]


def _take(span: _Span, spans: list[_Span], limit: int) -> None:
    """Add a span: into one that it touches, by itself, or not at all where it says nothing new."""
    for other in spans:
        if other.candidate.piece is span.candidate.piece and (
            span.first <= other.last + 1 and other.first <= span.last + 1
        ):
            first, last = min(span.first, other.first), max(span.last, other.last)
            units = span.candidate.units
            if units[last].end - units[first].start <= MAX_QUOTE_CHARACTERS:
                other.first, other.last = first, last
            return
        mine, theirs = telling(span.text), telling(other.text)
        if len(mine & theirs) >= DUPLICATE_SHARE * min(len(mine), len(theirs)):
            return
    if len(spans) < limit:
        spans.append(span)


def _quote(span: _Span) -> Quote:
    candidate, piece = span.candidate, span.candidate.piece
    kinds = {unit.kind for unit in candidate.units[span.first : span.last + 1]}
    return Quote(
        document_id=piece.document_id,
        title=piece.title,
        source=piece.source,
        heading=candidate.unit.heading,
        start=piece.start + span.start,
        end=piece.start + span.end,
        text=span.text,
        kind=kinds.pop() if len(kinds) == 1 else "code" if "code" in kinds else "prose",
        score=round(candidate.score, 4),
        coverage=round(candidate.coverage, 4),
    )


def _widened(question: Question, candidate: Candidate) -> tuple[int, int]:
    """Return the places of the first and the last unit that the quote spans."""
    units, text = candidate.units, candidate.piece.text
    first = last = candidate.place
    unit = candidate.unit
    if unit.kind == "code" and unit.lead == first - 1 and _near(units, first - 1, first):
        first -= 1
    elif unit.kind == "prose" and _LEANING.match(text, unit.start) and first:
        before = units[first - 1]
        if before.block == unit.block and unit.end - before.start <= MAX_LEAN_CHARACTERS:
            first -= 1
    while last + 1 < len(units) and _announced(question, candidate, last):
        if units[last + 1].end - units[first].start > MAX_QUOTE_CHARACTERS:
            break
        last += 1
    return first, last


def _near(units: Sequence[Unit], one: int, other: int) -> bool:
    return units[other].end - units[one].start <= MAX_QUOTE_CHARACTERS


def _announced(question: Question, candidate: Candidate, last: int) -> bool:
    """Tell whether the unit after `last` belongs to what the chosen unit announces."""
    units, text, place = candidate.units, candidate.piece.text, candidate.place
    following = units[last + 1]
    if following.lead != place:
        return False
    announcing = bool(_ANNOUNCING.search(text[units[place].start : units[place].end]))
    if following.kind == "code":
        brief = announcing and following.end - following.start <= MAX_ASIDE_CHARACTERS
        return last == place and (brief or "way" in question.cues)
    return announcing
