"""Table of saved places that are still to come: two of a job, where one is being got."""

from __future__ import annotations

from sqlite_utils import Database


def coming_tables(database: Database) -> None:
    """Let a job have more than one place that is to come, each with the device it comes from."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    "ALTER TABLE coming_places RENAME TO coming_places_before",
    # Saved places of a job that another device runs, while their model's state is not here: the one
    # that is being got, and the newest. `device` wrote of it.
    """
    CREATE TABLE coming_places (
        number INTEGER PRIMARY KEY,
        job INTEGER NOT NULL REFERENCES jobs (number),
        ordinal INTEGER NOT NULL,
        position INTEGER NOT NULL,
        data TEXT NOT NULL,
        slot TEXT NOT NULL,
        at INTEGER NOT NULL,
        device BLOB NOT NULL
    ) STRICT
    """,
    "CREATE INDEX coming_places_by_job ON coming_places (job, number)",
    """
    INSERT INTO coming_places (job, ordinal, position, data, slot, at, device)
        SELECT c.job, c.ordinal, c.position, c.data, c.slot, c.at, w.device
        FROM coming_places_before c JOIN wanted_blobs w ON w.digest = c.slot AND w.job = c.job
    """,
    "DROP TABLE coming_places_before",
)
