"""Leaning: which sentences before a unit say of what it speaks.

“It is due on the 5th” says nothing of rent; the sentence before does. So does, more often than not,
the one before a sentence of a few words (“The premium was ₹9,812.”). What follows says of what
*it* speaks, and never of what this one does. What opens a document, before its first section, says
of what all of its sections speak.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import takewhile

from regend.agents.evidence.units import Unit
from regend.library.passages import HEADING_SEPARATOR

MAX_BRIEF_WORDS = 6
MAX_BEFORE = 3  # sentences that are gone back
MAX_OPENING = 6  # units that open a document

_LEANING = re.compile(
    r"(?:it|its|this|these|those|they|that|such|he|she|his|her|their|however|but|also|both|then)\b"
    r"|(?:यह|ये|वह|वे|इसे|इसका|इसकी|इसके|उसे|उसका|उसकी|उसके|उन्हें|अंतिम)(?=\s)",
    re.IGNORECASE,
)
_OWN_SUBJECT = re.compile(r"(?:the|an?|our|my)\s+(?:[\w'’-]+\s+){1,3}?(?:is|are|was|were)\b", re.I)


def leans(text: str) -> bool:
    """Tell whether a sentence needs the one before it to be understood."""
    return bool(_LEANING.match(text)) or len(text.split()) <= MAX_BRIEF_WORDS


def before(units: Sequence[Unit], text: str, place: int) -> list[int]:
    """Return the places of the sentences that say of what a unit speaks, the nearest first.

    The one before counts unless the unit says of itself of what it speaks ("The watchman is …");
    each further one, where the one after it leans. They are of the same paragraph, or of the same
    section where a paragraph begins with "It".
    """
    found: list[int] = []
    while place and len(found) < MAX_BEFORE and units[place].kind != "row":
        unit, previous = units[place], units[place - 1]
        own = text[unit.start : unit.end]
        apart = previous.block != unit.block
        if apart and (previous.heading != unit.heading or not _LEANING.match(own)):
            break
        if not (leans(own) if found else _may_lean(own)):
            break
        place -= 1
        found.append(place)
    return found


def _may_lean(text: str) -> bool:
    return leans(text) or not _OWN_SUBJECT.match(text)


def opening(units: Sequence[Unit], place: int) -> list[int]:
    """Return the places of the units that open the document, for a unit of a section of it."""
    first = units[0].heading
    if units[place].heading == first or HEADING_SEPARATOR in first:
        return []
    found = takewhile(lambda one: units[one].heading == first, range(min(place, MAX_OPENING)))
    return list(found)
