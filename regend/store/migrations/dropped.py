"""Steps that were dropped, as long as the job's history may turn out to be one that has them."""

from __future__ import annotations

from sqlite_utils import Database


def dropped_tables(database: Database) -> None:
    """Create the table of steps that a person chose to run again.

    `place` is that of the event which dropped them: where that event is taken back, they count.
    """
    database.execute(
        """
        CREATE TABLE dropped_steps (
            job INTEGER NOT NULL REFERENCES jobs (number),
            place INTEGER NOT NULL,
            ordinal INTEGER NOT NULL,
            name TEXT NOT NULL,
            input_hash TEXT NOT NULL,
            result TEXT NOT NULL,
            started_at INTEGER NOT NULL,
            duration_ms INTEGER NOT NULL,
            PRIMARY KEY (job, place, ordinal)
        ) STRICT, WITHOUT ROWID
        """
    )
