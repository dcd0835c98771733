"""Question: what is asked, in terms that evidence can be held against.

Deterministic: the same question always gives the same plan. A question is parted where it asks
twice; each part becomes weighted terms, the measures and the kinds of answer that it wants. A later
part is told of what the first one spoke ("… and when was *it* serviced?").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from regend.agents.evidence.cues import asked_kinds, kind_words, second_askings
from regend.agents.evidence.measures import MEASURES, asked_measures, counted
from regend.agents.evidence.vocabulary import PHRASES
from regend.agents.evidence.words import (
    RELATED,
    Word,
    is_stop_word,
    is_weak,
    stem,
    telling,
    terms,
    whole_word,
    words,
)
from regend.library.words import fold

MAX_QUESTION_CHARACTERS = 2000  # what is longer is cut for planning; the job keeps it whole
MAX_TERMS = 40
MAX_PARTS = 3
MAX_RELATED_WORDS = 12  # of the search for the field's words

WEAK_WEIGHT = 0.3
KIND_WEIGHT = 0.5  # of a word that names the kind of answer, which an answer need not repeat
TOLD_WEIGHT = 0.5  # of a word that an earlier part said

_LIVING = frozenset(map(stem, ("live", "reside", "stay", "situated", "located")))
_TIME_WORDS = frozenset(
    map(stem, ("time", "day", "date", "month", "week", "year", "समय", "दिन", "तारीख"))
)
_QUALIFYING = re.compile(
    r"\b(?:of|for)\s+(?:(?:the|my|our|your|a|an|this|that)\s+)?(?:[\w'’-]+\s+){0,2}\Z",
    re.IGNORECASE,
)
_ABBREVIATION = re.compile(r"\b[A-Z]{2,5}\b")
_OF = re.compile(r"\bof (?:(?:the|my|our|your|a|an|this|that) )?\Z", re.IGNORECASE)
_NAME_RUN = re.compile(r"[A-Z][\w']*(?:[ -][A-Z][\w']*)+")
_PRONOUN = re.compile(
    r"\b(?:it|its|they|them|their|he|him|his|she|her|this|that|these|those)\b"
    r"|(?:^|\s)(?:यह|ये|वह|वे|इसे|इसका|इसकी|इसके|इसको|इस|उसे|उसका|उसकी|उसके|उसको|उस|அது|அதை|அவர்|இது)(?=[\s?।]|$)",
    re.IGNORECASE,
)
_LED = re.compile(r"\b(?:the|my|our|your|a|an|this)\s+([\w-]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that the question speaks of.

    Attributes:
        word: as it stands in the question.
        stem: what is looked for.
        weight: 1 for a word with meaning of its own, less for a weak one.
        related: terms that may stand for it.
        parts: what the word is made of, where that may be written apart ("web", "socket").
        name: a proper name, an identifier or a number: another word cannot stand for it.
        measure: what a text tells that need not have the word (a key of `MEASURES`), or empty.
        subject: the question is about it, so that a text must have it or a word for it.
        qualifying: it tells which one is meant ("for *maintenance*"), so that an answer must be
            about it.
        kind: it only names the kind of answer ("on which *day*").
        topic: an earlier part said it, and this one means it by "it": an answer must be about it.
        told: an earlier part of the question said it, and this one only goes on about it.
    """

    word: str
    stem: str
    weight: float
    related: frozenset[str]
    parts: frozenset[str] = frozenset()
    name: bool = False
    measure: str = ""
    subject: bool = False
    told: bool = False
    qualifying: bool = False
    kind: bool = False
    topic: bool = False

    @property
    def weak(self) -> bool:
        """Whether the word says little of its own."""
        return self.weight == WEAK_WEIGHT

    @property
    def telling(self) -> bool:
        """Whether an answer must speak of this, or it may be about something else."""
        return (self.name or self.weight == 1) and not self.told and not self.kind


