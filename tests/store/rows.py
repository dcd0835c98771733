"""Small things to store and to find again."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from regend.store import Store


def put(connection: sqlite3.Connection, name: str, value: str = "x") -> str:
    connection.execute("INSERT INTO settings (name, value) VALUES (?, ?)", (name, value))
    return name


def names(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute("SELECT name FROM settings WHERE name NOT IN ('epoch', 'device')")
    return {row[0] for row in rows}


def names_in(path: Path) -> set[str]:
    """Return the names as a fresh connection sees them: what is durable."""
    connection = sqlite3.connect(path)
    try:
        return names(connection)
    finally:
        connection.close()


async def fill(store: Store, count: int, size: int = 3000) -> None:
    """Store values in one transaction each, so that the log holds many."""
    for number in range(count):
        await store.write(lambda c, n=number: put(c, f"row-{n}", "v" * size))  # type: ignore[misc]
