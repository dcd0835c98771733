"""The library's tables: adding, removing and reading documents.

Plain functions that take the connection, so that several can share one transaction. Searching is in
`search`. Rules:
 1. A document is seen only when complete; one user's documents are seen by that user only.
 2. Every row of `passages` has exactly one row in `passages_fts`, written and removed in the same
    transaction and made by the analysis that `library_index` names; while the index is built again
    (`rebuild`), those beyond its place do.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

from regend.errors import NotFound
from regend.library.documents import DocumentRow, PreparedDocument
from regend.library.rebuild import Rebuild, index_terms
from regend.library.texts import TextReader

USER_SHIFT = 40  # bits of a passage id below the user's number
PASSAGES_PER_WRITE = 400  # about 50 ms of the writer's time

_COLUMNS = (
    "number, id, user, title, source, media_type, digest, language, size_bytes, characters,"
    " passages, added_at, untrusted,"
    " (SELECT json_group_array(json_array(place, is_place)) FROM (SELECT place, is_place"
    " FROM document_places WHERE document = documents.number ORDER BY is_place DESC, seen DESC))"
)


@dataclass(frozen=True, slots=True)
class Added:
    """The outcome of adding: the stored document, and whether it was new."""

    document: DocumentRow
    is_new: bool


def add_document(
    connection: sqlite3.Connection,
    *,
    user: str,
    prepared: PreparedDocument,
    id: str,
    at_ms: int,
) -> Added:
    """Store a document and its passages in the caller's transaction.

    The same bytes a second time are not stored again: the document that has them comes back with
    `is_new` false.

    Args:
        user: whose it is.
        prepared: the document, from `documents.prepare`.
        id: a fresh sortable id.
        at_ms: wall time of the import.
    """
    present = find_by_digest(connection, user, prepared.document.digest)
    if present is not None:
        return Added(present, False)
    number = begin_document(connection, user=user, prepared=prepared, id=id, at_ms=at_ms)
    append_passages(connection, user, number, prepared, 0, len(prepared.passages))
    return complete_document(connection, user, number)


def begin_document(
    connection: sqlite3.Connection, *, user: str, prepared: PreparedDocument, id: str, at_ms: int
) -> int:
    """Store an incomplete document without its passages; return its number."""
    document = prepared.document
    row = connection.execute(
        "INSERT INTO documents (id, user, title, source, media_type, digest, language, size_bytes,"
        " characters, passages, added_at, untrusted, complete)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0) RETURNING number",
        (
            id,
            user,
            document.title,
            document.source,
            document.media_type,
            document.digest,
            document.language,
            document.size_bytes,
            len(document.text),
            len(prepared.passages),
            at_ms,
            int(document.untrusted),
        ),
    ).fetchone()
    number = int(row[0])
    connection.executemany(
        "INSERT INTO document_texts (document, start, text) VALUES (?, ?, ?)",
        ((number, start, piece) for start, piece in prepared.pieces),
    )
    return number


def append_passages(
    connection: sqlite3.Connection,
    user: str,
    number: int,
    prepared: PreparedDocument,
    first: int,
    stop: int,
) -> None:
    """Store the passages from `first` up to `stop` of a document that was begun."""
    chosen = prepared.passages[first:stop]
    low = _next_passage_id(connection, user)
    places = [[p.ordinal, p.heading, p.kind, p.start, p.end] for p in (c.passage for c in chosen)]
    # One statement for all rows: with one to each row, this thread would have to win Python's lock
    # back after every row from the thread that prepares the next document.
    connection.execute(
        "INSERT INTO passages (id, document, ordinal, heading, kind, start, end)"
        f" SELECT ? + key, ?, {_fields(5)} FROM json_each(?)",
        (low, number, json.dumps(places, ensure_ascii=False)),
    )
    rebuild = Rebuild.of(connection)
    found = [
        [low + i, one.heading_terms, one.text_terms]
        for i, one in enumerate(chosen)
        if rebuild.has_indexed(number, one.passage.ordinal)
    ]
    connection.execute(
        "INSERT INTO passages_fts (rowid, heading, text, title)"
        f" SELECT {_fields(3)}, ? FROM json_each(?)",
        (prepared.title_terms, json.dumps(found, ensure_ascii=False)),
    )


def _fields(count: int) -> str:
    """Return the SQL for the fields of an array that `json_each` gives."""
    return ", ".join(f"json_extract(value, '$[{i}]')" for i in range(count))


def complete_document(connection: sqlite3.Connection, user: str, number: int) -> Added:
    """Let a document be seen, unless the same bytes came in meanwhile; then drop it."""
    digest = connection.execute(
        "SELECT digest FROM documents WHERE number = ?", (number,)
    ).fetchone()[0]
    present = find_by_digest(connection, user, digest)
    if present is not None:
        while purge(connection, number, PASSAGES_PER_WRITE):
            pass
        return Added(present, False)
    connection.execute("UPDATE documents SET complete = 1 WHERE number = ?", (number,))
    return Added(document_of(connection, number), True)


def hide_document(connection: sqlite3.Connection, user: str, id: str) -> int:
    """Let a document be seen no more; return its number, for `purge`.

    Raises:
        NotFound: the user has no such document.
    """
    document = get_document(connection, user, id)
    connection.execute("UPDATE documents SET complete = 0 WHERE number = ?", (document.number,))
    connection.execute("DELETE FROM document_places WHERE document = ?", (document.number,))
    return document.number


def purge(connection: sqlite3.Connection, number: int, limit: int) -> bool:
    """Delete up to `limit` passages of a hidden document, and itself with the last of them.

    Returns:
        Whether anything is left to delete.
    """
    rows = connection.execute(
        "SELECT p.id, p.ordinal, p.heading, p.start, p.end, d.title FROM passages p"
        " JOIN documents d ON d.number = p.document"
        " WHERE p.document = ? ORDER BY p.ordinal LIMIT ?",
        (number, limit),
    ).fetchall()
    reader, rebuild = TextReader(connection), Rebuild.of(connection)
    connection.executemany(
        "INSERT INTO passages_fts (passages_fts, rowid, title, heading, text)"
        " VALUES ('delete', ?, ?, ?, ?)",
        (
            (id, *index_terms(title, heading, reader.read(number, start, end)))
            for id, ordinal, heading, start, end, title in rows
            if rebuild.has_indexed(number, ordinal)
        ),
    )
    connection.executemany("DELETE FROM passages WHERE id = ?", ((row[0],) for row in rows))
    if len(rows) == limit:
        return True
    connection.execute("DELETE FROM document_texts WHERE document = ?", (number,))
    connection.execute("DELETE FROM document_places WHERE document = ?", (number,))
    connection.execute("DELETE FROM documents WHERE number = ?", (number,))
    return False


def unfinished(connection: sqlite3.Connection) -> list[tuple[int, str]]:
    """Return number and id of the documents whose import or removal is not finished.

    Those that nobody is at work on were interrupted, and are for `purge`.
    """
    rows = connection.execute("SELECT number, id FROM documents WHERE NOT complete")
    return [(int(number), str(id)) for number, id in rows]


def get_document(connection: sqlite3.Connection, user: str, id: str) -> DocumentRow:
    """Return a document.

    Raises:
        NotFound: the user has no such document.
    """
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM documents WHERE user = ? AND id = ? AND complete", (user, id)
    ).fetchone()
    if row is None:
        raise NotFound(
            "document_not_found",
            "There is no such document in your library.",
            hint="`regend library list` shows the documents and their ids.",
        )
    return _document(row)


def find_by_digest(connection: sqlite3.Connection, user: str, digest: str) -> DocumentRow | None:
    """Return the user's document made of these bytes, if there is one."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM documents WHERE user = ? AND digest = ? AND complete",
        (user, digest),
    ).fetchone()
    return None if row is None else _document(row)


