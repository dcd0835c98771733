"""What is sent of a log: own changes, ready to be sealed, and frames as they are stored.

Plain functions on a connection; `replica` is the other side. A log stands here in pieces without a
gap between them: frames, which for an own log is what was packed (`packing`); then own changes in
plain; then, of an own log that another life of this home writes no more, what others had of it,
frames again. Each function returns one piece, and whoever asks goes on behind it.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from regend.limits import FRAME_CHANGES, SYNC_FRAME_BYTES
from regend.store.change import LogId
from regend.sync.forks import head_at


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

    @property
    def last(self) -> int:
        """Number of the last change."""
        return self.first + len(self.bodies) - 1


def own_after(
    connection: sqlite3.Connection, log_id: LogId, seq: int, size_bytes: int
) -> list[Written]:
    """Return the next changes of a log after `seq`, as far as they stand in plain.

    A frame's worth is in each; none where the next change stands in a frame.

    Args:
        size_bytes: where their bodies reach this, the list ends.
    """
    number = _number_with_next(connection, log_id, seq)
    previous = None if number is None else head_at(connection, number, log_id, seq)
    if number is None or previous is None:
        return []
    rows = connection.execute(
        "SELECT head, body FROM changes WHERE log = ? AND seq > ? ORDER BY seq", (number, seq)
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


def _number_with_next(connection: sqlite3.Connection, log_id: LogId, seq: int) -> int | None:
    """Return the number of a log in this store, if its next change stands in plain."""
    row = connection.execute(
        "SELECT l.number FROM logs l JOIN changes c ON c.log = l.number AND c.seq = ? "
        "WHERE l.device = ? AND l.incarnation = ?",
        (seq + 1, *log_id),
    ).fetchone()
    return None if row is None else int(row[0])


def frames_after(
    connection: sqlite3.Connection, log_id: LogId, seq: int, size_bytes: int
) -> list[tuple[int, bytes]]:
    """Return the next frames that hold changes after `seq`, with the last number of each.

    None where the next change stands in plain.

    Args:
        size_bytes: where they reach this, the list ends.
    """
    rows = connection.execute(
        "SELECT f.first, f.last, f.sealed FROM frames f JOIN logs l ON l.number = f.log "
        "WHERE l.device = ? AND l.incarnation = ? AND f.last > ? ORDER BY f.last",
        (*log_id, seq),
    )
    found: list[tuple[int, bytes]] = []
    size = 0
    for first, last, sealed in rows:
        if first > seq + 1:
            break  # what lies between stands in plain
        seq = last
        found.append((last, sealed))
        size += len(sealed)
        if size >= size_bytes:
            break
    return found
