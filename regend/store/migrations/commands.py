"""Table of commands that were carried out under an idempotency key."""

from __future__ import annotations

from sqlite_utils import Database


def command_tables(database: Database) -> None:
    """Create the table of keys. Numbers grow, so the oldest are found without an index."""
    database.execute(
        """
        CREATE TABLE command_keys (
            number INTEGER PRIMARY KEY,
            user TEXT NOT NULL,
            key TEXT NOT NULL,
            request_hash TEXT NOT NULL,
            at INTEGER NOT NULL,
            UNIQUE (user, key)
        ) STRICT
        """
    )
