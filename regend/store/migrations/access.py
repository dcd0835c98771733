"""Tables of access: tokens that were given out, and which of them no longer hold."""

from __future__ import annotations

from sqlite_utils import Database


def access_tables(database: Database) -> None:
    """Create the table of tokens. A token's secret is never stored, only its id."""
    database.execute(
        """
        CREATE TABLE tokens (
            id TEXT PRIMARY KEY,
            user TEXT NOT NULL,
            scope TEXT NOT NULL,
            name TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            expires_at INTEGER,
            revoked_at INTEGER
        ) STRICT
        """
    )
