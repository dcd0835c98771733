"""Pieces: the parts of documents that were read, cut into units, with the terms of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from regend.agents.evidence.leaning import before, opening
from regend.agents.evidence.naming import name_words
from regend.agents.evidence.units import Unit, units
from regend.agents.evidence.words import spelled_out, stem, term_set


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
class Read:
    """A piece cut into units.

    Attributes:
        unit_terms: of each unit, with those that it has in full for an abbreviation.
        heading_terms: by heading.
        title_terms: of both names of the document.
        terms: of all that was read of the document.
    """

    piece: Piece
    units: tuple[Unit, ...]
    unit_terms: tuple[frozenset[str], ...]
    heading_terms: dict[str, frozenset[str]]
    title_terms: frozenset[str]
    terms: frozenset[str]

    def text(self, place: int) -> str:
        """Return the characters of a unit."""
        unit = self.units[place]
        return self.piece.text[unit.start : unit.end]

    def before(self, place: int) -> list[int]:
        """Return the places of the sentences that say of what a unit speaks (`leaning.before`)."""
        return before(self.units, self.piece.text, place)

    def borne_terms(self, place: int) -> frozenset[str]:
        """Return the terms of a unit and of all that says of what it speaks."""
        unit = self.units[place]
        above = [] if unit.lead is None else [unit.lead]
        bearing = (place, *above, *self.before(place), *opening(self.units, place))
        near = (self.unit_terms[one] for one in bearing)
        return self.title_terms.union(self.heading_terms[unit.heading], *near)

    def section_terms(self) -> dict[str, frozenset[str]]:
        """Return by heading the terms of all that stands under it."""
        found = {heading: set(own) for heading, own in self.heading_terms.items()}
        for unit, own in zip(self.units, self.unit_terms, strict=True):
            found[unit.heading] |= own
        return {heading: frozenset(own) for heading, own in found.items()}


def cut(pieces: Sequence[Piece], abbreviations: frozenset[str]) -> list[Read]:
    """Cut pieces into units; the windows of one document know all the terms read of it.

    Args:
        abbreviations: words of the question for which a text may have the words in full.
    """
    reads = [_cut(piece, abbreviations) for piece in pieces]
    known: dict[str, frozenset[str]] = {}
    for one in reads:
        own = one.piece.document_id
        known[own] = known.get(own, frozenset()) | one.terms
    return [replace(one, terms=known[one.piece.document_id]) for one in reads]


def _cut(piece: Piece, abbreviations: frozenset[str]) -> Read:
    found = tuple(_headed(unit, piece) for unit in units(piece.text))
    texts = [piece.text[unit.start : unit.end] for unit in found]
    unit_terms = tuple(
        term_set(text).union(stem(one) for one in abbreviations if spelled_out(one, text))
        for text in texts
    )
    headings = {heading: term_set(heading) for heading in {unit.heading for unit in found}}
    title = term_set(piece.title).union(*name_words(piece.title, piece.source))
    everything = title.union(*unit_terms, *headings.values())
    return Read(piece, found, unit_terms, headings, title, everything)


def _headed(unit: Unit, piece: Piece) -> Unit:
    """Give a unit of a window the whole heading, where the search knows it for its place."""
    if not piece.start:
        return unit
    at = piece.start + unit.start
    above = (heading for start, end, heading in piece.headings if start <= at < end)
    return replace(unit, heading=next(above, unit.heading))
