"""Jobs that were given to this device, found without a look at all others."""

from __future__ import annotations

from sqlite_utils import Database


def arriving_index(database: Database) -> None:
    """Let them be found: each portion of what other devices did asks for them."""
    database.execute("CREATE INDEX jobs_arriving ON jobs (number) WHERE remote = 2")
