"""What a person wanted in the library and could not be read, on record until it can.

An answer made from the library must be able to say what it could not look into.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from regend.clock import rfc3339
from regend.errors import RegendError

_KEPT = 1000  # of one user, the newest


def note(
    connection: sqlite3.Connection, user: str, source: str, error: RegendError, at_ms: int
) -> None:
    """Record that a source could not be read, and why."""
    connection.execute(
        "INSERT OR REPLACE INTO unreadable (user, source, code, reason, at) VALUES (?, ?, ?, ?, ?)",
        (user, source, error.code, error.message, at_ms),
    )
    connection.execute(
        "DELETE FROM unreadable WHERE user = ? AND source NOT IN "
        "(SELECT source FROM unreadable WHERE user = ? ORDER BY at DESC LIMIT ?)",
        (user, user, _KEPT),
    )


def is_noted(connection: sqlite3.Connection, user: str, source: str) -> bool:
    """Tell whether a source is on the record; to look costs less than to write."""
    found = connection.execute(
        "SELECT 1 FROM unreadable WHERE user = ? AND source = ?", (user, source)
    )
    return found.fetchone() is not None


def forget(connection: sqlite3.Connection, user: str, source: str) -> None:
    """Strike a source off the record, once it was read or is not wanted any more."""
    connection.execute("DELETE FROM unreadable WHERE user = ? AND source = ?", (user, source))


def listing(connection: sqlite3.Connection, user: str, limit: int) -> list[dict[str, Any]]:
    """Return what could not be read, newest first, as clients see it."""
    rows = connection.execute(
        "SELECT source, code, reason, at FROM unreadable WHERE user = ? ORDER BY at DESC LIMIT ?",
        (user, limit),
    )
    return [
        {"source": row[0], "code": row[1], "reason": row[2], "at": rfc3339(row[3])} for row in rows
    ]
