"""Kinds: whether a piece of text is of the kind that a question wants.

A text that does not tell what is asked for (a measure, a licence) cannot be the answer, whatever
words it shares; one of a welcome kind (a command for "how do I …") is a little more likely to be.
"""

from __future__ import annotations

import re

from regend.agents.evidence.measures import TIME, tells
from regend.agents.evidence.question import Question
from regend.agents.evidence.words import stem, words
from regend.library.passages import HEADING_SEPARATOR

MISSING = 0.45  # the kind wanted is not there: hardly an answer
LIKELY = 1.12  # the kind wanted is there
UNLIKELY = 0.85  # mere code or a table row, where nobody asked for one

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
# A name is a capital within a sentence; Indian scripts have none, so there any text may have one.
_PERSON = re.compile(r"@\w|(?<=[^.!?] )\W{0,3}[A-Z]\w|^[A-Z]\w+ [A-Z]|[^\x00-\u02ff]")
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
_WELCOME = {
    "time": TIME,
    "way": _CODE,
    "reason": _REASON,
    "place": _PLACE,
    "superlative": _COMPARISON,
    "group": _GROUP,
    "yes": _VERDICT,
}


def kind_fit(question: Question, text: str, kind: str, heading: str) -> float:
    """Return by how much the kind of a text raises or lowers its worth as an answer.

    Args:
        question: what is asked.
        text: the unit's text.
        kind: the unit's kind; "code" and "row" answer only where code or figures are wanted.
        heading: what stands above it; its last part may tell it too ("1.2 (2011-03-09)").
    """
    fit = 1.0
    own = _own(heading)
    headed = told_above(question, text, heading)
    for measure in question.measures:
        told = tells(measure, text, question.counted) and (measure != "count" or kind != "code")
        fit *= LIKELY if told or (headed and tells(measure, own)) else MISSING
    if "license" in question.cues:
        fit *= LIKELY if _LICENSE.search(text) or _LICENSE.search(own) else MISSING
    if "person" in question.cues and not _PERSON.search(text):
        fit *= MISSING
    for cue, pattern in _WELCOME.items():
        if cue in question.cues and pattern.search(text):
            fit *= LIKELY
    if "definition" in question.cues and _opens_with(question, text):
        fit *= LIKELY
    if kind in ("code", "row") and not question.measures and "way" not in question.cues:
        fit *= UNLIKELY
    if text.rstrip().endswith("?"):
        fit *= UNLIKELY
    if not question.measures & {"date", "version"} and _CHANGES.search(heading):
        fit *= UNLIKELY  # how things came about, not how they are
    return fit


def told_above(question: Question, text: str, heading: str) -> bool:
    """Tell whether the heading gives the date or version that is wanted, and the text does not."""
    own = _own(heading)
    wanted = question.measures & {"date", "version"}
    return any(tells(one, own) and not tells(one, text) for one in wanted)


def _own(heading: str) -> str:
    return heading.rpartition(HEADING_SEPARATOR)[2]


def _opens_with(question: Question, text: str) -> bool:
    """Tell whether a text begins with what is asked for, as definitions do."""
    first = next(iter(words(text)), None)
    return first is not None and stem(first.text) in {term.stem for term in question.terms}
