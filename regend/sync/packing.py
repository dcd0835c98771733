"""What a home wrote stands in plain until another device has it; then it is packed into frames.

Every event of a job stands in the job's history and again in the change that tells of it. In plain
that second text takes as much room as the first; in a frame, compressed and sealed as it travels, a
fraction. Nothing is lost by it: what is packed is handed on as others' frames are, and can be put
back.

How far: up to what any other device of the mesh has acknowledged. Nothing depends on who has what,
since nothing is dropped, so one that is away for a year holds nothing up. But a frame stays under
the key of the epoch in which it was sealed. Before a change has left this device, a device may be
revoked that holds that key and was never to read the change; once it has left, frames of it under
such a key are on their way among the others anyhow.

Plain functions on a connection.

Invariants
1. A change stands in plain or in a frame that counts that far, never in neither.
2. What may still be written into a frame that is not full is left in plain.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from regend.limits import FRAME_CHANGES, KIB
from regend.store import changelog
from regend.store.change import LogId, Position
from regend.sync.forks import Reopen, head_at
from regend.sync.frame import heads_of
from regend.sync.supply import Written, own_after

_PAGE_BYTES: Final = 128 * KIB  # of changes, about: the writer has others to serve


def next_page(
    connection: sqlite3.Connection, acknowledged: Collection[Mapping[LogId, Position]]
) -> list[Written]:
    """Return changes of one log that are to be packed next; none where nothing is.

    Args:
        acknowledged: by each other device of the mesh.
    """
    logs = connection.execute(
        "SELECT number, device, incarnation, seq, current, "
        "(SELECT min(seq) FROM changes c WHERE c.log = l.number) AS first "
        "FROM logs l WHERE first IS NOT NULL ORDER BY number"
    )
    for number, device, incarnation, seq, current, first in logs.fetchall():
        log = LogId(device, incarnation)
        said = [vector[log] for vector in acknowledged if log in vector]
        known = [one.seq for one in said if head_at(connection, number, log, one.seq) == one.head]
        page = [
            one
            for one in own_after(connection, log, first - 1, _PAGE_BYTES)
            if one.last <= max(known, default=0)
            and (one.last < seq or len(one.bodies) == FRAME_CHANGES or not current)
        ]
        if page:
            return page
    return []


def pack(connection: sqlite3.Connection, page: Sequence[Written], sealed: Sequence[bytes]) -> bool:
    """Let frames stand for a page; return False where its log has become another since.

    Args:
        sealed: the page's frames.
    """
    number, last = changelog.number_of(connection, page[-1].log), page[-1].last
    still = connection.execute(
        "SELECT 1 FROM changes WHERE log = ?1 AND seq = ?2 AND head = ?3 "
        "AND (SELECT min(seq) FROM changes WHERE log = ?1) = ?4",
        (number, last, page[-1].head, page[0].first),
    ).fetchone()
    if still is None:
        return False
    connection.executemany(
        "INSERT OR REPLACE INTO frames (log, last, first, sealed) VALUES (?, ?, ?, ?)",
        [(number, one.last, one.first, blob) for one, blob in zip(page, sealed, strict=True)],
    )
    connection.execute("DELETE FROM changes WHERE log = ? AND seq <= ?", (number, last))
    return True


def unpack(connection: sqlite3.Connection, log: LogId, seq: int, reopen: Reopen) -> None:
    """Let what stands in frames of an own log behind a change stand in plain again.

    Args:
        reopen: opens a stored frame.
    """
    number = changelog.number_of(connection, log)
    frames = connection.execute(
        "SELECT last, first, sealed FROM frames WHERE log = ? AND last > ? ORDER BY last",
        (number, seq),
    )
    for last, first, sealed in frames.fetchall():
        frame, bodies = reopen(sealed)
        rows = zip(range(first, last + 1), heads_of(frame, bodies), bodies, strict=False)
        connection.executemany(
            "INSERT OR IGNORE INTO changes (log, seq, head, body) VALUES (?, ?, ?, ?)",
            [(number, *row) for row in rows],
        )
    connection.execute("DELETE FROM frames WHERE log = ? AND last > ?", (number, seq))