def document_of(connection: sqlite3.Connection, number: int) -> DocumentRow:
    """Return the document of a number, which there is."""
    row = connection.execute(f"SELECT {_COLUMNS} FROM documents WHERE number = ?", (number,))
    return _document(row.fetchone())


def list_documents(
    connection: sqlite3.Connection, user: str, limit: int, cursor: str | None = None
) -> tuple[list[DocumentRow], str | None]:
    """Return a page of the user's documents, newest first, and the cursor of the next page."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM documents WHERE user = ? AND complete AND (? IS NULL OR id < ?)"
        " ORDER BY id DESC LIMIT ?",
        (user, cursor, cursor, limit + 1),
    ).fetchall()
    documents = [_document(row) for row in rows[:limit]]
    return documents, documents[-1].id if len(rows) > limit else None


def document_text(
    connection: sqlite3.Connection, user: str, id: str, start: int = 0, end: int | None = None
) -> str:
    """Return the text of a document, or the characters from `start` up to `end` of it.

    Raises:
        NotFound: the user has no such document.
    """
    document = get_document(connection, user, id)
    low = min(max(start, 0), document.characters)
    high = document.characters if end is None else min(max(end, low), document.characters)
    return TextReader(connection).read(document.number, low, high)


def user_number(connection: sqlite3.Connection, user: str) -> int | None:
    """Return the number that a user's passage ids carry, if the user ever added a document."""
    row = connection.execute("SELECT number FROM library_users WHERE user = ?", (user,)).fetchone()
    return None if row is None else int(row[0])


def _next_passage_id(connection: sqlite3.Connection, user: str) -> int:
    connection.execute("INSERT OR IGNORE INTO library_users (user) VALUES (?)", (user,))
    number = user_number(connection, user) or 0
    low = number << USER_SHIFT
    last = connection.execute(
        "SELECT max(id) FROM passages WHERE id BETWEEN ? AND ?",
        (low, low + (1 << USER_SHIFT) - 1),
    ).fetchone()[0]
    return low if last is None else int(last) + 1


def _document(row: tuple[Any, ...]) -> DocumentRow:
    source, known = row[4], json.loads(row[-1])
    places = tuple(dict.fromkeys(place for place, _ in known)) or (source,)
    here = tuple(place for place, is_place in known if is_place)
    is_elsewhere = len(here) < len(known)
    columns: list[Any] = [*row[:-2], bool(row[-2]), places, here, is_elsewhere]
    return DocumentRow(*columns)
