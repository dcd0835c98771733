"""Documents of other devices that a version of this program could not import."""

from __future__ import annotations

from sqlite_utils import Database


def unfit_tables(database: Database) -> None:
    """Let it be remembered which they are, and which version tried."""
    database.execute(
        """
        CREATE TABLE unfit_documents (
            id TEXT PRIMARY KEY REFERENCES shared_documents (id) ON DELETE CASCADE,
            version TEXT NOT NULL,
            reason TEXT NOT NULL
        ) STRICT, WITHOUT ROWID
        """
    )
