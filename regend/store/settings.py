"""Small facts about this home that live in the database."""

from __future__ import annotations

import sqlite3


def device_id(connection: sqlite3.Connection) -> str:
    """Return the id of this device, made when its database was."""
    row = connection.execute("SELECT value FROM settings WHERE name = 'device'").fetchone()
    return str(row[0])


def set_device_id(connection: sqlite3.Connection, device: str) -> None:
    """Let this device have another id."""
    connection.execute("UPDATE settings SET value = ? WHERE name = 'device'", (device,))
