"""What is kept of a device whose state is another than this one's, by the same changes."""

from __future__ import annotations

from sqlite_utils import Database


def alarm_columns(database: Database) -> None:
    """Let it be remembered since when a device's state differs from this one's."""
    database.execute("ALTER TABLE peers ADD COLUMN differs_since INTEGER")
