"""Searching one user's passages.

Ranking a row costs FTS5 about 5 µs, so a word that half of the passages have would cost half a
second. The work is bounded instead, in three steps:
 1. count how many passages have each term, up to a bound;
 2. take candidates by the rarest terms, and common ones only in company, within a budget of rows;
 3. rank the best candidates by all terms of the question (`ranking`).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from regend.library.documents import Hit
from regend.library.index import USER_SHIFT, user_number
from regend.library.query import Query, match_all, match_any, parse
from regend.library.ranking import HEADING_WEIGHT, TITLE_WEIGHT, padded, rarity, score
from regend.library.texts import TextReader
from regend.library.words import terms
from regend.limits import MAX_PAGE_LENGTH

_COUNT_BOUND = 3000  # passages counted for one term; beyond that the number is estimated
_ROW_BUDGET = 6000  # passages looked at for one question
_BM25_ROWS = 2000  # up to here FTS5 ranks the candidates itself
_CANDIDATES = 48  # passages that are read and ranked by all terms; more for a longer answer
_COMPLETIONS = 8  # words that the beginning of a word may stand for
_COMMON_IN_COMPANY = 4  # common terms that are asked for together
_PER_DOCUMENT = 3  # passages of one document before other documents have their turn

# CROSS JOIN: look into the index once for each stretch of ids, beginning at its first. LIMIT -1:
# read the ends of a stretch once, not once for each passage.
_WITHIN = (
    "(SELECT json_extract(value, '$[0]') AS first, json_extract(value, '$[1]') AS last"
    " FROM json_each(?) LIMIT -1) AS stretch CROSS JOIN passages_fts"
    " WHERE passages_fts.rowid BETWEEN first AND last AND passages_fts MATCH "
)
_MATCHING = _WITHIN + "? LIMIT ?"
_HAVING_KNOWN = _WITHIN + "'\"' || known.term || '\"'"


def search(
    connection: sqlite3.Connection,
    user: str,
    question: str,
    limit: int = 10,
    *,
    documents: Collection[str] | None = None,
) -> list[Hit]:
    """Return the user's passages that fit a question best, best first.

    Args:
        question: plain words in any language; “words in double quotes” must be there as a phrase.
        limit: most hits to return, clamped to 1..1000.
        documents: ids of those to keep to; the whole library if None.

    Returns:
        Hits, none where no word of the question is in the user's documents. Never raises for what
        a question holds.
    """
    query = parse(question)
    number = user_number(connection, user)
    if number is None or not query:
        return []
    limit = min(max(limit, 1), MAX_PAGE_LENGTH)
    scope = _Scope(
        connection,
        _whole(connection, number)
        if documents is None
        else _stretches(connection, user, documents),
    )
    having = scope.count_terms(query)
    wanted = max(_CANDIDATES, 2 * limit)
    candidates = scope.candidates(query, having, wanted)
    rarities = {term: rarity(having[term], scope.total) for term in having if having[term]}
    return _diverse(_ranked(connection, user, candidates, rarities), limit)


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where in the index is searched.

    Attributes:
        stretches: first and last id of each run of passages, in order.
    """

    connection: sqlite3.Connection
    stretches: list[tuple[int, int]]

    @property
    def total(self) -> int:
        """How many passages there are, about."""
        return self._passed(self.stretches[-1][1]) if self.stretches else 0

    def _passed(self, id: int) -> int:
        """How many passages there are up to this one, about."""
        return sum(min(last, id) - first + 1 for first, last in self.stretches if first <= id)

    def count_terms(self, query: Query) -> dict[str, int]:
        """Return how many passages have each term of the question, in its order.

        Where nothing has the word that the question breaks off with, the words that begin with it
        stand in.
        """
        total = self.total
        having = {term: self._count(term, total) for term in (*query.terms, *query.phrases)}
        if query.beginning and query.terms and not having.get(query.terms[-1]):
            completions = self._completions(query.beginning)
            having.update({term: self._count(term, total) for term in completions})
        return having

    def _count(self, term: str, total: int) -> int:
        count, last = self.connection.execute(
            f"SELECT count(*), max(id) FROM (SELECT passages_fts.rowid AS id FROM {_MATCHING})",
            (json.dumps(self.stretches), f'"{term}"', _COUNT_BOUND),
        ).fetchone()
        if count < _COUNT_BOUND:
            return int(count)
        return max(int(count * total / self._passed(last)), int(count))

    def _completions(self, beginning: str) -> list[str]:
        """Return the words here that begin so, the first few.

        The index holds everybody's: a word of others that took the place of one here would tell
        that they have it.
        """
        rows = self.connection.execute(
            "SELECT term FROM passages_terms AS known WHERE term >= ? AND term < ? AND EXISTS"
            f" (SELECT 1 FROM {_HAVING_KNOWN}) LIMIT ?",
            (beginning, beginning + "\U0010ffff", json.dumps(self.stretches), _COMPLETIONS),
        )
        return [term for (term,) in rows]

    def candidates(self, query: Query, having: dict[str, int], wanted: int) -> list[int]:
        """Return the ids of the passages most worth ranking, at most `wanted`."""
        if query.phrases:
            return self._best_by_bm25(match_all(query.phrases), wanted)
        known = sorted((term for term in having if having[term]), key=having.__getitem__)
        chosen: list[str] = []
        rows = 0
        for term in known:
            if chosen and rows + having[term] > _ROW_BUDGET:
                break
            chosen.append(term)
            rows += having[term]
        common = known[len(chosen) :]
        if not common and rows <= _BM25_ROWS:
            return self._best_by_bm25(match_any(chosen), wanted) if chosen else []
        return self._best_by_rarity(chosen, common, having, wanted)

    def _best_by_bm25(self, expression: str, wanted: int) -> list[int]:
        rows = self.connection.execute(
            "SELECT id FROM (SELECT passages_fts.rowid AS id, bm25(passages_fts, "
            f"{TITLE_WEIGHT}, {HEADING_WEIGHT}, 1.0) AS rank FROM {_MATCHING})"
            " ORDER BY rank LIMIT ?",
            (json.dumps(self.stretches), expression, _COUNT_BOUND, wanted),
        )
        return [id for (id,) in rows]

    def _best_by_rarity(
        self, chosen: list[str], common: list[str], having: dict[str, int], wanted: int
    ) -> list[int]:
        """Add up, for each passage, the rarities of the terms that it has."""
        total = self.total
        parts: list[tuple[str, float]] = []
        for term in chosen:
            worth = rarity(having[term], total)
            parts.append((f'"{term}"', worth))
            parts.append((f'{{title heading}} : "{term}"', worth))
        if common:
            company = (chosen[-1:] if len(common) == 1 else []) + common[:_COMMON_IN_COMPANY]
            worth = sum(rarity(having[term], total) for term in company)
            parts.append((match_all(company), worth))
        bound = max(_ROW_BUDGET // len(parts), _COUNT_BOUND)
        one = f"SELECT * FROM (SELECT passages_fts.rowid AS id, ? AS worth FROM {_MATCHING})"
        stretches = json.dumps(self.stretches)
        arguments: list[Any] = []
        for expression, worth in parts:
            arguments += (worth, stretches, expression, bound)
        rows = self.connection.execute(
            f"SELECT id FROM ({' UNION ALL '.join([one] * len(parts))})"
            " GROUP BY id ORDER BY sum(worth) DESC LIMIT ?",
            (*arguments, wanted),
        )
        return [id for (id,) in rows]


def _whole(connection: sqlite3.Connection, user_number: int) -> list[tuple[int, int]]:
    """Return all of a user's passages as one stretch."""
    first, end = user_number << USER_SHIFT, (user_number + 1) << USER_SHIFT
    (last,) = connection.execute(
        "SELECT max(id) FROM passages WHERE id >= ? AND id < ?", (first, end)
    ).fetchone()
    return [] if last is None else [(first, last)]


def _stretches(
    connection: sqlite3.Connection, user: str, documents: Collection[str]
) -> list[tuple[int, int]]:
    """Return the passages of some of a user's documents as stretches; neighbours are one."""
    rows = connection.execute(
        "SELECT p.id FROM json_each(?) AS chosen CROSS JOIN documents d ON d.user = ?"
        " AND d.id = chosen.value CROSS JOIN passages p ON p.document = d.number"
        " WHERE d.complete ORDER BY p.id",
        (json.dumps(sorted(set(documents))), user),
    )
    found: list[tuple[int, int]] = []
    for (id,) in rows:
        if found and found[-1][1] + 1 == id:
            found[-1] = (found[-1][0], id)
        else:
            found.append((id, id))
    return found


def _ranked(
    connection: sqlite3.Connection, user: str, ids: list[int], rarities: dict[str, float]
) -> list[Hit]:
    """Read the passages and return them as hits, best first."""
    # CROSS JOIN: begin with the few passages, not with all of the user's documents.
    rows = connection.execute(
        "SELECT d.number, d.id, d.title, d.source, p.heading, p.kind, p.start, p.end, d.untrusted"
        " FROM passages p CROSS JOIN documents d ON d.number = p.document"
        f" WHERE p.id IN ({', '.join('?' * len(ids))}) AND d.user = ? AND d.complete",
        (*ids, user),
    )
    reader = TextReader(connection)
    hits = []
    for number, id, title, source, heading, kind, start, end, untrusted in sorted(rows):
        text = reader.read(number, start, end)
        fit = score(rarities, padded(terms(title)), padded(terms(heading)), padded(terms(text)))
        span = (start, end)
        hits.append(Hit(id, title, source, heading, kind, span, text, fit, bool(untrusted)))
    return sorted(hits, key=lambda hit: -hit.score)


def _diverse(hits: Iterable[Hit], limit: int) -> list[Hit]:
    """Return the best hits, with passages beyond the third of a document behind the others."""
    first: list[Hit] = []
    later: list[Hit] = []
    seen: dict[str, int] = {}
    for hit in hits:
        seen[hit.document_id] = seen.get(hit.document_id, 0) + 1
        (first if seen[hit.document_id] <= _PER_DOCUMENT else later).append(hit)
    return (first + later)[:limit]
