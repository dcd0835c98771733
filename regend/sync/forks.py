"""One log, two histories: a home was copied, or went back to an earlier state, and wrote on.

It shows where another device has this device's own log otherwise than it is here. What was written
here behind the last common change is taken out of that log and written again, as it is, into the
log of a new life: nothing is dropped, and both histories are folded everywhere.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import NamedTuple

from regend.store import changelog
from regend.store.change import Change, LogId, first_head, unpack
from regend.sync.frame import Frame, heads_of


class Fork(NamedTuple):
    """Two histories of one log.

    Attributes:
        common: the last change that both share; None where it lies before what was compared.
    """

    log: LogId
    common: int | None


def compared(
    connection: sqlite3.Connection, number: int, frame: Frame, bodies: list[bytes]
) -> int | None:
    """Return the last change up to which a log is here as a frame has it; None before the frame.

    Args:
        number: of the log in this store.
    """
    first = frame.header.first
    if head_at(connection, number, frame.header.log, first - 1) != frame.header.previous:
        return None
    common = first - 1
    for seq, head in enumerate(heads_of(frame, bodies), first):
        here = head_at(connection, number, frame.header.log, seq)
        if here != head:
            break
        common = seq
    return common


def head_at(connection: sqlite3.Connection, number: int, log: LogId, seq: int) -> bytes | None:
    """Return the head of a log after a change, where it is known without opening frames."""
    if seq == 0:
        return first_head(log)
    row = (
        connection.execute(
            "SELECT head FROM changes WHERE log = ? AND seq = ?", (number, seq)
        ).fetchone()
        or connection.execute(
            "SELECT head FROM logs WHERE number = ? AND seq = ?", (number, seq)
        ).fetchone()
    )
    return None if row is None else bytes(row[0])


def behind(connection: sqlite3.Connection, log: LogId, seq: int) -> list[Change]:
    """Return what an own log has behind a change."""
    number = changelog.number_of(connection, log)
    rows = connection.execute(
        "SELECT body FROM changes WHERE log = ? AND seq > ? ORDER BY seq", (number, seq)
    )
    return [unpack(row[0]) for row in rows]


def part(
    connection: sqlite3.Connection,
    forked: LogId,
    common: int,
    new: LogId,
    again: Callable[[Change], bool],
    at_ms: int,
) -> None:
    """Take what an own log has behind a change out of it, and write it into a new one.

    Args:
        new: the current log from now on.
        again: tells whether a change is written again as it is.
    """
    number = changelog.number_of(connection, forked)
    tail = behind(connection, forked, common)
    head = head_at(connection, number, forked, common)
    assert head is not None
    connection.execute("DELETE FROM changes WHERE log = ? AND seq > ?", (number, common))
    connection.execute("UPDATE logs SET seq = ?, head = ? WHERE number = ?", (common, head, number))
    changelog.begin(connection, new)
    with changelog.writing(connection, at_ms) as log:
        assert log is not None
        for change in tail:
            if again(change):
                log.add(change.kind, *change.fields, clock=change.clock)
