"""Table of how far the library's index has been built again."""

from __future__ import annotations

from sqlite_utils import Database


def rebuild_tables(database: Database) -> None:
    """Create the table; it has one row while the index is being built again, none otherwise."""
    database.execute(
        """
        CREATE TABLE library_rebuild (
            document INTEGER NOT NULL,
            ordinal INTEGER NOT NULL
        ) STRICT
        """
    )
