"""Words: how questions and documents are cut into terms that can be compared.

The library's analysis of words (folding, stems, stop words of English and the Indian languages) is
used here too, so that what the search finds is what is scored. On top of it: the span of each
word, identifiers that count as their parts and as a whole ("WebSocket", "web-sockets" and
"web_socket" meet), and `RELATED`, which brings everyday words and the field's words for the same
thing together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from regend.agents.evidence.vocabulary import (
    PHRASES,
    RELATED_GROUPS,
    SPELLINGS,
    STOP_WORDS,
    WEAK_WORDS,
    WRITTEN_PHRASES,
)
from regend.library.stems import english_stem, indian_stem
from regend.library.stopwords import QUESTION_STOP_WORDS
from regend.library.words import WORD_CHARACTERS, fold

# "3.10" and "v1.2.0" are one word each; an underscore joins words and belongs to none.
_WORD = re.compile(rf"[vV]?\d+(?:[.,]\d+)+(?![^\W\d_])|(?:(?!_)[{WORD_CHARACTERS}])+")
_VERSION_PREFIX = re.compile(r"^v(?=\d)")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_JOINERS = frozenset("-_./")
_PHRASE_ENDS = frozenset(phrase.split()[1] for phrase in WRITTEN_PHRASES)


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it stands in a text: its characters and its span."""

    text: str
    start: int
    end: int


def words(text: str) -> list[Word]:
    """Return the words of a text in order; "3.10" is one word, "a-b_c" is three."""
    return [Word(found.group(), found.start(), found.end()) for found in _WORD.finditer(text)]


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """Return the term that a word stands for: folded, spelling and endings evened out."""
    plain = fold(word)
    if not plain:
        return word
    if any(mark.isdigit() for mark in plain):
        return _VERSION_PREFIX.sub("", plain)
    plain = SPELLINGS.get(plain, plain)
    return english_stem(plain) if plain.isascii() else indian_stem(plain)


def is_stop_word(word: str) -> bool:
    """Tell whether a word carries no meaning of its own in a question."""
    plain = fold(word)
    return plain in QUESTION_STOP_WORDS or plain in STOP_WORDS


def is_weak(word: str) -> bool:
    """Tell whether a word, in any form, says little of which text is meant."""
    return stem(word) in _WEAK_STEMS


def terms(text: str) -> Iterator[tuple[str, int]]:
    """Yield each term of a text with the place (count of words before it) where it stands.

    Identifiers yield their parts, and what their parts spell when written together; two words that
    are written for one yield that one too.
    """
    found = words(text)
    for place, word in enumerate(found):
        yield stem(word.text), place
        humps = _HUMP.split(word.text)
        if len(humps) > 1:
            for hump in humps:
                yield stem(hump), place
        if place and word.text.casefold() in _PHRASE_ENDS:
            phrase = fold(f"{found[place - 1].text} {word.text}")
            if phrase in WRITTEN_PHRASES:
                yield stem(WRITTEN_PHRASES[phrase]), place
        if place and text[found[place - 1].end : word.start] in _JOINERS:
            yield stem(found[place - 1].text + word.text), place


def term_set(text: str) -> frozenset[str]:
    """Return the terms of a text."""
    return frozenset(term for term, _ in terms(text))


def spelled_out(letters: str, text: str) -> bool:
    """Tell whether words that follow each other begin with the letters of an abbreviation."""
    found = words(text)
    initials = "".join(" " if is_stop_word(word.text) else fold(word.text)[:1] for word in found)
    return letters.casefold() in initials


def telling(text: str) -> frozenset[str]:
    """Return the stems of a text's words that carry meaning of their own."""
    return frozenset(stem(word.text) for word in words(text) if not is_stop_word(word.text))


_WEAK_STEMS = frozenset(map(stem, WEAK_WORDS))
_FORM_ENDINGS = frozenset(
    [
        "",
        "r",
        "er",
        "or",
        "ed",
        "ing",
        "ion",
        "ation",
        "abl",
        "ibl",
        "ment",
        "at",
        "es",
        "iz",
        "i",
        "ness",
    ]
)


def alike(one: str, other: str) -> bool:
    """Tell whether two terms look like forms of one word that the stems keep apart."""
    shorter, longer = sorted((one, other), key=len)
    ending = longer[len(shorter) :]
    if not longer.startswith(shorter):
        return False
    if longer.isascii():
        return len(shorter) >= 4 and ending.removeprefix(shorter[-1]) in _FORM_ENDINGS
    return len(shorter) >= 3 and not any(map(str.isalnum, ending))  # nothing but vowel signs


def _group_terms() -> dict[str, frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for group in RELATED_GROUPS:
        members = {stem(word) for word in group.split()}
        for member in members:
            groups.setdefault(member, set()).update(members)
    return {member: frozenset(others - {member}) for member, others in groups.items()}


RELATED: dict[str, frozenset[str]] = _group_terms()
"""Terms that often say the same thing as a term, without it."""

_WHOLE_WORDS = {
    stem(word): word
    for text in reversed((*RELATED_GROUPS, *PHRASES, *PHRASES.values()))
    for word in reversed(text.split())
}


def whole_word(term: str) -> str:
    """Return a word for a term that the vocabulary brought in, as people write it."""
    return _WHOLE_WORDS.get(term, term)
