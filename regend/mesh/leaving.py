"""A device leaves a mesh that it was in with others, for another one.

What it has becomes its own, and is told anew to whom it meets next, in a new log. What only the
mesh that it leaves could read or judge goes: sealed frames, terms, and what was kept beside
histories. Devices of the next mesh would refuse the frames as foreign, and could never come to the
same state from the rest.

Jobs that another device of the old mesh ran are not heard of any more. They stay as they were known
here, paused: whether they are to go on here as well, a person says.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from regend import events
from regend.jobs import mirror
from regend.jobs.folding import HERE
from regend.jobs.history import Draft, append
from regend.jobs.lifecycle import TERMINAL
from regend.jobs.places import forget_coming
from regend.jsontext import dumps
from regend.store import changelog
from regend.store.change import LogId
from regend.sync.roster import Roster

# Those that refer to logs first.
_OF_THE_MESH: Final = (
    *("frames", "unfolded", "parked", "parted", "changes", "logs"),
    *("introductions", "terms", "strays", "cells", "early_effects", "shared_documents"),
)


def leaves_others(before: Roster | None, after: Roster) -> bool:
    """Tell whether a device that comes to be of a mesh leaves one that it was in with others."""
    return before is not None and before.mesh != after.mesh and len(before.members) > 1


def leave(connection: sqlite3.Connection, after: Roster, log: LogId, at_ms: int) -> None:
    """Make what is here this device's own, to be told anew, in the caller's transaction.

    Args:
        after: the roster of the mesh that it comes to be of.
        log: a new one, which is written from now on.
    """
    clock = connection.execute("SELECT coalesce(max(clock), 0) FROM logs").fetchone()[0]
    jobs = connection.execute(
        "SELECT number, state, remote FROM jobs WHERE term IS NOT NULL ORDER BY number"
    ).fetchall()
    for number, state, remote in jobs:
        forget_coming(connection, number)
        if remote != HERE and state not in TERMINAL:
            _pause(connection, number, state, at_ms)
    connection.execute(
        "UPDATE jobs SET term = NULL, history = NULL, leaving = NULL, remote = ?, device = ? "
        "WHERE term IS NOT NULL",
        (HERE, log.device.hex()),
    )
    for table in _OF_THE_MESH:
        connection.execute(f"DELETE FROM {table}")
    for (device,) in connection.execute("SELECT device FROM peers").fetchall():
        if device not in after.members:
            connection.execute("DELETE FROM peers WHERE device = ?", (device,))
    changelog.begin(connection, log)
    connection.execute("UPDATE logs SET clock = ?", (clock,))
    mirror.move_cursor(connection, 0)


def _pause(connection: sqlite3.Connection, job: int, state: str, at_ms: int) -> None:
    connection.execute(
        "UPDATE jobs SET state = 'paused', desired = 'run', waiting = NULL, held = 0, "
        "error = iif(state = 'running', NULL, error), boot = NULL, fence = fence + 1 "
        "WHERE number = ?",
        (job,),
    )
    if state != "paused":
        told = {"from": state, "to": "paused"}
        append(connection, job, Draft(events.JOB_STATE, dumps(told)), at_ms)
