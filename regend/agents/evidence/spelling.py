"""Spelling: a word of the question that was mistyped, read as the word that the documents have.

Careful, because another word is another question. Only a word that stands in nothing of what was
read, that is no name and no word of the vocabulary, is read as another; only where one word of the
documents, and no second one, differs from it by a letter left out, one too many, or two letters
swapped, behind the first and before the last. The answer says what was read as what.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from regend.agents.evidence.words import RELATED, alike, is_stop_word, is_weak, stem, words

MIN_LETTERS = 5  # of both words: a short one has too many neighbours
_MISTYPED = re.compile(rf"[a-z]{{{MIN_LETTERS},}}")


def respelled(question: str, texts: Iterable[str]) -> tuple[str, list[tuple[str, str]]]:
    """Return the question with its mistyped words as the texts spell them, in small letters, and
    which those are, each with the word as it stands in the texts."""
    typed = {word.text for word in words(question) if _MISTYPED.fullmatch(word.text)}
    typed = {word for word in typed if not (is_stop_word(word) or is_weak(word))}
    if not typed:
        return question, []
    said = {word.text.lower(): word.text for text in texts for word in words(text)}
    stems = {stem(word) for word in said}
    read: dict[str, str] = {}
    for word in sorted(typed):
        own = stem(word)
        if own in stems or own in RELATED or any(alike(own, one) for one in stems):
            continue
        near = {stem(one): one for one in sorted(_neighbours(word, said))}
        if len(near) == 1:
            read[word] = next(iter(near.values()))
    for word, meant in read.items():
        question = re.sub(rf"\b{word}\b", meant, question)
    return question, [(word, said[meant]) for word, meant in read.items()]


def _neighbours(word: str, said: Iterable[str]) -> Iterator[str]:
    """Yield the words that a slip of the fingers tells from this one."""
    for other in said:
        near = abs(len(other) - len(word)) <= 1 and other[:1] == word[0] and other[-1:] == word[-1]
        if near and _MISTYPED.fullmatch(other) and _is_slip(word, other):
            yield other


def _is_slip(one: str, other: str) -> bool:
    """Tell whether one letter too many or two swapped make one word the other."""
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) < len(longer):
        return any(longer[:at] + longer[at + 1 :] == shorter for at in range(1, len(longer) - 1))
    swapped = (one[:at] + one[at + 1] + one[at] + one[at + 2 :] for at in range(1, len(one) - 2))
    return any(two == other for two in swapped)
