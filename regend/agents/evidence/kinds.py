"""Kinds: whether a piece of text is of the kind that a question wants.

"How many …" wants a number, "when was …" a date, "what does it cost" money, "how do I …" a
command. A text without one cannot be the answer, whatever words it shares; a text with one is a
little more likely to be.
"""

from __future__ import annotations

import re

from regend.agents.evidence.vocabulary import NUMBER_WORDS
from regend.agents.evidence.words import words

MISSING = 0.45  # the kind wanted is not there: hardly an answer
LIKELY = 1.12  # the kind wanted is there
LINKS = 0.6  # little but links: it tells where to look, not what is so
UNLIKELY = 0.85  # mere code or a table row, where nobody asked for one

_DATE = re.compile(
    r"\b(?:19|20)\d\d\b|\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? \d"
    r"|(?:जनवरी|फ़रवरी|फरवरी|मार्च|अप्रैल|मई|जून|जुलाई|अगस्त|सितंबर|अक्टूबर|नवंबर|दिसंबर|[१२][०-९]{3})",
    re.IGNORECASE,
)
_PRICE = re.compile(
    r"[$€£₹¥]\s?\d|\b(?:rs\.?|inr|usd|eur|gbp) ?\d"
    r"|\d\s?(?:[$€£₹¥]|(?:usd|eur|gbp|inr|dollars?|euros?|pounds?|rupees?)\b)"
    r"|\bfree of charge\b|\bfor free\b|\bgratis\b|\bno cost\b|रुपये|रुपए|मुफ़्त|मुफ्त",
    re.IGNORECASE,
)
_LICENSE = re.compile(
    r"\blicen[cs]\w*|\b(?:MIT|BSD|A?L?GPL|MPL|Apache|PSF|ISC|Unlicense|Mozilla|CC0|CC-BY)\b|लाइसेंस",
    re.IGNORECASE,
)
_REASON = re.compile(
    r"\b(?:because|since|as|due to|reasons?|so that|in order to|therefore|hence)\b"
    r"|क्योंकि|कारण|इसलिए",
    re.IGNORECASE,
)
_CODE = re.compile(r"`|\$ |>>>|\w\(|--\w|==|\w_\w")
_PERSON = re.compile(r"@\w|\b[A-Z][a-z]+ [A-Z][a-z]+|\bby\b")
_PLACE = re.compile(r"/\w|\b(?:at|in|from|on|of|under)\b|में|पर")
_COMPARISON = re.compile(
    r"\b\w+er than\b|\b(?:more|less) \w+|\b(?:best|most|least)\b|\btimes\b", re.I
)
_GROUP = re.compile(r"(?:[A-Z][\w-]+,? (?:and |of |in )?){2,}[A-Z]?|Inc\b|Ltd\b")
_VERDICT = re.compile(
    r"\b(?:not|never|no|only|can|cannot|must|should|always|supports?|supported|allows?|possible"
    r"|disabled|enabled|required|default|yes|works?)\b|n't\b|नहीं|हाँ|सकते|संभव",
    re.IGNORECASE,
)
_CHANGES = re.compile(
    r"change ?log|\bchanges\b|release (?:notes|history)|\bhistory\b|what's new|(?:^|› )v?\d+\.\d+",
    re.IGNORECASE,
)
_LINK = re.compile(r"\]\([^)\s]*\)?|\]\[[^\]]*\]|https?://[^\s>)\]]+|<[^<>\s]+>`?_{0,2}")
_REQUIRED = {"date": _DATE, "price": _PRICE, "license": _LICENSE}
_WELCOME = {
    "way": _CODE,
    "reason": _REASON,
    "person": _PERSON,
    "place": _PLACE,
    "superlative": _COMPARISON,
    "group": _GROUP,
    "yes": _VERDICT,
}


def has_number(text: str) -> bool:
    """Tell whether a text names a quantity, in figures or in words."""
    return any(
        one.text.casefold() in NUMBER_WORDS or any(mark.isdigit() for mark in one.text)
        for one in words(text)
    )


def kind_fit(cues: frozenset[str], text: str, kind: str, heading: str) -> float:
    """Return by how much the kind of a text raises or lowers its worth as an answer.

    Args:
        cues: the kinds wanted (`Question.cues`).
        text: the unit's text.
        kind: the unit's kind; "code" and "row" answer only where code or figures are wanted.
        heading: what stands above it, which may name the kind ("License").
    """
    fit = 1.0
    for cue, pattern in _REQUIRED.items():
        if cue in cues:
            fit *= LIKELY if pattern.search(text) or pattern.search(heading) else MISSING
    for cue in cues & {"number", "version"}:
        quantity = has_number(text) and not (cue == "number" and kind == "code")
        fit *= LIKELY if quantity else MISSING if cue == "number" else UNLIKELY
    for cue, pattern in _WELCOME.items():
        if cue in cues and pattern.search(text):
            fit *= LIKELY
    if kind in ("code", "row") and not cues & {"way", "number", "version"}:
        fit *= UNLIKELY
    if 2 * sum(len(link.group()) for link in _LINK.finditer(text)) > len(text):
        fit *= LINKS
    if text.rstrip().endswith("?"):
        fit *= UNLIKELY
    if not cues & {"version", "date"} and _CHANGES.search(heading):
        fit *= UNLIKELY  # how things came about, not how they are
    return fit
