"""Question: what is asked, in terms that evidence can be held against.

Deterministic: the same question always gives the same plan. A question becomes weighted terms,
the names that an answer cannot do without, the cues of what kind of answer is wanted, and the
searches to make.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from regend.agents.evidence.vocabulary import PHRASES, WEAK_WORDS
from regend.agents.evidence.words import RELATED, Word, is_stop_word, stem, terms, words
from regend.library.words import fold

MAX_QUESTION_CHARACTERS = 2000  # what is longer is cut for planning; the job keeps it whole
MAX_TERMS = 40

_CUES = {
    "number": r"\bhow (?:many|much|often|long|large|big|old|fast|far|high|deep)\b|\bmax(?:imum)?\b"
    r"|\bminimum\b|\blimit\b|\b(?:larg|bigg|small|high|low|long)est\b|\btemperature\b"
    r"|\bwhat (?:size|percentage|share|number of|port)\b",
    "date": r"\bwhen (?:was|were|did)\b|\b(?:what|which|in) year\b|\bsince when\b",
    "price": r"\bcosts?\b|\bprice[sd]?\b|\bfees?\b|\bhow expensive\b",
    "version": r"\bversions?\b|\breleases?\b",
    "license": r"\blicen[cs]\w*",
    "way": r"\bhow (?:do|can|could|should|would|to|might)\b|\bcommand\b|\bsteps?\b"
    r"|\bwhat (?:must|do|should) (?:i|we|you)\b",
    "reason": r"\bwhy\b|\bwhat for\b",
    "person": r"\bwho(?:m|se)?\b",
    "place": r"\bwhere\b|\bat which\b|\bin which (?:folder|directory|file)\b",
    "purpose": r"\bwhat (?:is|are|does) .{1,60}\b(?:for|do|purpose|good)\b|\bpurpose\b"
    r"|^what (?:is|are) (?:a |an |the )?\S+\s*\??$",
    "superlative": r"\b(?:fast|quick|slow|larg|bigg|small|high|low|long|cheap|simpl|easi|saf)est\b"
    r"|\b(?:best|worst|most|least)\b",
    "group": r"\b(?:compan(?:y|ies)|organi[sz]ations?|universit(?:y|ies)|agenc(?:y|ies)|firms?"
    r"|institutes?|projects|teams)\b",
    "yes": r"^(?:can|could|does|do|is|are|will|would|should|may|must|has|have|did|was)\b",
}
# Folded words, because `\b` does not see where a word with vowel signs ends.
_CUE_WORDS = {
    **dict.fromkeys(("कितना", "कितने", "कितनी", "अधिकतम", "न्यूनतम"), "number"),
    **dict.fromkeys(("कीमत", "दाम", "मूल्य", "शुल्क"), "price"),
    **dict.fromkeys(("संस्करण", "वर्शन"), "version"),
    **dict.fromkeys(("कौन", "किसने", "किसका", "किसके"), "person"),
    "कहां": "place",
    "कब": "date",
    "लाइसेंस": "license",
    "कैसे": "way",
    "क्यों": "reason",
}
_CUE_PATTERNS = {cue: re.compile(pattern, re.IGNORECASE) for cue, pattern in _CUES.items()}
_IDENTIFIER = re.compile(r"[^\W_]+(?:[-_.][^\W_]+)+")


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that the question speaks of.

    Attributes:
        stem: what is looked for.
        weight: 1 for a word with meaning of its own, less for a weak one.
        related: terms that may stand for it.
        parts: what the word is made of, where that may be written apart ("web", "socket").
        name: a proper name, an identifier or a number: another word cannot stand for it.
    """

    stem: str
    weight: float
    related: frozenset[str]
    parts: frozenset[str]
    name: bool


