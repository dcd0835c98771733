"""Selection: which pieces of the documents become the quotes of an answer, or that none does.

A quote is always the very characters of the document between its span. It is widened where a
reader would stumble: to the code or the list that a sentence announces, to the sentence before one
that begins with "It" or has a few words only, to the sentence that introduces a block of code.

What only comes near is told apart from what answers, beside an answer too: where one sentence says
what is asked in the question's own words, one that says it in other words may mean something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from regend.agents.evidence.kinds import told_above
from regend.agents.evidence.leaning import before, leans
from regend.agents.evidence.pieces import Piece
from regend.agents.evidence.question import Question
from regend.agents.evidence.scoring import Candidate, rank
from regend.agents.evidence.units import Unit
from regend.agents.evidence.words import alike, telling, term_set

MIN_COVERAGE = 0.52  # share of the question that an answer must speak of
MIN_ASPECT = 0.6  # … and of what is asked about the document's subject
MIN_RELATED = 0.3  # share of the question, from which a quote is worth showing as related
MIN_SHARE = 0.65  # of the best score, for a further quote
DUPLICATE_SHARE = 0.8  # of common words with meaning, from which two quotes say the same
CONSIDERED = 2  # candidates for each quote, since several become one
MAX_RELATED = 3  # quotes that are shown where none answers
MAX_QUOTE_CHARACTERS = 900
MAX_ASIDE_CHARACTERS = 300  # of code that a sentence announces where nobody asked for code
MAX_LEAN_CHARACTERS = 420  # a sentence takes the one before along up to this length

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
        headed: whether a part of the answer stands in its heading, and not in its text.
        near: whether it only comes near an answer.
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
    headed: bool = False
    near: bool = False

    def overlaps(self, other: Quote) -> bool:
        """Tell whether another quote shows a part of this one."""
        same = self.document_id == other.document_id
        return same and other.start < self.end and self.start < other.end

    def to_dict(self) -> dict[str, Any]:
        """Return the quote as a JSON object."""
        return asdict(self)

    @staticmethod
    def from_dict(body: dict[str, Any]) -> Quote:
        """Return the quote that `to_dict` described."""
        return Quote(**body)


@dataclass(frozen=True, slots=True)
class Choice:
    """What is shown for a question.

    Attributes:
        quotes: best first, those of the first part of the question before those of a later one,
            and those that only come near last.
        answers: whether they answer; otherwise they only speak of the same.
        missing: the texts of parts that nothing answers, where another part is answered.
        unsaid: words of the question that stand in none of the quotes, where none answers.
    """

    quotes: tuple[Quote, ...]
    answers: bool
    missing: tuple[str, ...]
    unsaid: tuple[str, ...]


def choose(asked: Sequence[Question], pieces: Sequence[Piece], limit: int) -> Choice:
    """Return what is shown of the pieces; no quotes where nothing even speaks of the question.

    Args:
        asked: the parts of the question (`question.parts`).
        pieces: what was read.
        limit: how many quotes at most; each part has at least one.
    """
    share = max(1, -(-limit // len(asked)))
    found = [(part, *_chosen(part, rank(part, pieces), share)) for part in asked]
    answers = any(answered for _, _, answered in found)
    quotes: list[Quote] = []
    for _, own, answered in found:
        if answered == answers:
            quotes = _united(quotes, own)
    quotes.sort(key=lambda one: one.near)
    missing = tuple(part.text for part, _, answered in found if answers and not answered)
    unsaid = () if answers else tuple(word for part in asked for word in _unsaid(part, quotes))
    return Choice(tuple(quotes), answers, missing, unsaid)


def _united(quotes: Sequence[Quote], own: Sequence[Quote]) -> list[Quote]:
    """Return the quotes of earlier parts and of one more; those that overlap become one."""
    united = list(quotes)
    for new in own:
        places = [place for place, one in enumerate(united) if new.overlaps(one)]
        if any(united[place].near < new.near for place in places):
            continue
        for place in reversed(places):
            old = united.pop(place)
            new = new if old.near > new.near else _joined(old, new)
        united.insert(places[0] if places else len(united), new)
    return united


def _joined(one: Quote, other: Quote) -> Quote:
    first, second = sorted((one, other), key=lambda quote: quote.start)
    text = first.text + second.text[max(0, first.end - second.start) :]
    return replace(one, start=first.start, end=first.start + len(text), text=text)


def _unsaid(question: Question, quotes: Sequence[Quote]) -> Iterator[str]:
    """Yield the telling words of a question for which no quote has a word."""
    said = frozenset[str]().union(
        *(term_set(f"{quote.text} {quote.heading} {quote.title}") for quote in quotes)
    )
    for term in question.terms:
        standing_in = {term.stem, *term.related} | {one for one in said if alike(term.stem, one)}
        counts = term.weight == 1 and term.telling and not term.measure
        if counts and said.isdisjoint(standing_in):
            yield term.word


def _chosen(
    question: Question, ranked: Sequence[Candidate], limit: int
) -> tuple[list[Quote], bool]:
    """Return up to `limit` quotes for one part, best first, and whether they answer it."""
    fitting = [one for one in ranked if one.coverage >= MIN_RELATED]
    worded = any(_answers(one) and one.worded for one in fitting)
    answering = {id(one) for one in fitting if _answers(one) and (one.worded or not worded)}
    fitting.sort(key=lambda one: id(one) not in answering)
    spans: list[_Span] = []
    limit = limit if answering else min(limit, MAX_RELATED)
    for candidate in fitting[: CONSIDERED * limit]:
        if candidate.score < MIN_SHARE * fitting[0].score:
            break
        near = id(candidate) not in answering
        if near and answering and _distracts(candidate, spans):
            continue
        _take(_Span(candidate, *_widened(question, candidate), near), spans, limit)
    return [_quote(question, span) for span in spans], bool(answering)


def _distracts(candidate: Candidate, spans: Sequence[_Span]) -> bool:
    """Tell whether a candidate says of another thing what a document answers of the one asked."""
    besides = any(span.candidate.piece is candidate.piece for span in spans)
    return besides and candidate.apart and candidate.aspect < MIN_ASPECT


def _answers(candidate: Candidate) -> bool:
    """Tell whether a candidate says what is asked, not only what it is asked of."""
    enough = candidate.coverage >= MIN_COVERAGE and candidate.aspect >= MIN_ASPECT
    return enough and not candidate.apart


@dataclass(slots=True)
class _Span:
    """The units from `first` to `last`, chosen for one candidate among them."""

    candidate: Candidate
    first: int
    last: int
    near: bool

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
    touching = [other for other in spans if _touch(span, other)]
    if touching:
        other = touching[0]
        first, last = min(span.first, other.first), max(span.last, other.last)
        units = span.candidate.units
        fits = units[last].end - units[first].start <= MAX_QUOTE_CHARACTERS
        goes_on = not span.candidate.apart or units[first].block == units[last].block
        if fits and len(touching) == 1 and (goes_on or other.near):
            other.first, other.last = first, last
        return
    mine = telling(span.text)
    for other in spans:
        theirs = telling(other.text)
        if len(mine & theirs) >= DUPLICATE_SHARE * min(len(mine), len(theirs)):
            return
    if len(spans) < limit:
        spans.append(span)


def _touch(one: _Span, other: _Span) -> bool:
    """Tell whether two spans stand under one heading with nothing between them."""
    if one.candidate.piece is not other.candidate.piece:
        return False
    together = one.first <= other.last + 1 and other.first <= one.last + 1
    return together and one.candidate.unit.heading == other.candidate.unit.heading


def _quote(question: Question, span: _Span) -> Quote:
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
        headed=told_above(question, span.text, candidate.unit.heading),
        near=span.near,
    )


def _widened(question: Question, candidate: Candidate) -> tuple[int, int]:
    """Return the places of the first and the last unit that the quote spans."""
    units, text = candidate.units, candidate.piece.text
    first = last = candidate.place
    unit = candidate.unit
    if unit.kind == "code" and unit.lead == first - 1 and _near(units, first - 1, first):
        first -= 1
    elif unit.kind == "prose" and leans(text[unit.start : unit.end]) and first:
        led = first - 1 in before(units, text, first)
        if led and unit.end - units[first - 1].start <= MAX_LEAN_CHARACTERS:
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
