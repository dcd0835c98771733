"""Building the index again, where this program analyses words in another way than the last one.

From the newest document to the oldest, a page of passages to a transaction, so that others write in
between. `library_rebuild` holds the place that was reached, so a crash costs one page.
 1. While it lasts, a passage is in the index if and only if it lies beyond the place.
 2. What is added beyond the place is indexed as it comes, and found at once; a search finds nothing
    of what lies before it, and nothing that is not so.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from regend.library.texts import TextReader
from regend.library.words import ANALYSIS, terms


@dataclass(frozen=True, slots=True)
class Rebuild:
    """How far the index has been built again.

    Attributes:
        place: number of a document and ordinal of a passage in it; it and all of older documents
            are still to be indexed. None where nothing is.
    """

    place: tuple[int, int] | None

    @classmethod
    def of(cls, connection: sqlite3.Connection) -> Rebuild:
        """Return the state in the caller's transaction."""
        row = connection.execute("SELECT document, ordinal FROM library_rebuild").fetchone()
        return cls(None if row is None else (int(row[0]), int(row[1])))

    def has_indexed(self, document: int, ordinal: int) -> bool:
        """Tell whether the index holds a passage."""
        return self.place is None or (document, ordinal) > self.place


def index_terms(title: str, heading: str, text: str) -> tuple[str, str, str]:
    """Return what the index holds of a passage."""
    return " ".join(terms(title)), " ".join(terms(heading)), " ".join(terms(text))


def begin(connection: sqlite3.Connection) -> bool:
    """Empty an index that another analysis made; tell whether there is anything to index again."""
    row = connection.execute("SELECT analysis FROM library_index").fetchone()
    if row is None or row[0] != ANALYSIS:
        connection.execute("DELETE FROM library_index")
        connection.execute("INSERT INTO library_index (analysis) VALUES (?)", (ANALYSIS,))
        connection.execute("INSERT INTO passages_fts (passages_fts) VALUES ('delete-all')")
        connection.execute("DELETE FROM library_rebuild")
        connection.execute(
            "INSERT INTO library_rebuild (document, ordinal)"
            " SELECT document, ordinal FROM passages ORDER BY document DESC, ordinal DESC LIMIT 1"
        )
    return Rebuild.of(connection).place is not None


def index_page(connection: sqlite3.Connection, limit: int) -> bool:
    """Index up to `limit` more passages; tell whether there are others left."""
    place = Rebuild.of(connection).place
    if place is None:
        return False
    rows = connection.execute(
        "SELECT p.id, p.document, p.ordinal, p.heading, p.start, p.end, d.title FROM passages p"
        " JOIN documents d ON d.number = p.document WHERE (p.document, p.ordinal) <= (?, ?)"
        " ORDER BY p.document DESC, p.ordinal DESC LIMIT ?",
        (*place, limit),
    ).fetchall()
    reader = TextReader(connection)
    connection.executemany(
        "INSERT INTO passages_fts (rowid, title, heading, text) VALUES (?, ?, ?, ?)",
        (
            (id, *index_terms(title, heading, reader.read(document, start, end)))
            for id, document, _, heading, start, end, title in sorted(rows)
        ),
    )
    if len(rows) < limit:
        connection.execute("DELETE FROM library_rebuild")
        return False
    _, document, ordinal, *_ = rows[-1]
    connection.execute(
        "UPDATE library_rebuild SET document = ?, ordinal = ?", (document, ordinal - 1)
    )
    return True
