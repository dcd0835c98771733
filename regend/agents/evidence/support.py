"""Support: whether a quote bears out a sentence that a model wrote.

Strict, because what passes is shown as checked against the document. The rules:
 1. One sentence of the quote bears it, and has the same words that limit, undo or merely report
    (`qualifiers`), each as often; nothing else in the quote calls something wrong.
 2. Each clause is said by one clause there, from its beginning on, word after word: nothing is
    passed over, added or moved but a few fillers. Clauses may be left out, not their order changed.
 3. At a clause's end a part may be left out that begins with a comma or a plain preposition, and
    has neither figure nor time. In the languages of India, where the verb comes last, nothing may.
 4. What opens a clause with a plain preposition may stand at its end, and the other way round.
 5. Where the quote goes on about something with “it”, or without a subject, the sentence may name
    it: as the title does, or the beginning of a clause before.
 6. A plate, an amount or an identifier counts whole, with its sign and all its groups.
 7. What the quote only asks, it does not say.
A true sentence in other words is held for unsupported: that makes an answer drier, never wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from regend.agents.evidence.clauses import Clause, Token, clauses
from regend.agents.evidence.measures import TIME
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
_PRONOUNS = frozenset(("it", "they", "this", "these", "he", "she", "वह", "वे", "இது", "அது", "এটি"))
_TAIL_OPENERS = frozenset(("in", "on", "at", "by", "from", "via", "through", "near", "with"))
_GENITIVES = frozenset(("का", "की", "के", "உடைய", "এর"))


def supported(sentence: str, quote: str, title: str = "") -> bool:
    """Tell whether a quote bears out a sentence.

    Args:
        sentence: what the model wrote, without citation marks.
        quote: the characters of the document.
        title: of the document; the sentence may name by it what the quote goes on about.
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
        and _says(part, said, parts[max(place - 1, 0) : place], title)
        for place, part in enumerate(parts)
    ) and not any(part.casefold().startswith(("no,", "no.", "नहीं,")) for part in parts)


def _written_out(text: str) -> str:
    for pattern, plain in _SHORT_FORMS:
        text = pattern.sub(plain, text)
    return text


def _says(part: str, sentence: str, before: Sequence[str], title: str) -> bool:
    """Tell whether the clauses of a sentence are said by those of a part of a quote, in order."""
    there = clauses(part)
    earlier = [clause for one in before for clause in clauses(one)]
    subjects = [*clauses(title), *earlier]
    at = 0
    for clause in clauses(sentence):
        while at < len(there) and not _said_by(there[at], clause, [*subjects, *there[:at]]):
            at += 1
        if at == len(there):
            return False
        at += 1
    return True


def _said_by(there: Clause, clause: Clause, before: Sequence[Clause]) -> bool:
    """Tell whether a clause of a quote, with a subject from before it, says a clause."""
    if _runs(there, clause.tokens, 0) or _is_turned(there, clause) or _is_turned(clause, there):
        return True
    opened = int(fold(there.tokens[0].text) in _PRONOUNS)
    longest = min(MAX_SUBJECT_WORDS, len(clause.tokens) - 1)
    return any(
        _is_subject(clause.tokens[:count], before) and _runs(there, clause.tokens[count:], opened)
        for count in range(1, longest + 1)
    )


def _is_turned(opened: Clause, ended: Clause) -> bool:
    """Tell whether one clause opens with what the other has at its end, and they are else alike."""
    if fold(opened.tokens[0].text) not in _TAIL_OPENERS or len(opened.forms) != len(ended.forms):
        return False
    return any(
        opened.forms[count:] + opened.forms[:count] == ended.forms
        for count in range(2, min(MAX_OPENING_WORDS, len(opened.forms) - 1) + 1)
    )


def _runs(there: Clause, wanted: Sequence[Token], start: int) -> bool:
    """Tell whether a clause of a quote is made of these words from a place on."""
    at = start
    for number, token in enumerate(wanted):
        while at < len(there.tokens) and there.tokens[at].text.casefold() in _LIGHT - {token.form}:
            at += 1
        if at == len(there.tokens) or there.tokens[at].form != token.form:
            return False
        if number and _BREAK.search(there.tokens[at].gap) and not _BREAK.search(token.gap):
            return False
        at += 1
    return _may_end(there, at)


def _may_end(there: Clause, end: int) -> bool:
    """Tell whether what stands behind the first tokens of a clause may be left out."""
    tail = there.tokens[end:]
    if not tail:
        return not _BOUND.match(there.rest)
    behind = "".join(token.gap + token.text for token in tail)
    if there.is_indian or _BOUND.match(behind) or TIME.search(behind):
        return False
    if any(map(_is_number, tail)):
        return False
    listed = re.match(r",?\s+and\s|,\s", tail[0].gap) is not None
    return listed or fold(tail[0].text) in _TAIL_OPENERS


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
