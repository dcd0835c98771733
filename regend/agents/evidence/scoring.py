"""Scoring: how well each unit of the documents read answers the question.

Three figures for each unit, each a share of the question by weight, where rarer terms weigh more:
 - `score` ranks: what the unit says, together with where it stands, and whether it is of the kind
   that is wanted;
 - `coverage`: what the unit says of the question together with its surroundings, title included;
 - `aspect`: the same of what is asked *about* the document's subject. A document about a washing
   machine says "washing machine" everywhere, so that only the rest of the question tells whether
   it is answered.

A subject that stands nowhere in the document leaves the question unanswered, however much else
fits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import mul

from regend.agents.evidence.kinds import kind_fit
from regend.agents.evidence.measures import tells
from regend.agents.evidence.naming import named_share, named_terms
from regend.agents.evidence.pieces import Piece, Read, cut
from regend.agents.evidence.question import Question, Term
from regend.agents.evidence.rivals import names_another
from regend.agents.evidence.units import Unit
from regend.agents.evidence.words import alike
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
WORDS_FOR_ONE_LACKING = 4  # telling words of a question, of which an answer may lack one
LENGTH_AT_EASE = 30  # words; longer units say more by chance


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
class _Document:
    """What a document says of a question by itself, wherever in it a unit stands.

    Attributes:
        in_title: how far its title says each term.
        around: how far each term is said around every unit: by the title, or anywhere in it.
        bonus: of the score, for what its title and name say.
        foreign: weight of the subject, and of names, that stand nowhere in it.
        aspects: weight of each term that is asked about its subject, 0 for the subject itself.
        sections: terms of all that stands under each heading.
    """

    in_title: Sequence[float]
    around: Sequence[float]
    bonus: float
    foreign: float
    aspects: Sequence[float]
    sections: Mapping[str, frozenset[str]]


def rank(question: Question, pieces: Sequence[Piece]) -> list[Candidate]:
    """Return every unit of the pieces with its worth, best first; equal ones as they stand."""
    reads = cut(pieces, question.abbreviations)
    scorer = _Scorer(question, reads)
    if not scorer.total:
        return []
    ranked = [candidate for one in reads for candidate in scorer.candidates(one)]
    ranked.sort(key=lambda one: -one.score)
    return ranked


class _Scorer:
    """One question before all that was read: what each of its terms counts for, and what says it.

    Lists of numbers have one for each term of the question, in its order.
    """

    def __init__(self, question: Question, reads: Sequence[Read]) -> None:
        self.question = question
        named = named_terms(question, ((one.piece.title, one.piece.source) for one in reads))
        self.names = named.union(term.stem for term in question.terms if term.name)
        vocabulary = frozenset[str]().union(*(one.terms for one in reads))
        self.matcher = _Matcher(question, self.names, vocabulary)
        self.weights = _weights(question, reads)
        self.total = sum(self.weights)

    def candidates(self, read: Read) -> Iterator[Candidate]:
        """Yield the units of a piece, but for those that only repeat the question."""
        document = self._document(read)
        for place in range(len(read.units)):
            if not _repeats(self.question, read.text(place)):
                yield self._candidate(read, document, place)

    def _document(self, read: Read) -> _Document:
        in_title = self.matcher.match(read.title_terms)
        known = self.matcher.match(read.terms)
        named = 1 + named_share(self.question, read.piece.title, read.piece.source)
        weighed = list(zip(self.question.terms, self.weights, strict=True))
        return _Document(
            in_title,
            [
                max(TITLE_WORTH * titled, DOCUMENT_WORTH * said)
                for titled, said in zip(in_title, known, strict=True)
            ],
            TITLE_BONUS * (_sum(self.weights, in_title) * named),
            sum(
                weight
                for (term, weight), said in zip(weighed, known, strict=True)
                if not said and self._must_stand(term)
            ),
            [
                0.0 if term.told or term.weak or titled else weight
                for (term, weight), titled in zip(weighed, in_title, strict=True)
            ],
            read.section_terms(),
        )

    def _must_stand(self, term: Term) -> bool:
        """Tell whether a document without a term is about something else."""
        return (term.subject or term.stem in self.names) and not term.stem[0].isdigit()

    def _candidate(self, read: Read, document: _Document, place: int) -> Candidate:
        unit, text, own = read.units[place], read.text(place), read.unit_terms[place]
        said = self._said(text, own)
        with_near = list(map(max, said, self._surroundings(read, place)))
        reached = _sum(self.weights, map(max, with_near, document.around))
        # Where the title says it, every unit says it.
        here = [
            max(one, TITLE_WORTH * titled)
            for one, titled in zip(said, document.in_title, strict=True)
        ]
        score = (1 - CONTEXT_SHARE) * _sum(self.weights, here) + CONTEXT_SHARE * reached
        score *= _length_factor(len(own))
        score += document.bonus
        fit = kind_fit(self.question, text, unit.kind, unit.heading)
        asked = sum(document.aspects)
        borne = self.matcher.match(read.borne_terms(place))
        section = self.matcher.match(document.sections[unit.heading])
        return Candidate(
            read.piece,
            read.units,
            place,
            score * fit / self.total,
            max(0.0, reached - document.foreign) * min(1.0, fit) / self.total,
            _sum(document.aspects, with_near) / asked if asked else 1.0,
            *_bearing(self.question, text, said, borne, section),
        )

    def _said(self, text: str, own: frozenset[str]) -> list[float]:
        """Return how far a unit itself says each term; a measure that it gives says its words."""
        return [
            1.0 if term.measure and tells(term.measure, text) else value
            for term, value in zip(self.question.terms, self.matcher.match(own), strict=True)
        ]

    def _surroundings(self, read: Read, place: int) -> list[float]:
        """Return how far the text around a unit says each term, each part at its worth."""
        unit = read.units[place]
        near = [(read.heading_terms[unit.heading], ABOVE_WORTH)]
        if unit.lead is not None:
            near.append((read.unit_terms[unit.lead], ABOVE_WORTH))
        near += [(read.unit_terms[one], BESIDE_WORTH) for one in read.before(place)]
        for beside in (place - 1, place + 1):
            if 0 <= beside < len(read.units) and read.units[beside].heading == unit.heading:
                near.append((read.unit_terms[beside], BESIDE_WORTH))
        values = [[worth * value for value in self.matcher.match(there)] for there, worth in near]
        return [max(column) for column in zip(*values, strict=True)]


def _sum(weights: Iterable[float], values: Iterable[float]) -> float:
    total: float = sum(map(mul, weights, values))
    return total


def _weights(question: Question, reads: Sequence[Read]) -> tuple[float, ...]:
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


def _repeats(question: Question, text: str) -> bool:
    """Tell whether a text holds the question word for word: it asks, and does not answer."""
    asked = question.text.casefold().rstrip(" ?।")
    return len(question.terms) > 1 and asked in " ".join(text.casefold().split())


def _length_factor(length: int) -> float:
    return 1.0 if length <= LENGTH_AT_EASE else (LENGTH_AT_EASE / length) ** 0.35
