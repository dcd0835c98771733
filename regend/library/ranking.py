"""How well a passage answers a question: BM25 over title, headings and text.

S. Robertson, H. Zaragoza, “The Probabilistic Relevance Framework: BM25 and Beyond” (2009), with
fields added up before saturation (BM25F). Two things are added to it: words that stand side by
side in the question and in the passage count a little more, and so does a passage that has more of
what was asked for.

All texts here are terms (`words.terms`) joined by single blanks, with a blank at both ends, so that
looking for a term or a phrase is one substring search. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

TITLE_WEIGHT: Final = 1.5
HEADING_WEIGHT: Final = 2.0
_SATURATION: Final = 1.2  # k1
_LENGTH_SHARE: Final = 0.4  # b; low, since passages are much alike in length
_TYPICAL_CHARACTERS: Final = 500.0  # of terms in a passage
_ADJACENT_SHARE: Final = 0.3
_UNCOVERED_SHARE: Final = 0.5


def padded(found: list[str]) -> str:
    """Return terms in the form that `score` searches in."""
    return f" {' '.join(found)} "


def rarity(having: int, total: int) -> float:
    """Return what a term is worth that `having` of `total` passages have; always above 0."""
    return math.log(1 + (max(total - having, 0) + 0.5) / (having + 0.5))


def score(rarities: Mapping[str, float], title: str, heading: str, text: str) -> float:
    """Return how well a passage fits, 0 for not at all; comparable within one question only.

    Args:
        rarities: the question's terms in its order, each with its rarity.
        title: padded terms of the document's title.
        heading: padded terms of the headings above the passage.
        text: padded terms of the passage.
    """
    length = 1 - _LENGTH_SHARE + _LENGTH_SHARE * len(text) / _TYPICAL_CHARACTERS
    total = covered = 0.0
    previous = ""
    for term, worth in rarities.items():
        needle = f" {term} "
        often = text.count(needle) / length
        often += HEADING_WEIGHT * heading.count(needle) + TITLE_WEIGHT * title.count(needle)
        if often:
            covered += worth
            total += worth * often * (_SATURATION + 1) / (often + _SATURATION)
            if previous and f" {previous} {term} " in text:
                total += worth * _ADJACENT_SHARE
        previous = term
    asked = sum(rarities.values())
    return total * (1 - _UNCOVERED_SHARE * (1 - covered / asked)) if asked else 0.0
