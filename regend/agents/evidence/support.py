"""Support: whether a quote bears out a sentence that a model wrote.

Strict, because what passes is shown as checked against the document. The rules:
 1. One sentence of the quote bears it, and has the same words that limit, undo or merely report
    (`qualifiers`), each as often; nothing else in the quote calls something wrong.
 2. Each clause is said by one whole clause there, word after word: nothing is passed over, added or
    moved but a few fillers, and what opens a clause may stand at its end. Even a place or a manner
    may not be left out: a vaccine that causes fever in mice may cause none in people.
 3. Clauses may be left out, and one of them may name the subject that the quote named in a clause
    before (“opens at 9 and closes at 1”). What “it” stands for is not guessed.
 4. A plate, an amount or an identifier counts whole, with its sign and all its groups.
 5. What the quote only asks, it does not say.
A true sentence in other words is held for unsupported: that makes an answer drier, never wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from regend.agents.evidence.clauses import Clause, Token, clauses
from regend.agents.evidence.qualifiers import qualifiers, verdicts
from regend.agents.evidence.vocabulary import NUMBER_WORDS
from regend.agents.evidence.words import is_stop_word, words
from regend.library.sentences import sentences
from regend.library.words import fold

MIN_WORDS = 2  # with meaning; a shorter sentence says nothing that could be checked
MAX_OPENING_WORDS = 5  # of what may stand at the beginning or at the end
MAX_SUBJECT_WORDS = 6  # of a subject that is taken from before

_AROUND_WORDS = ".,;:!?…।()[]{}<>\"'“”‘’«»*_`|"
_GROUP_OF_CAPITALS = re.compile(r"[A-Z]{1,4}")  # in "MH 12 AB 4321"
_SHORT_FORMS = (
    (re.compile(r"\b(?:can['’]?t|cannot)\b", re.IGNORECASE), "can not"),
    (re.compile(r"\bwon['’]?t\b", re.IGNORECASE), "will not"),
    (re.compile(r"n['’]t\b", re.IGNORECASE), " not"),
    (re.compile(r"['’]ll\b", re.IGNORECASE), " will"),
    (re.compile(r"['’]d\b", re.IGNORECASE), " would"),
    (re.compile(r"\bused to\b", re.IGNORECASE), "formerly"),
    (re.compile(r"(?<![\w-])[-−](?=\s?\d)"), "minus "),
    (re.compile(r"(?<=\d)\s?%"), " percent"),
)
_BREAK = re.compile(r"[,;:()\[\]–—]|\s-\s")
_BOUND = re.compile(r"['’]s?\s|\s*[-‐‑–/&+]\w")  # what makes a part of a name of what is before it
_LIGHT = frozenset(("very", "much", "really", "indeed", "बहुत", "மிகவும்", "খুব"))
_OPENERS = frozenset(("in", "on", "at", "by", "from", "near", "with"))
_GENITIVES = frozenset(("का", "की", "के", "உடைய", "এর"))


def supported(sentence: str, quote: str) -> bool:
    """Tell whether a quote bears out a sentence.

    Args:
        sentence: what the model wrote, without citation marks.
        quote: the characters of the document.
    """
    said, there = _written_out(sentence), _written_out(quote)
    telling = [word for word in words(said) if not is_stop_word(word.text)]
    if len(telling) < MIN_WORDS or verdicts(said) != verdicts(there):
        return False
    parts = [there[start:end].rstrip("\"'”’) \n") for start, end in sentences(there)]
    return any(
        not part.endswith(("?", "؟"))
        and qualifiers(said) == qualifiers(part)
        and _has_figures_whole(sentence, quote)
        and _says(part, said)
        for part in parts
    ) and not any(part.casefold().startswith(("no,", "no.", "नहीं,")) for part in parts)


def _written_out(text: str) -> str:
    for pattern, plain in _SHORT_FORMS:
        text = pattern.sub(plain, text)
    return text


def _says(part: str, sentence: str) -> bool:
    """Tell whether the clauses of a sentence are said by those of a part of a quote, in order."""
    there, at = clauses(part), 0
    for clause in clauses(sentence):
        while at < len(there) and not _said_by(there[at], clause, there[:at]):
            at += 1
        if at == len(there):
            return False
        at += 1
    return True


def _said_by(there: Clause, clause: Clause, before: Sequence[Clause]) -> bool:
    """Tell whether a clause of a quote, with a subject from before it, says a clause."""
    if _is(there, clause.tokens) or _is_turned(there, clause) or _is_turned(clause, there):
        return True
    longest = min(MAX_SUBJECT_WORDS, len(clause.tokens) - 1)
    return any(
        _is_subject(clause.tokens[:count], before) and _is(there, clause.tokens[count:])
        for count in range(1, longest + 1)
    )


def _is_turned(opened: Clause, ended: Clause) -> bool:
    """Tell whether one clause opens with what the other has at its end, and they are else alike."""
    if fold(opened.tokens[0].text) not in _OPENERS or len(opened.forms) != len(ended.forms):
        return False
    return any(
        opened.forms[count:] + opened.forms[:count] == ended.forms
        for count in range(2, min(MAX_OPENING_WORDS, len(opened.forms) - 1) + 1)
    )


def _is(there: Clause, wanted: Sequence[Token]) -> bool:
    """Tell whether a clause of a quote is made of these words."""
    dropped = _LIGHT.difference(token.form for token in wanted)
    tokens = [token for token in there.tokens if token.form not in dropped]
    if [token.form for token in tokens] != [token.form for token in wanted]:
        return False
    parted = any(
        _BREAK.search(one.gap) and not _BREAK.search(other.gap)
        for one, other in zip(tokens[1:], wanted[1:], strict=True)
    )
    return not parted and not _BOUND.match(there.rest)


def _is_subject(tokens: Sequence[Token], before: Sequence[Clause]) -> bool:
    """Tell whether a clause before begins with these words, and they are what it speaks of."""
    if any(_is_number(token) for token in tokens) or fold(tokens[-1].text) in _GENITIVES:
        return False
    forms = tuple(token.form for token in tokens)
    return any(
        clause.forms[: len(forms)] == forms and _is_whole(clause, len(forms)) for clause in before
    )


def _is_whole(clause: Clause, count: int) -> bool:
    """Tell whether the first words of a clause are not a part of a longer name."""
    if count == len(clause.tokens):
        return not _BOUND.match(clause.rest)
    following = clause.tokens[count]
    if clause.is_indian:
        return fold(following.text) not in _GENITIVES
    if following.gap.split() == ["of", "the"] or _BREAK.match(following.gap):
        return True
    verb = following.text in ("are", "were", "had") or following.text.endswith(("s", "ed"))
    return not following.gap.strip() and verb


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


def _is_number(token: Token) -> bool:
    return _has_digit(token.text) or fold(token.text) in NUMBER_WORDS
