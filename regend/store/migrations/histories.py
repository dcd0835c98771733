"""What is kept of logs that went two ways."""

from __future__ import annotations

from sqlite_utils import Database


def history_tables(database: Database) -> None:
    """Create the tables of logs that have two histories, or had."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    # Histories that were written again in another log: from this log they count up to `seq`, whose
    # head is `head`; `next` is the head after that, by which such a history is known.
    """
    CREATE TABLE parted (
        number INTEGER PRIMARY KEY,
        log INTEGER NOT NULL REFERENCES logs (number),
        seq INTEGER NOT NULL,
        head BLOB NOT NULL,
        next BLOB NOT NULL,
        UNIQUE (log, next)
    ) STRICT
    """,
    # Frames of another history than the one that is folded, by the hash of the frame.
    """
    CREATE TABLE parked (
        id BLOB PRIMARY KEY,
        log INTEGER NOT NULL REFERENCES logs (number),
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        sealed BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX parked_by_log ON parked (log, first)",
)
