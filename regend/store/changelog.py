"""The change log of this device: what it did, in order, for the person's other devices.

Plain functions on the writer's connection, so that a change stands in the transaction of the rows
that it describes.

Invariants
1. Changes are numbered from 1 without gap; the head of each covers everything before it.
2. Stamps of one log grow strictly, whatever the wall clock does.
3. While there is no mesh, there is no current log and nothing is written.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from regend.store.change import LogId, first_head, next_head, pack
from regend.store.hlc import HybridClock


class OwnLog:
    """The current log within one transaction. What is added is stored by `writing` at its end."""

    def __init__(self, row: tuple[int, int, bytes, int, bytes], at_ms: int) -> None:
        self.number, self.seq, self.head, last, self.device = row
        self._clock = HybridClock(last)
        self._at_ms = at_ms
        self.rows: list[tuple[int, int, bytes, bytes]] = []

    def tick(self) -> int:
        """Return the stamp of the next change."""
        return self._clock.tick(self._at_ms)

    def add(self, kind: str, *fields: Any, clock: int | None = None) -> None:
        """Append a change.

        Args:
            clock: its stamp, from `tick`; None takes the next.
        """
        body = pack(self.tick() if clock is None else clock, kind, fields)
        self.seq = seq = self.seq + 1
        self.head = head = next_head(self.head, seq, body)
        self.rows.append((self.number, seq, head, body))

    def save(self, connection: sqlite3.Connection) -> None:
        """Store what was added."""
        if not self.rows:
            return
        connection.executemany(
            "INSERT INTO changes (log, seq, head, body) VALUES (?, ?, ?, ?)", self.rows
        )
        connection.execute(
            "UPDATE logs SET seq = ?, head = ?, clock = ? WHERE number = ?",
            (self.seq, self.head, self._clock.last, self.number),
        )
        self.rows = []


@contextmanager
def writing(connection: sqlite3.Connection, at_ms: int) -> Iterator[OwnLog | None]:
    """Lend the current log, and store what was added to it; None where there is no mesh.

    Args:
        at_ms: wall time, which stamps follow where it grows.
    """
    row = connection.execute(
        "SELECT number, seq, head, clock, device FROM logs WHERE current = 1"
    ).fetchone()
    if row is None:
        yield None
        return
    log = OwnLog(row, at_ms)
    yield log
    log.save(connection)


def current(connection: sqlite3.Connection) -> LogId | None:
    """Return which log this device writes now."""
    row = connection.execute("SELECT device, incarnation FROM logs WHERE current = 1").fetchone()
    return None if row is None else LogId(*row)


def number_of(connection: sqlite3.Connection, log: LogId) -> int:
    """Return the number of a log in this store, making its row where there is none."""
    row = connection.execute(
        "SELECT number FROM logs WHERE device = ? AND incarnation = ?", log
    ).fetchone()
    if row is not None:
        return int(row[0])
    cursor = connection.execute(
        "INSERT INTO logs (device, incarnation, head) VALUES (?, ?, ?)", (*log, first_head(log))
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def begin(connection: sqlite3.Connection, log: LogId) -> None:
    """Write this log from now on, and the one before no more. Its stamps follow on those before."""
    last = connection.execute("SELECT coalesce(max(clock), 0) FROM logs").fetchone()[0]
    connection.execute("UPDATE logs SET current = 0 WHERE current = 1")
    number = number_of(connection, log)
    connection.execute(
        "UPDATE logs SET current = 1, clock = max(clock, ?) WHERE number = ?", (last, number)
    )


def observe(connection: sqlite3.Connection, stamp: int, at_ms: int) -> None:
    """Let later stamps follow on a received one, as far as the clock lets itself be moved."""
    row = connection.execute("SELECT clock FROM logs WHERE current = 1").fetchone()
    if row is None:
        return
    clock = HybridClock(row[0])
    clock.observe(stamp, at_ms)
    connection.execute("UPDATE logs SET clock = ? WHERE current = 1", (clock.last,))
