"""Reading: which documents to read after a search, and which parts of them.

A document that several searches found, found early, or that the question names by its title comes
first. A short one is read whole; of a long one, the beginning and what was found with what follows
it, so that the work is bounded however large the library's documents are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from regend.agents.evidence.naming import named_share
from regend.agents.evidence.question import Question

WHOLE_CHARACTERS = 60_000  # a document up to this length is read whole
HEAD_CHARACTERS = 3_000  # of a longer one, which often says what it is about
BEYOND_CHARACTERS = 1_500  # after each passage found; it begins outside of any fence of code
MAX_WINDOWS = 12  # of one document
NAME_WORTH = 2.0  # a document named in full counts as one found three times

Spans = list[tuple[int, int]]


def documents_to_read(
    asked: Sequence[Question], hits: Sequence[dict[str, Any]], limit: int
) -> list[list[dict[str, Any]]]:
    """Return the hits of each document worth reading, the best document first.

    Args:
        asked: the parts of the question.
        hits: of all searches, each with `document_id`, `title`, `source`, `search` (which one,
            from 0) and `rank` (its place in it, from 0).
        limit: how many documents at most.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for hit in hits:
        found.setdefault(hit["document_id"], []).append(hit)

    def worth(own: list[dict[str, Any]]) -> float:
        best: dict[int, float] = {}
        for hit in own:
            share = 1 / (3 + hit["rank"]) / (1 + hit["search"] / 2)
            best[hit["search"]] = best.get(hit["search"], 0.0) + share
        named = max(named_share(part, own[0]["title"], own[0]["source"]) for part in asked)
        return sum(best.values()) * (1 + NAME_WORTH * named)

    return sorted(found.values(), key=lambda own: -worth(own))[:limit]


def windows(spans: Spans, text: Callable[[int, int], str]) -> Iterator[tuple[int, str]]:
    """Yield (start, characters) of the parts to read of a document; they do not overlap.

    Args:
        spans: of the passages found in it.
        text: returns the characters of the document from a start to an end, fewer at its end.
    """
    head = text(0, WHOLE_CHARACTERS + 1)
    if len(head) <= WHOLE_CHARACTERS:
        yield 0, head
        return
    wanted: Spans = [(0, HEAD_CHARACTERS)]
    for start, end in sorted(set(spans))[:MAX_WINDOWS]:
        if start <= wanted[-1][1]:
            wanted[-1] = (wanted[-1][0], max(wanted[-1][1], end + BEYOND_CHARACTERS))
        else:
            wanted.append((start, end + BEYOND_CHARACTERS))
    for start, end in wanted:
        yield start, text(start, end)