@dataclass(frozen=True, slots=True)
class Question:
    """A question, understood as far as code can.

    Attributes:
        text: the question, trimmed.
        terms: what it speaks of, in order, each once.
        pairs: stems that follow each other in it.
        cues: kinds of answer wanted, keys of `_CUES`.
    """

    text: str
    terms: tuple[Term, ...]
    pairs: frozenset[tuple[str, str]]
    cues: frozenset[str]


def analyse(text: str) -> Question:
    """Return what a question asks for; a text without words gives one without terms."""
    trimmed = " ".join(text.split())[:MAX_QUESTION_CHARACTERS]
    lowered = [fold(word.text) for word in words(trimmed)]
    cues = {cue for cue, pattern in _CUE_PATTERNS.items() if pattern.search(trimmed)}
    cues |= {_CUE_WORDS[word] for word in lowered if word in _CUE_WORDS}
    identifiers = {
        word.casefold()
        for found in _IDENTIFIER.findall(trimmed)
        for word in re.split("[-_.]", found)
    }
    found: dict[str, Term] = {}
    for word in words(trimmed):
        if is_stop_word(word.text) and not _is_letter_name(trimmed, word):
            continue
        term = _term(trimmed, word, identifiers, cues)
        if term.stem not in found and len(found) < MAX_TERMS:
            found[term.stem] = term
    order = list(found)
    for phrase, word_for_it in PHRASES.items():
        if f" {phrase} " in f" {' '.join(lowered)} " and (own := stem(word_for_it)) not in found:
            found[own] = Term(own, 0.8, RELATED.get(own, frozenset()), frozenset(), False)
    pairs = frozenset(pairwise(order))
    return Question(trimmed, tuple(found.values()), pairs, frozenset(cues))


def _is_letter_name(text: str, word: Word) -> bool:
    """Tell whether a single capital ("C", "R") is a name rather than an article or "I"."""
    return len(word.text) == 1 and word.text.isupper() and word.text not in "AI" and word.start > 0


def _term(text: str, word: Word, identifiers: set[str], cues: set[str]) -> Term:
    own = stem(word.text)
    parts = frozenset(part for part, _ in terms(word.text)) - {own}
    weak = fold(word.text) in WEAK_WORDS
    asked_for = bool(cues & {"version", "license", "price", "group"}) and own in _ASKED_STEMS
    weight = 0.3 if weak else 0.5 if asked_for else 1.0
    return Term(
        own, weight, RELATED.get(own, frozenset()), parts, _is_name(text, word) and not weak
    )


# Words that name the kind of answer wanted; an answer need not repeat them.
_ASKED_STEMS = frozenset(
    stem(word)
    for word in (
        *(
            "version",
            "release",
            "licence",
            "cost",
            "price",
            "company",
            "organization",
            "university",
        ),
        *("agency", "firm", "institute", "project", "team"),
    )
)


def _is_name(text: str, word: Word) -> bool:
    opens = word.start == 0 or text[: word.start].rstrip()[-1:] in (".", "?", "!", ":")
    capital = word.text[:1].isupper() and (not opens or word.text[1:].lower() != word.text[1:])
    mixed = any(one.isdigit() for one in word.text)
    return capital or mixed


def queries(question: Question, *, deep: bool = False) -> list[str]:
    """Return the searches to make, the most promising first; none for a question without terms.

    The question as asked comes first, then its weightiest words alone, then the same with the
    field's words for them; `deep` adds a search for each name by itself.
    """
    if not question.terms:
        return []
    kept = [word.text for word in words(question.text) if not is_stop_word(word.text)]
    strong = [word for word in kept if fold(word) not in WEAK_WORDS]
    related = sorted({other for term in question.terms if not term.name for other in term.related})
    planned = [question.text, " ".join(strong)]
    if related:
        planned.append(" ".join([*strong, *related[:12]]))
    if deep:
        planned += [
            word for word in strong if stem(word) in {t.stem for t in question.terms if t.name}
        ]
    return list(dict.fromkeys(query for query in planned if query.strip()))