@dataclass(frozen=True, slots=True)
class Question:
    """A question, or one part of it, understood as far as code can.

    Attributes:
        text: the question, trimmed.
        terms: what it speaks of, in order, each once.
        cues: kinds of answer wanted, as `cues.asked_kinds` calls them.
        measures: what is to be told, keys of `MEASURES`.
        counted: stems of what is to be counted, if anything.
        abbreviations: words of a few capitals, for which a text may have the words in full.
    """

    text: str
    terms: tuple[Term, ...]
    cues: frozenset[str]
    measures: frozenset[str]
    counted: frozenset[str]
    abbreviations: frozenset[str]


def parts(text: str) -> list[Question]:
    """Return the parts of a question: one, or several where it asks for several things."""
    trimmed = " ".join(text.split())[:MAX_QUESTION_CHARACTERS]
    first, *later = map(analyse, _parted(trimmed))
    return [first, *(_told(first, part) for part in later)]


def _parted(text: str) -> list[str]:
    spans = second_askings(text)[: MAX_PARTS - 1]
    starts, ends = [0, *(end for _, end in spans)], [*(start for start, _ in spans), len(text)]
    found = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    return found if all(any(map(str.isalnum, part)) for part in found) else [text]


def _told(first: Question, part: Question) -> Question:
    """Give a later part the terms of the first one, as what it goes on about."""
    own = {term.stem for term in part.terms}
    means_it = bool(_PRONOUN.search(part.text)) or not any(term.telling for term in part.terms)
    topic = _topic(first) if means_it else ""
    told = (
        replace(
            one,
            weight=one.weight * TOLD_WEIGHT,
            measure="",
            subject=False,
            told=True,
            topic=one.stem == topic,
        )
        for one in first.terms
        if one.stem not in own
    )
    return replace(part, terms=(*part.terms, *told))


def _topic(question: Question) -> str:
    """Return the stem of what a question is about: what follows its article, or its first word."""
    telling = [term.stem for term in question.terms if term.telling]
    led = (stem(found[1]) for found in _LED.finditer(question.text))
    return next((own for own in led if own in telling), telling[0] if telling else "")


def analyse(text: str) -> Question:
    """Return what a question asks for; a text without words gives one without terms."""
    trimmed = " ".join(text.split())[:MAX_QUESTION_CHARACTERS]
    cues = asked_kinds(trimmed)
    measures = asked_measures(trimmed)
    found: dict[str, Term] = {}
    for term in _terms(trimmed, measures, cues):
        if term.stem not in found and len(found) < MAX_TERMS:
            found[term.stem] = term
    return Question(
        trimmed,
        _named(trimmed, found),
        cues,
        measures,
        counted(trimmed),
        frozenset(_ABBREVIATION.findall(trimmed)),
    )


def _named(text: str, found: dict[str, Term]) -> tuple[Term, ...]:
    """Let the words of one name ("Annual Day") count together for as much as one word."""
    runs = [
        {stem(word.text) for word in words(run.group())} & found.keys()
        for run in _NAME_RUN.finditer(text)
    ]
    shares = {own: 1 / len(run) for run in runs for own in run if found[own].name}
    return tuple(
        replace(term, weight=term.weight * shares.get(own, 1.0)) for own, term in found.items()
    )


def _terms(text: str, measures: frozenset[str], cues: frozenset[str]) -> Iterator[Term]:
    """Yield the terms of a text; what people say in several words is one term."""
    spoken = words(text)
    at = 0
    while at < len(spoken):
        phrase = _phrase(spoken, at)
        if phrase:
            own = stem(PHRASES[phrase])
            said = {stem(word) for word in phrase.split() if not is_stop_word(word)}
            yield Term(phrase, own, 1.0, RELATED.get(own, frozenset()) | said - {own})
            at += len(phrase.split())
            continue
        word = spoken[at]
        at += 1
        if not is_stop_word(word.text) or _is_letter_name(word):
            yield _term(text, word, measures, cues)


