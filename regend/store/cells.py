"""Cells: single values of which the last writer's holds, on every device the same.

The order is (version, clock, device, value), where a write's version is one more than the highest
that its writer had seen: by the clock alone, a device whose clock is a year ahead would win for a
year. Two copies of a home may write the same but for the value.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgpack

from regend.errors import BadInput
from regend.store import changelog

KIND: Final = "set"

Row = tuple[str, str, bytes, int, int, bytes]

# No honest writer comes near it. Whoever sets it is followed by the clock alone, not refused: a
# version beyond it would be refused by the others.
_HIGHEST_VERSION: Final = 1 << 62

_VERSION: Final = "SELECT version FROM cells WHERE object = ? AND field = ?"
_MERGE: Final = (
    "INSERT INTO cells (object, field, value, version, clock, device) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (object, field) DO UPDATE SET value = excluded.value, version = excluded.version, "
    "clock = excluded.clock, device = excluded.device "
    "WHERE (excluded.version, excluded.clock, excluded.device, excluded.value) "
    "> (version, clock, device, value)"
)


def write(
    connection: sqlite3.Connection, changes: Iterable[tuple[str, Mapping[str, Any]]], at_ms: int
) -> None:
    """Set fields of objects, here and on the other devices. Without a mesh nothing is kept.

    Args:
        changes: name of an object and what is set of it, by field: what plain msgpack can carry.
    """
    with changelog.writing(connection, at_ms) as log:
        if log is None:
            return
        rows: dict[tuple[str, str], Row] = {}
        for name, values in changes:
            clock = log.tick()
            written: list[Any] = []
            for field, value in values.items():
                before = rows.get((name, field))
                seen = _version(connection, name, field) if before is None else before[3]
                version = min(seen + 1, _HIGHEST_VERSION)
                rows[name, field] = (name, field, msgpack.packb(value), version, clock, log.device)
                written += (field, value, version)
            log.add(KIND, name, written, clock=clock)
        connection.executemany(_MERGE, rows.values())


def _version(connection: sqlite3.Connection, name: str, field: str) -> int:
    row = connection.execute(_VERSION, (name, field)).fetchone()
    return 0 if row is None else int(row[0])


def rows_of(device: bytes, clock: int, name: Any, written: Any) -> list[Row]:
    """Return the rows that a change of this kind brings, for `merge`.

    Args:
        device: that made the change.
        written: field, value and version, one after another.

    Raises:
        BadInput: it is no such change.
    """
    if type(name) is not str or type(written) is not list or len(written) % 3:
        raise _malformed()
    rows = []
    for at in range(0, len(written), 3):
        field, value, version = written[at : at + 3]
        if type(field) is not str or type(version) is not int:
            raise _malformed()
        if not 0 < version <= _HIGHEST_VERSION:
            raise _malformed()
        rows.append((name, field, msgpack.packb(value), version, clock, device))
    return rows


def merge(connection: sqlite3.Connection, rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Take in what other devices set; what is older than what stands changes nothing.

    Returns:
        The objects and fields that are set anew.
    """
    newest: dict[tuple[str, str], Row] = {}
    for row in rows:
        name = row[0], row[1]
        if name not in newest or _order(row) > _order(newest[name]):
            newest[name] = row
    return [name for name, row in newest.items() if connection.execute(_MERGE, row).rowcount]


def _order(row: Row) -> tuple[int, int, bytes, bytes]:
    return (*row[3:], row[2])


def read(connection: sqlite3.Connection, name: str, field: str) -> Any:
    """Return a value; None where it was never set."""
    row = connection.execute(
        "SELECT value FROM cells WHERE object = ? AND field = ?", (name, field)
    ).fetchone()
    return None if row is None else msgpack.unpackb(row[0], strict_map_key=False)


class Cell(NamedTuple):
    """A value as it stands, and which write set it."""

    field: str
    value: Any
    version: int
    clock: int
    device: bytes


def of(connection: sqlite3.Connection, name: str) -> list[Cell]:
    """Return what is set of an object, by field."""
    rows = connection.execute(
        "SELECT field, value, version, clock, device FROM cells WHERE object = ? ORDER BY field",
        (name,),
    ).fetchall()
    return [Cell(row[0], msgpack.unpackb(row[1], strict_map_key=False), *row[2:]) for row in rows]


def _malformed() -> BadInput:
    return BadInput("change_malformed", "What another device set cannot be read.")
