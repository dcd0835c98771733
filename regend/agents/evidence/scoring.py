"""Scoring: how well each unit of the documents read answers the question.

Two figures for each unit. `score` ranks: it adds up what of the question the unit says itself,
rarer terms counting more, and lets headings, neighbours, the title and the kind of answer wanted
raise or lower it. `coverage` decides whether to answer at all: the share of the question, by
weight, that the unit says together with where it stands. A name that stands nowhere in the
document leaves the question unanswered, however much else fits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import mul

from regend.agents.evidence.kinds import kind_fit
from regend.agents.evidence.question import Question, Term
from regend.agents.evidence.units import Unit, units
from regend.agents.evidence.words import alike, telling, term_set, terms
from regend.library.ranking import rarity

# What a term is worth where it does not stand as asked.
RELATED_WORTH = 0.55
ALIKE_WORTH = 0.7
# … and where it stands near the unit, not in it.
HEADING_WORTH = 0.75
LEAD_WORTH = 0.75
TITLE_WORTH = 0.9
NEIGHBOUR_WORTH = 0.5
DOCUMENT_WORTH = 0.2

MIN_UNITS = 300  # rarity means little among a few sentences, so it is reckoned as among so many
CONTEXT_SHARE = 0.45  # of the score: what stands near counts less than what is said
TITLE_BONUS = 0.5
UNNAMED = 0.8  # for other documents, where the question names one by its whole title
PAIR_BONUS = 0.15
LENGTH_AT_EASE = 30  # words; longer units say more by chance
FIRST_BLOCK_BONUS = 0.06


_EXTENSION = re.compile(r"\.[A-Za-z]{1,8}$")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a document, as read: the whole of a short one, a window of a long one.

    Attributes:
        document_id, title, source: whose part it is.
        start: where `text` begins in the document.
        text: the characters of the document from `start` on, unchanged.
        headings: (start, end, heading) of spans of the document whose heading the search knows;
            a window does not see the headings above it.
    """

    document_id: str
    title: str
    source: str
    start: int
    text: str
    headings: tuple[tuple[int, int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A unit with what it is worth for a question; spans are within the piece."""

    piece: Piece
    units: tuple[Unit, ...]
    place: int
    score: float
    coverage: float

    @property
    def unit(self) -> Unit:
        """The unit itself."""
        return self.units[self.place]


class _Matcher:
    """How far sets of terms say what the question says, found once for each set.

    Every term of the question is given, among all the terms that were read, those that count for
    it: itself, its other forms, and what is related to it.
    """

    def __init__(
        self, question: Question, names: frozenset[str], vocabulary: frozenset[str]
    ) -> None:
        self.terms = question.terms
        self._worth = [
            self._worths(term, term.stem in names, vocabulary) for term in question.terms
        ]
        self._known: dict[frozenset[str], tuple[float, ...]] = {}

    @staticmethod
    def _worths(term: Term, named: bool, vocabulary: frozenset[str]) -> dict[str, float]:
        worths = {} if named else dict.fromkeys(term.related & vocabulary, RELATED_WORTH)
        if not named:
            worths |= {other: ALIKE_WORTH for other in vocabulary if alike(term.stem, other)}
        return worths | {term.stem: 1.0}

    def match(self, there: frozenset[str]) -> tuple[float, ...]:
        """Return for each term of the question how far a set of terms says it, from 0 to 1."""
        known = self._known.get(there)
        if known is None:
            known = tuple(map(self._one, self.terms, self._worth, [there] * len(self.terms)))
            self._known[there] = known
        return known

    @staticmethod
    def _one(term: Term, worths: dict[str, float], there: frozenset[str]) -> float:
        if term.stem in there or (term.parts and term.parts <= there):
            return 1.0
        return max((worths[other] for other in worths.keys() & there), default=0.0)


@dataclass(frozen=True, slots=True)
class _Read:
    """A piece cut into units, with the terms of each and of all of them together."""

    piece: Piece
    units: tuple[Unit, ...]
    unit_terms: tuple[frozenset[str], ...]
    heading_terms: dict[str, frozenset[str]]
    title_terms: frozenset[str]
    terms: frozenset[str]


def rank(question: Question, pieces: Sequence[Piece]) -> list[Candidate]:
    """Return every unit of the pieces with its worth, best first; equal ones as they stand."""
    reads = _joined([_read(piece) for piece in pieces])
    vocabulary = frozenset[str]().union(*(read.terms for read in reads))
    titled = _titles(question, pieces)
    names = frozenset(term.stem for term in question.terms if term.name) | titled
    matcher = _Matcher(question, names, vocabulary)
    weights = _weights(question, reads)
    if not sum(weights):
        return []
    ranked: list[Candidate] = []
    for read in reads:
        worth = (
            1.0
            if not titled or named_share(question, read.piece.title, read.piece.source) == 1
            else UNNAMED
        )
        ranked += _candidates(question, names, matcher, weights, read, worth)
    ranked.sort(key=lambda one: -one.score)
    return ranked


def _read(piece: Piece) -> _Read:
    found = tuple(_headed(unit, piece) for unit in units(piece.text))
    unit_terms = tuple(term_set(piece.text[unit.start : unit.end]) for unit in found)
    headings = {heading: term_set(heading) for heading in {unit.heading for unit in found}}
    title = term_set(piece.title).union(*name_words(piece.title, piece.source))
    everything = title.union(*unit_terms, *headings.values())
    return _Read(piece, found, unit_terms, headings, title, everything)


def _headed(unit: Unit, piece: Piece) -> Unit:
    """Give a unit of a window the whole heading, where the search knows it for its place."""
    if not piece.start:
        return unit
    at = piece.start + unit.start
    above = (heading for start, end, heading in piece.headings if start <= at < end)
    return replace(unit, heading=next(above, unit.heading))


def _joined(reads: list[_Read]) -> list[_Read]:
    """Let the windows of one document know all the terms read of it."""
    known: dict[str, frozenset[str]] = {}
    for read in reads:
        own = read.piece.document_id
        known[own] = known.get(own, frozenset()) | read.terms
    return [replace(read, terms=known[read.piece.document_id]) for read in reads]


def _titles(question: Question, pieces: Sequence[Piece]) -> frozenset[str]:
    """Return the terms by which the question names a document that was read.

    Where all of a name is in the question, the question is about that document: another one that
    does not even mention it cannot answer.
    """
    asked = {term.stem for term in question.terms if term.weight == 1}
    names = {name for piece in pieces for name in name_words(piece.title, piece.source)}
    return frozenset[str]().union(*(name for name in names if name and name <= asked))


def _weights(question: Question, reads: Sequence[_Read]) -> tuple[float, ...]:
    """Return what each term of the question counts for: its own weight times its rarity."""
    counts: Counter[str] = Counter()
    number = max(MIN_UNITS, sum(len(read.units) for read in reads))
    stems = {term.stem for term in question.terms}
    for read in reads:
        for unit_terms in read.unit_terms:
            counts.update(stems & unit_terms)
    rarest = rarity(0, number)
    return tuple(
        term.weight * rarity(counts[term.stem], number) / rarest for term in question.terms
    )


def _candidates(
    question: Question,
    names: frozenset[str],
    matcher: _Matcher,
    weights: tuple[float, ...],
    read: _Read,
    worth: float,
) -> Iterator[Candidate]:
    total = sum(weights)
    in_title = matcher.match(read.title_terms)
    in_document = matcher.match(read.terms)
    title = sum(map(mul, weights, in_title))
    title *= 1 + named_share(question, read.piece.title, read.piece.source)
    # A name that the document does not know: what it says is about something else.
    foreign = sum(
        weight
        for term, weight, known in zip(question.terms, weights, in_document, strict=True)
        if term.stem in names and not known and not term.stem[0].isdigit()
    )
    for place, unit in enumerate(read.units):
        own = read.unit_terms[place]
        here = matcher.match(own)
        near = [max(column) for column in zip(*_surroundings(matcher, read, place), strict=True)]
        said = sum(map(mul, weights, here))
        reached = sum(map(mul, weights, map(max, here, near)))
        text = read.piece.text[unit.start : unit.end]
        if _repeats(question, text):
            continue
        fit = kind_fit(question.cues, text, unit.kind, unit.heading)
        score = (said + CONTEXT_SHARE * (reached - said)) * _length_factor(len(own))
        score += TITLE_BONUS * title + PAIR_BONUS * _pairs(question, text, own)
        score += FIRST_BLOCK_BONUS if unit.block <= 2 and unit.kind == "prose" else 0.0
        coverage = max(0.0, reached - foreign) * min(1.0, fit) * worth / total
        yield Candidate(read.piece, read.units, place, score * fit * worth / total, coverage)


def _repeats(question: Question, text: str) -> bool:
    """Tell whether a text holds the question word for word: it asks, and does not answer."""
    asked = question.text.casefold().rstrip(" ?।")
    return len(question.terms) > 1 and asked in " ".join(text.casefold().split())


def _surroundings(matcher: _Matcher, read: _Read, place: int) -> list[list[float]]:
    """Return for each part around a unit how far it says each term, at its worth."""
    unit = read.units[place]
    near = [
        (read.title_terms, TITLE_WORTH),
        (read.heading_terms[unit.heading], HEADING_WORTH),
        (read.terms, DOCUMENT_WORTH),
    ]
    if unit.lead is not None:
        near.append((read.unit_terms[unit.lead], LEAD_WORTH))
    for beside in (place - 1, place + 1):
        if 0 <= beside < len(read.units) and read.units[beside].heading == unit.heading:
            near.append((read.unit_terms[beside], NEIGHBOUR_WORTH))
    return [[worth * value for value in matcher.match(there)] for there, worth in near]


def _length_factor(length: int) -> float:
    return 1.0 if length <= LENGTH_AT_EASE else (LENGTH_AT_EASE / length) ** 0.35


def _pairs(question: Question, text: str, own: frozenset[str]) -> int:
    """Count the neighbours of the question that stand close together in the unit."""
    wanted = [pair for pair in question.pairs if pair[0] in own and pair[1] in own]
    if not wanted:
        return 0
    places: dict[str, list[int]] = {}
    for term, place in terms(text):
        places.setdefault(term, []).append(place)
    return sum(
        any(abs(first - second) <= 3 for first in places[one] for second in places[other])
        for one, other in wanted
    )


def named_share(question: Question, title: str, source: str) -> float:
    """Return how much of a document's name the question says, from 0 to 1.

    A document has two names: its title, and its source (the name of its file or page).
    """
    asked = {term.stem for term in question.terms if term.weight == 1}
    return max(
        (len(there & asked) / len(there) for there in name_words(title, source) if there), default=0
    )


def name_words(title: str, source: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the stems of a document's title and of the last part of its source."""
    last = _EXTENSION.sub("", source.rstrip("/").replace("\\", "/").rsplit("/", 1)[-1])
    return telling(title), telling(last)