def _phrase(spoken: Sequence[Word], at: int) -> str:
    """Return the longest phrase that begins at a word, or nothing."""
    for many in (4, 3, 2):
        phrase = " ".join(fold(word.text) for word in spoken[at : at + many])
        if phrase in PHRASES:
            return phrase
    return ""


def _is_letter_name(word: Word) -> bool:
    """Tell whether a single capital ("C", "R") is a name rather than an article or "I"."""
    return len(word.text) == 1 and word.text.isupper() and word.text not in "AI" and word.start > 0


def _term(text: str, word: Word, measures: frozenset[str], cues: frozenset[str]) -> Term:
    own = stem(word.text)
    weak = is_weak(word.text) or (own in _LIVING and "address" in cues)
    names_kind = own in kind_words(cues)
    return Term(
        word.text,
        own,
        WEAK_WEIGHT if weak else KIND_WEIGHT if names_kind else 1.0,
        RELATED.get(own, frozenset()),
        frozenset(part for part, _ in terms(word.text)) - {own},
        _is_name(text, word) and not weak,
        next((name for name in sorted(measures) if own in MEASURES[name].words), ""),
        _is_subject(text, word),
        qualifying=_qualifies(text, word) or _is_name(text, word),
        kind=names_kind or (own in _TIME_WORDS and "time" in cues),
    )


def _qualifies(text: str, word: Word) -> bool:
    """Tell whether a word stands after "of" or "for", with nothing but its like between."""
    led = _QUALIFYING.search(text, 0, word.start)
    between = words(led.group())[1:] if led else []
    return led is not None and not any(
        is_stop_word(one.text) and one.text not in ("the", "my", "our", "your") for one in between
    )


def _is_subject(text: str, word: Word) -> bool:
    """Tell whether a word stands alone after "of" ("the guarantee of the mixer")."""
    following = next(iter(words(text[word.end :])), None)
    alone = following is None or is_stop_word(following.text)
    return alone and bool(_OF.search(text, 0, word.start))


def _is_name(text: str, word: Word) -> bool:
    opens = word.start == 0 or text[: word.start].rstrip()[-1:] in (".", "?", "!", ":")
    capital = word.text[:1].isupper() and (not opens or word.text[1:].lower() != word.text[1:])
    mixed = any(one.isdigit() for one in word.text)
    return capital or mixed


def only_repeats(sentence: str, question: str) -> bool:
    """Tell whether a sentence holds a question word for word, or no more than what it asks of."""
    said, asked = (" ".join(fold(word.text) for word in words(one)) for one in (sentence, question))
    if asked and f" {asked} " in f" {said} ":
        return True
    yes_or_no = "yes" in analyse(question).cues
    return not yes_or_no and telling(sentence) <= telling(question)


def queries(asked: Sequence[Question], *, deep: bool = False) -> list[str]:
    """Return the searches to make, the most promising first; none for a question without terms.

    Each part as asked comes first (a later one with the words that it goes on about), then the
    names alone, then the telling words with the field's words for them; `deep` adds a search for
    each name by itself.
    """
    planned = [_searched(part) for part in asked if part.terms]
    if not planned:
        return []
    first = asked[0]
    names = [word.text for word in words(first.text) if stem(word.text) in _names(first)]
    strong = [
        word.text
        for word in words(first.text)
        if not is_stop_word(word.text) and not is_weak(word.text)
    ]
    related = sorted({other for term in first.terms if not term.name for other in term.related})
    others = map(whole_word, related[:MAX_RELATED_WORDS])
    planned += [" ".join(names), " ".join([*strong, *others])]
    if deep:
        planned += names
    return list(dict.fromkeys(query for query in planned if query.strip()))


def _searched(part: Question) -> str:
    told = (term.word for term in part.terms if term.told)
    return " ".join([part.text, *told])


def _names(question: Question) -> set[str]:
    return {term.stem for term in question.terms if term.name}
