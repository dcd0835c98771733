"""Events of no job: what happens to the person's devices, as this home sees it.

They stand in the one order of all events, so a stream tells them and goes on after them like any
other. In the table they are of job 0 with an empty place beside them: `mirror` never tells them to
other devices.

Invariants
1. That a device came or went is told once it is committed, and kept: the newest
   `PRESENCE_EVENTS`, and of each device the last whatever its age. Readers behind one that went
   learn of it by the floor.
2. How far a sync is, the newest event of a device tells whole; it takes the place of the one
   before, which nobody needs any more.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Final

from regend import events
from regend.clock import rfc3339
from regend.events import Event
from regend.jobs.history import Draft, newest_seq, raise_floor
from regend.limits import PRESENCE_EVENTS

_PRESENCE: Final = (events.DEVICE_ONLINE, events.DEVICE_OFFLINE)


def append(connection: sqlite3.Connection, draft: Draft, at_ms: int) -> int:
    """Append one event that is about a device, its payload's `device`; return its `seq`."""
    # The writer is alone, and the newest event is never removed: the next number is free.
    seq = newest_seq(connection) + 1
    connection.execute(
        "INSERT INTO events (seq, job, job_seq, type, at, data) VALUES (?1, 0, ?1, ?2, ?3, ?4)",
        (seq, draft.type, at_ms, draft.data),
    )
    if draft.type in _PRESENCE:
        _forget_oldest(connection)
    else:
        connection.execute(
            "DELETE FROM events WHERE job = 0 AND job_seq < ? AND type = ? "
            "AND json_extract(data, '$.device') = json_extract(?, '$.device')",
            (seq, draft.type, draft.data),
        )
    return seq


def after(connection: sqlite3.Connection, seq: int, limit: int) -> list[Event]:
    """Return the next events of no job after `seq`, oldest first."""
    rows = connection.execute(
        "SELECT seq, type, at, data FROM events WHERE job = 0 AND job_seq > ? AND type <> '' "
        "ORDER BY job_seq LIMIT ?",
        (seq, limit),
    )
    return [Event(row[0], None, None, row[1], rfc3339(row[2]), row[3]) for row in rows]


def last_presence(connection: sqlite3.Connection) -> dict[str, tuple[bool, str]]:
    """Return by device whether it was told to be online last, and by which name."""
    rows = connection.execute(
        "SELECT type, data FROM events WHERE job = 0 AND type IN (?, ?) ORDER BY job_seq",
        _PRESENCE,
    )
    told = ((type_name == events.DEVICE_ONLINE, json.loads(text)) for type_name, text in rows)
    return {data["device"]: (online, data["name"]) for online, data in told}


def _forget_oldest(connection: sqlite3.Connection) -> None:
    """Forget who came and went long ago, but what was told last of each."""
    kept = connection.execute(
        "SELECT seq FROM events WHERE job = 0 AND type IN (?, ?) ORDER BY job_seq DESC "
        "LIMIT 1 OFFSET ?",
        (*_PRESENCE, PRESENCE_EVENTS - 1),
    ).fetchone()
    if kept is None:
        return
    gone = connection.execute(
        "DELETE FROM events WHERE job = 0 AND job_seq < ?3 AND type IN (?1, ?2) AND seq NOT IN "
        "(SELECT max(seq) FROM events WHERE job = 0 AND type IN (?1, ?2) "
        "GROUP BY json_extract(data, '$.device')) RETURNING seq",
        (*_PRESENCE, kept[0]),
    ).fetchall()
    if gone:
        raise_floor(connection, max(row[0] for row in gone))
