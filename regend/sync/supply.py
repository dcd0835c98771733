"""What is sent of a log: own changes, ready to be sealed, and others' frames as they came.

Plain functions on a connection; `replica` is the other side.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from regend.limits import FRAME_CHANGES, SYNC_FRAME_BYTES
from regend.store.change import LogId, first_head


class Written(NamedTuple):
    """Own changes in a row, ready to be sealed.

    Attributes:
        previous: head before the first.
    """

    log: LogId
    first: int
    previous: bytes
    head: bytes
    bodies: list[bytes]


def own_after(
    connection: sqlite3.Connection, log_id: LogId, seq: int, size_bytes: int
) -> list[Written]:
    """Return the next changes of an own log after `seq`, a frame's worth to each.

    What of an own log stands in `changes` begins with 1 and has no gap: a home takes nothing of the
    log that it writes from others (`replica`, invariant 3), and a log that it writes no more, as
    after a restore, goes on in `frames` alone. So `frames_after` goes on behind what this returns.

    Args:
        size_bytes: where their bodies reach this, the list ends.
    """
    previous = _own_head(connection, log_id, seq)
    if previous is None:
        return []
    rows = connection.execute(
        "SELECT c.head, c.body FROM changes c JOIN logs l ON l.number = c.log "
        "WHERE l.device = ? AND l.incarnation = ? AND c.seq > ? ORDER BY c.seq",
        (*log_id, seq),
    )
    found: list[Written] = []
    bodies: list[bytes] = []
    size, total, first, head = 0, 0, seq + 1, previous
    for next_one, body in rows:
        if bodies and (len(bodies) == FRAME_CHANGES or size + len(body) > SYNC_FRAME_BYTES):
            found.append(Written(log_id, first, previous, head, bodies))
            first, previous, bodies, size = first + len(bodies), head, [], 0
            if total >= size_bytes:
                break
        bodies.append(body)
        head = next_one
        size += len(body)
        total += len(body)
    if bodies:
        found.append(Written(log_id, first, previous, head, bodies))
    return found


def _own_head(connection: sqlite3.Connection, log_id: LogId, seq: int) -> bytes | None:
    """Return the head of an own log after a change; None where that is not here in the open."""
    if seq == 0:
        return first_head(log_id)
    row = connection.execute(
        "SELECT c.head FROM changes c JOIN logs l ON l.number = c.log "
        "WHERE l.device = ? AND l.incarnation = ? AND c.seq = ?",
        (*log_id, seq),
    ).fetchone()
    return None if row is None else bytes(row[0])


def frames_after(
    connection: sqlite3.Connection, log_id: LogId, seq: int, size_bytes: int
) -> list[tuple[int, bytes]]:
    """Return stored frames that hold changes after `seq`, in order, with the last number of each.

    Args:
        size_bytes: where they reach this, the list ends.
    """
    rows = connection.execute(
        "SELECT f.last, f.sealed FROM frames f JOIN logs l ON l.number = f.log "
        "WHERE l.device = ? AND l.incarnation = ? AND f.last > ? ORDER BY f.last",
        (*log_id, seq),
    )
    found: list[tuple[int, bytes]] = []
    size = 0
    for last, sealed in rows:
        found.append((last, sealed))
        size += len(sealed)
        if size >= size_bytes:
            break
    return found
