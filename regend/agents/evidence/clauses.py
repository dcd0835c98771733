"""Clauses: what of a text is said together, and whether a sentence puts together what is not.

“The shop opens at 9; it is shut on Mondays” has every word of “The shop is open on Mondays”, and
says the opposite. So a sentence must take what it says from one clause. It may borrow its subject
from the beginning of a clause before, as the quote itself does with “it”; then it may pass over
nothing that stands in the clause before the last word it takes, since that could be another subject
or the verb. Where the verb comes last, as in the Indian languages, it may pass over nothing at all.

What is a clause is told without grammar: by semicolons, dashes and the words that join clauses.
A comma and “and” part lists too, so there a part counts only where it could be a clause, and a few
words that open a sentence belong to what follows. Parting too much drops true sentences, parting
too little keeps false ones; the rules lean to the former.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile

from regend.agents.evidence.vocabulary import NEGATIONS, OPPOSITES
from regend.agents.evidence.words import Word, alike, is_stop_word, is_weak, stem, words
from regend.library.sentences import sentences
from regend.library.words import fold

MIN_CLAUSE_WORDS = 2  # with meaning, of a part behind a comma that counts as a clause
MAX_OPENING_WORDS = 2  # with meaning, of what opens a sentence and belongs to what follows

_JOINT = re.compile(
    r"(?P<firm>;|\s[–—-]\s|,?\s+(?:but|while|whereas|although|though|लेकिन|परंतु|मगर|जबकि|किंतु|ஆனால்)\s)"
    r"|,\s|,?\s+(?:and|or|then|और|तथा|या|एवं|மற்றும்)\s",
    re.IGNORECASE,
)
_NOT = re.compile(r"n['’]t\b", re.IGNORECASE)
_OPPOSITE: dict[str, frozenset[str]] = {}
for _one, _other in OPPOSITES:
    for _word, _against in ((stem(_one), stem(_other)), (stem(_other), stem(_one))):
        _OPPOSITE[_word] = _OPPOSITE.get(_word, frozenset()) | {_against}


@dataclass(frozen=True, slots=True)
class Clause:
    """A stretch of a text that says one thing.

    Attributes:
        text: its characters.
        sentence: number of the sentence it is part of.
        telling: its words with meaning of their own, in order.
    """

    text: str
    sentence: int
    telling: tuple[Word, ...]

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems of its telling words, in order."""
        return tuple(stem(word.text) for word in self.telling)


def clauses(text: str) -> list[Clause]:
    """Return the clauses of a text, in order."""
    return [
        Clause(part, number, _telling(part))
        for number, (start, end) in enumerate(sentences(text))
        for part in _parted(text[start:end])
    ]


def _parted(sentence: str) -> Iterator[str]:
    """Yield the clauses of one sentence."""
    start = 0
    for joint in _JOINT.finditer(sentence):
        before, after = sentence[start : joint.start()], sentence[joint.end() :]
        following = _JOINT.split(after, maxsplit=1)[0]
        opening = start == 0 and "," in joint.group() and len(_telling(before)) <= MAX_OPENING_WORDS
        alone = len(_telling(following)) >= MIN_CLAUSE_WORDS or denies(following)
        if joint["firm"] or (alone and not opening):
            yield before
            start = joint.end()
    yield sentence[start:]


def _telling(text: str) -> tuple[Word, ...]:
    return tuple(word for word in words(text) if not is_stop_word(word.text))


def denies(text: str) -> bool:
    """Tell whether a text says that something is not so (an even number of denials cancels)."""
    plain = [fold(word.text) for word in words(_NOT.sub(" not", text))]
    return sum(word in NEGATIONS for word in plain) % 2 == 1


def is_turned_round(own: str, there: Sequence[str]) -> bool:
    """Tell whether a text, given by its stems, has not this stem but its opposite."""
    return own not in there and not _OPPOSITE.get(own, frozenset()).isdisjoint(there)


def said_together(sentence: str, quote: str, elsewhere: frozenset[str]) -> bool:
    """Tell whether each clause of a sentence is said by one clause of a quote.

    All of them by clauses of one sentence, for a later clause goes on about the earlier one.

    Args:
        sentence: what is held against the quote; every word of it that counts is in there.
        quote: the characters of the document.
        elsewhere: stems that need not be in the quote (those of its document's title).
    """
    there = clauses(quote)
    known = frozenset(own for clause in there for own in clause.stems)
    bearers = [
        {
            one.sentence
            for place, one in enumerate(there)
            if _says(one, there[:place], clause, elsewhere, known)
        }
        for clause in clauses(sentence)
        if clause.telling
    ]
    return bool(bearers) and bool(set.intersection(*bearers))


def _says(
    there: Clause,
    before: Sequence[Clause],
    clause: Clause,
    elsewhere: frozenset[str],
    known: frozenset[str],
) -> bool:
    """Tell whether a clause of the quote, with a subject from before it, says a clause."""
    if denies(clause.text) != denies(there.text):
        return False
    every = [stem(word.text) for word in words(there.text)]
    if any(is_turned_round(stem(word.text), every) for word in words(clause.text)):
        return False
    wanted = [
        word
        for word in clause.telling
        if _has(known, stem(word.text)) or not (is_weak(word.text) or stem(word.text) in elsewhere)
    ]
    subject = [*takewhile(lambda word: not _has(there.stems, stem(word.text)), wanted)]
    taken = [stem(word.text) for word in wanted[len(subject) :]]
    if (wanted and not taken) or not all(_has(there.stems, own) for own in taken):
        return False
    return not subject or (_opens(subject, before, there) and not _passes_over(there, taken))


def _has(stems: Sequence[str] | frozenset[str], own: str) -> bool:
    return own in stems or any(alike(own, other) for other in stems)


def _opens(subject: Sequence[Word], before: Sequence[Clause], there: Clause) -> bool:
    """Tell whether a clause of the same sentence or of the one before begins with a subject."""
    if any(mark.isdigit() for word in subject for mark in word.text):
        return False
    own = [stem(word.text) for word in subject]
    return any(
        clause.sentence >= there.sentence - 1
        and len(clause.stems) >= len(own)
        and all(_has((other,), one) for one, other in zip(own, clause.stems, strict=False))
        for clause in before
    )


def _passes_over(there: Clause, taken: Sequence[str]) -> bool:
    """Tell whether telling words of a clause are left out that say of whom or what it speaks."""
    used = [_has(taken, own) for own in there.stems]
    last = len(used) - 1 - used[::-1].index(True)
    ends = len(used) if _is_indian(there.text) else last
    return any(
        not used[place] and not is_weak(word.text)
        for place, word in enumerate(there.telling[:ends])
    )


def _is_indian(text: str) -> bool:
    return any("\u0900" <= mark <= "\u0dff" for mark in text)
