"""Documents of other devices that cannot be imported here: damaged, or the fault is this program's.

Each is told of, and tried again by another version: the same one would make the same of the same
bytes.
"""

from __future__ import annotations

import sqlite3
from typing import Final, NamedTuple

import msgpack

from regend import __version__

VERSION: Final = __version__


class Unfit(NamedTuple):
    """A document that could not be imported, the device that told of it, and why."""

    title: str
    device: bytes
    reason: str


def fit() -> str:
    """Return the condition that this version has not tried a `shared_documents s` in vain."""
    return (
        "NOT EXISTS (SELECT 1 FROM unfit_documents u WHERE u.id = s.id "
        f"AND u.version = '{VERSION}')"
    )


def note_unfit(connection: sqlite3.Connection, id: str, reason: str) -> None:
    """Remember that a document which another device told of cannot be imported."""
    connection.execute(
        "INSERT OR REPLACE INTO unfit_documents (id, version, reason) VALUES (?, ?, ?)",
        (id, VERSION, reason),
    )


def unfit_documents(connection: sqlite3.Connection) -> list[Unfit]:
    """Return those that are still wanted, and that this version could not import."""
    rows = connection.execute(
        "SELECT s.about, s.device, u.reason FROM unfit_documents u JOIN shared_documents s "
        "ON s.id = u.id WHERE s.state = 'coming' AND u.version = ? ORDER BY u.id",
        (VERSION,),
    )
    return [Unfit(msgpack.unpackb(about)[0], *rest) for about, *rest in rows]
