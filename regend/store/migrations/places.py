"""Table of where each document is, or was brought from."""

from __future__ import annotations

from pathlib import Path

from sqlite_utils import Database


def place_tables(database: Database) -> None:
    """Create the table, and note of each document where it is.

    An address does not become a place: a page that was fetched and one that a person captured look
    alike here, and a capture is nothing that a page may take the place of.
    """
    for statement in _STATEMENTS:
        database.execute(statement)
    documents = database.execute(
        "SELECT number, user, source, untrusted, id FROM documents WHERE complete ORDER BY id"
    ).fetchall()
    for number, user, source, untrusted, id in documents:
        is_place = not untrusted and Path(source).is_absolute()
        database.execute(
            "INSERT OR REPLACE INTO document_places (document, user, place, is_place, seen)"
            " VALUES (?, ?, ?, ?, ?)",
            (number, user, source, int(is_place), id),
        )


_STATEMENTS = (
    # A place is a file or an address: it holds one document, a changed one takes it over. What was
    # brought by hand (`is_place` 0) is nowhere; one row says that it was. `seen` is the id of the
    # import, which tells the newest.
    """
    CREATE TABLE document_places (
        document INTEGER NOT NULL REFERENCES documents (number),
        user TEXT NOT NULL,
        place TEXT NOT NULL,
        is_place INTEGER NOT NULL CHECK (is_place IN (0, 1)),
        seen TEXT NOT NULL,
        PRIMARY KEY (document, is_place, place)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE UNIQUE INDEX document_places_taken ON document_places (user, place) WHERE is_place",
)
