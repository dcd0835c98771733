"""Words: how questions and documents are cut into terms that can be compared.

A term is the stem of a word. Stems are rough on purpose: they only have to bring the forms of one
word together ("install", "installed", "installation"), in English and in Hindi; words of other
scripts are compared as they are. Identifiers count as their parts and as a whole, so that
"WebSocket", "web-sockets" and "web_socket" meet. Everyday words and the field's words for the same
thing meet in `RELATED`, at a lower weight than the word itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from regend.agents.evidence.vocabulary import RELATED_GROUPS, SPELLINGS, STOP_WORDS

# Letters and digits, with the combining marks and joiners that Indian scripts put inside words
# (`\w` alone would cut "हिन्दी" at each of them); the danda (U+0964, U+0965) ends sentences.
_LETTER = (
    r"(?:[^\W_]|[\u0300-\u036f\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963"
    r"\u0981-\u0983\u09bc-\u09cd\u09d7\u09e2\u09e3\u0a01-\u0a03\u0a3c-\u0a51\u0a70\u0a71"
    r"\u0a81-\u0a83\u0abc-\u0acd\u0b01-\u0b03\u0b3c-\u0b57\u0b82\u0bbe-\u0bcd\u0bd7"
    r"\u0c00-\u0c04\u0c3e-\u0c56\u0c81-\u0c83\u0cbc-\u0cd6\u0d00-\u0d03\u0d3b-\u0d4d\u0d57"
    r"\u200c\u200d])"
)
_WORD = re.compile(rf"[vV]?\d+(?:[.,]\d+)+(?![^\W\d_])|{_LETTER}+")
_VERSION_PREFIX = re.compile(r"^v(?=\d)")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_JOINERS = frozenset("-_./")


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
    """Return the term that a word stands for: casefolded, spelling and endings evened out."""
    plain = (
        unicodedata.normalize("NFKC", word).casefold().replace("\u200c", "").replace("\u200d", "")
    )
    if any(character.isdigit() for character in plain):
        digits = (str(unicodedata.digit(one, one)) if one.isdigit() else one for one in plain)
        return _VERSION_PREFIX.sub("", "".join(digits))
    if plain.isascii():
        return _stem_english(SPELLINGS.get(plain, plain))
    if "\u0900" <= plain[:1] <= "\u097f":
        return _stem_hindi(plain)
    return plain


def _stem_english(word: str) -> str:
    if len(word) <= 3:
        return word
    if word.endswith("ies") and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "xes", "zes", "ches", "shes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ization", "isation", "ation", "ition", "ibility", "ability"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[: -len(ending)] + ("iz" if ending[1:] in ("zation", "sation") else "")
    for ending in ("ing", "ed", "ion", "able", "ible", "ment", "ly", "est", "er", "or"):
        left = word[: -len(ending)]
        if word.endswith(ending) and len(left) >= 3 and re.search("[aeiouy]", left):
            word = left[:-1] if left[-1:] == left[-2:-1] and left[-1] not in "lsz" else left
            break
    if word.endswith("is") and len(word) > 5:
        word = word[:-2] + "iz"  # organise, organize
    return word[:-1] if word.endswith(("e", "y")) and len(word) > 3 else word


_HINDI_ENDINGS = (
    *("ियों", "ियाँ", "ियां", "ाओं", "ाएँ", "ाएं", "ुओं", "ओं", "ों", "ें", "ीं", "ाँ", "ां", "ने", "ना", "नी"),
    *("ता", "ते", "ती", "ी", "े", "ा", "ो", "ि", "ु", "ू"),
)


def _stem_hindi(word: str) -> str:
    for ending in _HINDI_ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 2:
            return word[: -len(ending)]
    return word


def is_stop_word(word: str) -> bool:
    """Tell whether a word carries no meaning of its own in a question."""
    return word.casefold() in STOP_WORDS


def content_words(text: str) -> list[Word]:
    """Return the words of a text that carry meaning."""
    return [word for word in words(text) if not is_stop_word(word.text)]


def terms(text: str) -> Iterator[tuple[str, int]]:
    """Yield each term of a text with the place (count of words before it) where it stands.

    Identifiers yield their parts, and what their parts spell when written together.
    """
    found = words(text)
    for place, word in enumerate(found):
        yield stem(word.text), place
        humps = _HUMP.split(word.text)
        if len(humps) > 1:
            for hump in humps:
                yield stem(hump), place
        if place and text[found[place - 1].end : word.start] in _JOINERS:
            yield stem(found[place - 1].text + word.text), place


def term_set(text: str) -> frozenset[str]:
    """Return the terms of a text."""
    return frozenset(term for term, _ in terms(text))


def _group_terms() -> dict[str, frozenset[str]]:
    groups: dict[str, set[str]] = {}
    for group in RELATED_GROUPS:
        members = {stem(word) for word in group.split()}
        for member in members:
            groups.setdefault(member, set()).update(members)
    return {member: frozenset(others - {member}) for member, others in groups.items()}


RELATED: dict[str, frozenset[str]] = _group_terms()
"""Terms that often say the same thing as a term, without it."""
