"""Clauses: what of a text is said together.

“The shop opens at 9; it is shut on Mondays” has every word of “The shop is open on Mondays”, and
says the opposite. So a sentence must take what it says from one clause. What is a clause is told
without grammar: by semicolons, dashes and the words that join clauses. A comma and “and” part lists
too, so there a part counts only where it could be a clause, and a few words that open a sentence
belong to what follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from regend.agents.evidence.vocabulary import NEGATIONS
from regend.agents.evidence.words import is_stop_word, words
from regend.library.words import fold

MIN_CLAUSE_WORDS = 2  # with meaning, of a part behind a comma that counts as a clause
MAX_OPENING_WORDS = 2  # with meaning, of what opens a sentence and belongs to what follows

_JOINT = re.compile(
    r"(?P<firm>;|\s[–—-]\s|,?\s+(?:but|while|whereas|although|though|लेकिन|परंतु|मगर|जबकि|किंतु|ஆனால்)\s)"
    r"|,\s|,?\s+(?:and|or|then|और|तथा|या|एवं|மற்றும்)\s",
    re.IGNORECASE,
)
# Words that come and go without changing what is said.
_FILLER_WORDS = """
a an the of that do does did and then also however thus therefore moreover furthermore additionally
please यह ये और तथा एवं தான் மற்றும் இந்த এই এবং ও
"""
_FILLERS = frozenset(_FILLER_WORDS.split())
_ONE_FORM = {"are": "is", "were": "was", "have": "has"}


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a clause that counts.

    Attributes:
        form: the word folded, singular and plural alike.
        text: the word as it stands there.
        gap: the characters between it and the token before.
    """

    form: str
    text: str
    gap: str


@dataclass(frozen=True, slots=True)
class Clause:
    """A stretch of a text that says one thing.

    Attributes:
        text: its characters.
        tokens: its words that count, in order.
        rest: the characters behind the last of them, and behind the clause.
    """

    text: str
    tokens: tuple[Token, ...]
    rest: str

    @property
    def is_indian(self) -> bool:
        """Whether it is in a language of India, where the verb stands last."""
        return any("\u0900" <= mark <= "\u0dff" for mark in self.text)

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms of its tokens."""
        return tuple(token.form for token in self.tokens)


def clauses(sentence: str) -> list[Clause]:
    """Return the clauses of one sentence, in order, without those that have no token."""
    parts = [_clause(sentence, start, end) for start, end in _spans(sentence)]
    return [part for part in parts if part.tokens]


def _clause(sentence: str, start: int, end: int) -> Clause:
    tokens: list[Token] = []
    last = start
    for word in words(sentence[start:end]):
        plain = fold(word.text)
        if plain not in _FILLERS:
            gap = sentence[last : start + word.start]
            tokens.append(Token(_form(plain), word.text, gap))
            last = start + word.end
    return Clause(sentence[start:end], tuple(tokens), sentence[last:])


def _form(plain: str) -> str:
    """Return a folded word without the ending of an English plural or third person."""
    plain = _ONE_FORM.get(plain, plain)
    if not (plain.isascii() and plain.isalpha() and len(plain) > 3):
        return plain
    if plain.endswith("ies") and len(plain) > 4:
        return plain[:-3] + "y"
    if plain.endswith("s") and not plain.endswith(("ss", "us", "is")):
        plain = plain[:-1]
        if plain.endswith(("se", "xe", "ze", "che", "she", "oe")):
            return plain[:-1]
    return plain.removesuffix("e")


def _spans(sentence: str) -> Iterator[tuple[int, int]]:
    start = 0
    for joint in _JOINT.finditer(sentence):
        before, after = sentence[start : joint.start()], sentence[joint.end() :]
        following = _JOINT.split(after, maxsplit=1)[0]
        opening = start == 0 and "," in joint.group() and _telling(before) <= MAX_OPENING_WORDS
        alone = _telling(following) >= MIN_CLAUSE_WORDS or _denies(following)
        if joint["firm"] or (alone and not opening):
            yield start, joint.start()
            start = joint.end()
    yield start, len(sentence)


def _telling(text: str) -> int:
    return sum(not is_stop_word(word.text) for word in words(text))


def _denies(text: str) -> bool:
    return any(fold(word.text) in NEGATIONS for word in words(text))
