"""Scoring: how well each unit of the documents read answers the question.

Three figures for each unit, each a share of the question by weight, where rarer terms weigh more:
 - `score` ranks: what the unit says, together with where it stands, how near to one another it
   says it, and whether it is of the kind that is wanted;
 - `coverage`: what the unit says of the question together with its surroundings, title included;
 - `aspect`: the same of what is asked *about* the document's subject. A document about a washing
   machine says "washing machine" everywhere, so that only the rest of the question tells whether
   it is answered.

A subject that stands nowhere in the document leaves the question unanswered, however much else
fits.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from operator import mul

from regend.agents.evidence.kinds import kind_fit
from regend.agents.evidence.leaning import before, opening
from regend.agents.evidence.measures import tells
from regend.agents.evidence.question import Question, Term
from regend.agents.evidence.rivals import names_another
from regend.agents.evidence.units import Unit, units
from regend.agents.evidence.words import alike, spelled_out, stem, telling, term_set, terms
from regend.library.ranking import rarity

# What a term is worth where it does not stand as asked, or not in the unit itself.
RELATED_WORTH = 0.7
TITLE_WORTH = 0.9
ABOVE_WORTH = 0.75  # in the heading, or in what introduces the unit
BESIDE_WORTH = 0.5  # in the unit before or after
DOCUMENT_WORTH = 0.2

MIN_UNITS = 300  # rarity means little among a few sentences, so it is reckoned as among so many
CONTEXT_SHARE = 0.6  # of the score: what stands near counts less than what is said
TITLE_BONUS = 0.5
PAIR_BONUS = 0.15
WORDS_FOR_ONE_LACKING = 4  # telling words of a question, of which an answer may lack one
LENGTH_AT_EASE = 30  # words; longer units say more by chance

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
    """A unit with what it is worth for a question; spans are within the piece.

    It is `apart` where telling words of the question stand neither in it nor in what says of what
    it speaks, or where it names another one in their place: it comes near, and does not answer.
    It is `worded` where all of them stand there in the question's own words.
    """

    piece: Piece
    units: tuple[Unit, ...]
    place: int
    score: float
    coverage: float
    aspect: float
    apart: bool = False
    worded: bool = False

    @property
    def unit(self) -> Unit:
        """The unit itself."""
        return self.units[self.place]


class _Matcher:
    """How far sets of terms say what the question says, found once for each set.

    Every term of the question is given, among all the terms that were read, those that count for
    it: itself, its other forms, and what is related to it. One term of a text never counts for
    another term of the question than the one that it is.
    """

    def __init__(
        self, question: Question, names: frozenset[str], vocabulary: frozenset[str]
    ) -> None:
        self.terms = question.terms
        others = vocabulary - {term.stem for term in question.terms}
        self._standing_in = [
            frozenset()
            if term.stem in names
            else (term.related & others) | {one for one in others if alike(term.stem, one)}
            for term in question.terms
        ]
        self._known: dict[frozenset[str], tuple[float, ...]] = {}

    def match(self, there: frozenset[str]) -> tuple[float, ...]:
        """Return for each term of the question how far a set of terms says it, from 0 to 1."""
        known = self._known.get(there)
        if known is None:
            known = tuple(
                self._one(term, others, there)
                for term, others in zip(self.terms, self._standing_in, strict=True)
            )
            self._known[there] = known
        return known

    @staticmethod
    def _one(term: Term, others: frozenset[str], there: frozenset[str]) -> float:
        if term.stem in there or (term.parts and term.parts <= there):
            return 1.0
        return 0.0 if others.isdisjoint(there) else RELATED_WORTH


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
    reads = _joined([_read(piece, question.abbreviations) for piece in pieces])
    vocabulary = frozenset[str]().union(*(read.terms for read in reads))
    names = frozenset(term.stem for term in question.terms if term.name)
    names |= _titles(question, pieces)
    matcher = _Matcher(question, names, vocabulary)
    weights = _weights(question, reads)
    if not sum(weights):
        return []
    ranked = [
        candidate
        for read in reads
        for candidate in _candidates(question, names, matcher, weights, read)
    ]
    ranked.sort(key=lambda one: -one.score)
    return ranked


def _read(piece: Piece, abbreviations: frozenset[str]) -> _Read:
    found = tuple(_headed(unit, piece) for unit in units(piece.text))
    texts = [piece.text[unit.start : unit.end] for unit in found]
    unit_terms = tuple(
        term_set(text).union(stem(one) for one in abbreviations if spelled_out(one, text))
        for text in texts
    )
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
    asked = _naming(question)
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
    # A word that stands nowhere tells no more than one that stands once: another may stand for it.
    rarest = rarity(1, number)
    return tuple(
        term.weight * rarity(max(counts[term.stem], 1), number) / rarest for term in question.terms
    )


def _candidates(
    question: Question,
    names: frozenset[str],
    matcher: _Matcher,
    weights: tuple[float, ...],
    read: _Read,
) -> Iterator[Candidate]:
    total = sum(weights)
    in_title = matcher.match(read.title_terms)
    in_document = matcher.match(read.terms)
    around = [
        max(TITLE_WORTH * titled, DOCUMENT_WORTH * known)
        for titled, known in zip(in_title, in_document, strict=True)
    ]
    title = sum(map(mul, weights, in_title))
    title *= 1 + named_share(question, read.piece.title, read.piece.source)
    foreign = sum(
        weight
        for term, weight, known in zip(question.terms, weights, in_document, strict=True)
        if not known and (term.subject or term.stem in names) and not term.stem[0].isdigit()
    )
    aspects = [
        0.0 if term.told or term.weak or known else weight
        for term, weight, known in zip(question.terms, weights, in_title, strict=True)
    ]
    asked = sum(aspects)
    sections = _sections(read)
    for place, unit in enumerate(read.units):
        text = read.piece.text[unit.start : unit.end]
        if _repeats(question, text):
            continue
        own = read.unit_terms[place]
        said = _said(question, matcher, own, text)
        near = _surroundings(matcher, read, place)
        with_near = list(map(max, said, near))
        with_all = list(map(max, with_near, around))
        # Where the title says it, every unit says it.
        here = [max(one, TITLE_WORTH * other) for one, other in zip(said, in_title, strict=True)]
        fit = kind_fit(question, text, unit.kind, unit.heading)
        reached = sum(map(mul, weights, with_all))
        score = (1 - CONTEXT_SHARE) * sum(map(mul, weights, here)) + CONTEXT_SHARE * reached
        score *= _length_factor(len(own))
        score += TITLE_BONUS * title + PAIR_BONUS * _pairs(question, text, own)
        coverage = max(0.0, reached - foreign) * min(1.0, fit) / total
        aspect = sum(map(mul, aspects, with_near)) / asked if asked else 1.0
        yield Candidate(
            read.piece,
            read.units,
            place,
            score * fit / total,
            coverage,
            aspect,
            *_bearing(
                question,
                text,
                said,
                matcher.match(_borne(read, place)),
                matcher.match(sections[unit.heading]),
            ),
        )


def _sections(read: _Read) -> dict[str, frozenset[str]]:
    """Return the terms of all that stands under each heading."""
    found = {heading: set(own) for heading, own in read.heading_terms.items()}
    for unit, own in zip(read.units, read.unit_terms, strict=True):
        found[unit.heading] |= own
    return {heading: frozenset(own) for heading, own in found.items()}


def _borne(read: _Read, place: int) -> frozenset[str]:
    """Return the terms of a unit and of what says of what it speaks."""
    unit = read.units[place]
    said_before = before(read.units, read.piece.text, place)
    above = [] if unit.lead is None else [unit.lead]
    opens = opening(read.units, place)
    near = (read.unit_terms[one] for one in (place, *above, *said_before, *opens))
    return read.title_terms.union(read.heading_terms[unit.heading], *near)


def _bearing(
    question: Question,
    text: str,
    said: Sequence[float],
    borne: Sequence[float],
    section: Sequence[float],
) -> tuple[bool, bool]:
    """Return whether a unit is apart and worded, as `Candidate` has it."""
    asked = [
        (term, max(own, near, of_all if term.topic else 0.0))
        for term, own, near, of_all in zip(question.terms, said, borne, section, strict=True)
        if term.telling or term.topic
    ]
    lacking = [term for term, value in asked if not value]
    decisive = any(term.qualifying or term.topic for term in lacking)
    many = len(lacking) > sum(term.telling for term, _ in asked) // WORDS_FOR_ONE_LACKING
    apart = decisive or many or names_another(question.text, text)
    return apart, all(value == 1 for _, value in asked)


def _said(question: Question, matcher: _Matcher, own: frozenset[str], text: str) -> list[float]:
    """Return how far a unit itself says each term; a measure that it gives says its words."""
    return [
        1.0 if term.measure and tells(term.measure, text) else value
        for term, value in zip(question.terms, matcher.match(own), strict=True)
    ]


def _repeats(question: Question, text: str) -> bool:
    """Tell whether a text holds the question word for word: it asks, and does not answer."""
    asked = question.text.casefold().rstrip(" ?।")
    return len(question.terms) > 1 and asked in " ".join(text.casefold().split())


def _surroundings(matcher: _Matcher, read: _Read, place: int) -> list[float]:
    """Return how far the text around a unit says each term, each part at its worth."""
    unit = read.units[place]
    near = [(read.heading_terms[unit.heading], ABOVE_WORTH)]
    if unit.lead is not None:
        near.append((read.unit_terms[unit.lead], ABOVE_WORTH))
    said_before = before(read.units, read.piece.text, place)
    near += [(read.unit_terms[one], BESIDE_WORTH) for one in said_before]
    for beside in (place - 1, place + 1):
        if 0 <= beside < len(read.units) and read.units[beside].heading == unit.heading:
            near.append((read.unit_terms[beside], BESIDE_WORTH))
    values = [[worth * value for value in matcher.match(there)] for there, worth in near]
    return [max(column) for column in zip(*values, strict=True)]


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
        any(
            abs(first - second) <= 3
            for first in places.get(one, ())  # none for an abbreviation that is written in full
            for second in places.get(other, ())
        )
        for one, other in wanted
    )


def named_share(question: Question, title: str, source: str) -> float:
    """Return how much of a document's name the question says, from 0 to 1.

    A document has two names: its title, and its source (the name of its file or page).
    """
    asked = _naming(question)
    return max(
        (len(there & asked) / len(there) for there in name_words(title, source) if there), default=0
    )


def _naming(question: Question) -> frozenset[str]:
    """Return the terms of a question that can be part of a document's name."""
    return frozenset(term.stem for term in question.terms if term.name or term.weight == 1)


def name_words(title: str, source: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the stems of a document's title and of the last part of its source."""
    last = _EXTENSION.sub("", source.rstrip("/").replace("\\", "/").rsplit("/", 1)[-1])
    return telling(title), telling(last)
