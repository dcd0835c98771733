"""From a question in plain words to what the index is asked.

A question is not a formula: nothing in it is an operator, so nothing in it is a syntax error.
 1. Its telling words become terms; a passage need not have all of them.
 2. Words in double quotes become a phrase that a passage must have.
 3. Words joined by a sign (`utf-8`, `max_attempts`) become a phrase too, one that may be missing.
 4. The last word, where the question breaks off with it, may be the beginning of a word.

What reaches FTS5 are quoted strings of letters, digits and marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from regend.library.stopwords import QUESTION_STOP_WORDS
from regend.library.words import question_terms, split_words, terms

MAX_QUESTION_CHARACTERS: Final = 20_000  # the rest is not read
MAX_TERMS: Final = 16  # of a longer question the longest words, which are the rarest, are asked for
MAX_PHRASES: Final = 4
_MAX_PHRASE_TERMS = 24
_MAX_JOINED_TERMS = 4
_SHORTEST_BEGINNING = 3

_QUOTED = re.compile(r'["“”„«»]([^"“”„«»]{1,400})["“”„«»]')
_JOINED = re.compile(r"\w[-_./:@+]\w")


@dataclass(frozen=True, slots=True)
class Query:
    """What the index is asked.

    Attributes:
        terms: stems, or phrases of stems parted by blanks; any of them may match.
        phrases: phrases of which a passage must have every one.
        beginning: the beginning of a word that the question ends in, folded and not stemmed; or
            empty.
    """

    terms: tuple[str, ...]
    phrases: tuple[str, ...] = ()
    beginning: str = ""

    def __bool__(self) -> bool:
        return bool(self.terms or self.phrases)


def parse(question: str) -> Query:
    """Return the query of a question; an empty one where it has no word. Never raises."""
    asked = question[:MAX_QUESTION_CHARACTERS]
    quoted = (terms(match[1])[:_MAX_PHRASE_TERMS] for match in _QUOTED.finditer(asked))
    phrases = tuple(dict.fromkeys(" ".join(found) for found in quoted if found))[:MAX_PHRASES]
    loose = _QUOTED.sub(" ", asked)
    joined = list(_joined_words(loose))
    single = [] if phrases and _is_only_asking(loose) else question_terms(loose)
    if joined:
        # The 8 of utf-8 says nothing without the utf.
        parts = {part for phrase in joined for part in phrase.split()}
        single = [term for term in single if len(term) > 1 or term not in parts]
    return Query(_telling(dict.fromkeys([*single, *joined])), phrases, _beginning(asked))


def _is_only_asking(text: str) -> bool:
    """Tell whether a text holds nothing but stop words of questions."""
    return all(word in QUESTION_STOP_WORDS for word in split_words(text))


def _joined_words(text: str) -> Iterable[str]:
    """Yield a phrase for each run without blanks that a sign joins from several words."""
    for run in text.split():
        if _JOINED.search(run[:100]):
            found = terms(run[:100])
            if 1 < len(found) <= _MAX_JOINED_TERMS:
                yield " ".join(found)


def _telling(found: Iterable[str]) -> tuple[str, ...]:
    """Return at most `MAX_TERMS` terms in the order of the question."""
    ordered = list(found)
    if len(ordered) <= MAX_TERMS:
        return tuple(ordered)
    kept = set(sorted(ordered, key=len, reverse=True)[:MAX_TERMS])
    return tuple(term for term in ordered if term in kept)


def _beginning(question: str) -> str:
    """Return the last word where nothing follows it and it is long enough to complete."""
    words = split_words(question[-100:])
    if not words or len(words[-1]) < _SHORTEST_BEGINNING:
        return ""
    return words[-1] if split_words(question[-1]) else ""


def match_all(phrases: Iterable[str]) -> str:
    """Return the FTS5 expression that every one of the terms or phrases matches."""
    return " AND ".join(f'"{phrase}"' for phrase in phrases)


def match_any(phrases: Iterable[str]) -> str:
    """Return the FTS5 expression that at least one of the terms or phrases matches."""
    return " OR ".join(f'"{phrase}"' for phrase in phrases)
