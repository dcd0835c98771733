"""Support: whether a quote bears out a sentence that a model wrote.

Strict, because what passes is shown beside the citation. Every word with meaning must be in the
quote, save a few that are weak; every number and name must be, and a plate, an amount or an
identifier whole, with its sign and all its groups; the words must stand in the quote's order, names
without exception; both must say it or both deny it; no word may stand where the quote has its
opposite; what stands in several clauses of the quote may not be put together (`clauses`); and what
the quote only asks, it does not say. A true sentence in other words is held for unsupported: that
makes an answer drier, never wrong.
"""

from __future__ import annotations

import re

from regend.agents.evidence.clauses import denies, is_turned_round, said_together
from regend.agents.evidence.vocabulary import NUMBER_WORDS
from regend.agents.evidence.words import Word, alike, is_stop_word, is_weak, stem, words
from regend.library.sentences import sentences
from regend.library.words import fold

MIN_SHARE = 0.8  # of the sentence's words with meaning that the quote itself must have
MIN_ORDER = 0.75  # of those that must stand in the quote's order
MIN_WORDS = 2  # with meaning; a shorter sentence says nothing that could be checked

_AROUND_WORDS = ".,;:!?…।()[]{}<>\"'“”‘’«»*_`|"
_GROUP_OF_CAPITALS = re.compile(r"[A-Z]{1,4}")  # in "MH 12 AB 4321"


def supported(sentence: str, quote: str, title: str = "") -> bool:
    """Tell whether a quote bears out a sentence.

    Args:
        sentence: what the model wrote, without citation marks.
        quote: the characters of the document.
        title: of the document; names in it may stand in the sentence.
    """
    parts = [quote[start:end].rstrip() for start, end in sentences(quote)]
    if any(_supported_by(sentence, part, title) for part in parts if not part.endswith("?")):
        return True
    asked = any(_supported_by(sentence, part, title) for part in parts if part.endswith("?"))
    if asked or any(map(denies, parts)):
        return False
    return len(parts) != 1 and _supported_by(sentence, quote, title)


def _supported_by(sentence: str, quote: str, title: str) -> bool:
    meaning = [word for word in words(sentence) if not is_stop_word(word.text)]
    if len(meaning) < MIN_WORDS or denies(sentence) != denies(quote):
        return False
    if not _has_figures_whole(sentence, quote):
        return False
    there = [stem(word.text) for word in words(quote)]
    if any(is_turned_round(stem(word.text), there) for word in words(sentence)):
        return False
    in_title = {stem(word.text) for word in words(title)}
    places: list[int] = []
    of_names: list[int] = []
    named = 0
    for word in meaning:
        own = stem(word.text)
        place = _place(own, there)
        if place is not None:
            places.append(place)
            of_names += [place] if word.text[:1].isupper() else []
        elif own in in_title:
            named += 1
        elif _is_exact(word) or not is_weak(word.text):
            return False
    enough = len(places) + named >= MIN_SHARE * len(meaning) and bool(places)
    in_order = _longest_rise(places) >= MIN_ORDER * len(places) and of_names == sorted(of_names)
    return enough and in_order and said_together(sentence, quote, frozenset(in_title))


def _has_figures_whole(sentence: str, quote: str) -> bool:
    """Tell whether each figure of a sentence stands there as all that the quote makes of it."""
    said = _chunks(sentence)
    plain = [chunk.casefold() for chunk in said]
    wanted = {place for place, chunk in enumerate(said) if _has_digit(chunk)}
    for figure in _figures(quote):
        length = len(figure)
        for start in range(len(plain) - length + 1):
            if plain[start : start + length] == figure:
                wanted -= set(range(start, start + length))
    return not wanted


def _figures(text: str) -> list[list[str]]:
    """Return the figures of a text, each with the groups of capitals and digits that are part."""
    found: list[list[str]] = []
    group: list[str] = []
    for chunk in [*_chunks(text), ""]:
        if _has_digit(chunk) or _GROUP_OF_CAPITALS.fullmatch(chunk):
            group.append(chunk.casefold())
            continue
        if any(map(_has_digit, group)):
            found.append(group)
        group = []
    return found


def _chunks(text: str) -> list[str]:
    return [chunk.strip(_AROUND_WORDS) for chunk in text.split()]


def _has_digit(chunk: str) -> bool:
    return any(map(str.isdigit, chunk))


def _is_exact(word: Word) -> bool:
    """Tell whether no other word can stand for this one: a number, a name, an identifier."""
    number = _has_digit(word.text) or fold(word.text) in NUMBER_WORDS
    return number or word.text[:1].isupper()


def _place(term: str, there: list[str]) -> int | None:
    """Return where the quote has a term or another form of it."""
    for place, other in enumerate(there):
        if term == other or alike(term, other):
            return place
    return None


def _longest_rise(places: list[int]) -> int:
    """Return the length of the longest subsequence that never falls."""
    best: list[int] = []
    for index, place in enumerate(places):
        before = (best[i] for i in range(index) if places[i] <= place)
        best.append(1 + max(before, default=0))
    return max(best, default=0)
