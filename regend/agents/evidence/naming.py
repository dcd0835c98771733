"""Naming: whether a question names a document, by its title or by the name of its file or page."""

from __future__ import annotations

import re
from collections.abc import Iterable

from regend.agents.evidence.question import Question
from regend.agents.evidence.words import telling

_EXTENSION = re.compile(r"\.[A-Za-z]{1,8}$")


def name_words(title: str, source: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the stems of a document's title and of the last part of its source."""
    last = _EXTENSION.sub("", source.rstrip("/").replace("\\", "/").rsplit("/", 1)[-1])
    return telling(title), telling(last)


def named_share(question: Question, title: str, source: str) -> float:
    """Return how much of a document's name the question says, from 0 to 1."""
    asked = _naming(question)
    return max(
        (len(there & asked) / len(there) for there in name_words(title, source) if there), default=0
    )


def named_terms(question: Question, documents: Iterable[tuple[str, str]]) -> frozenset[str]:
    """Return the terms by which the question names one of some documents.

    Where all of a name is in the question, the question is about that document: another one that
    does not even mention it cannot answer.

    Args:
        documents: title and source of each.
    """
    asked = _naming(question)
    names = {name for title, source in documents for name in name_words(title, source)}
    return frozenset[str]().union(*(name for name in names if name and name <= asked))


def _naming(question: Question) -> frozenset[str]:
    """Return the terms of a question that can be part of a document's name."""
    return frozenset(term.stem for term in question.terms if term.name or term.weight == 1)
