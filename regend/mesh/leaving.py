"""A device leaves a mesh that it was in with others, for another one.

What it has becomes its own, and is told anew to whom it meets next, in a new log. What only the
mesh that it leaves could read or judge goes: sealed frames, terms, and what is kept beside
histories. Devices of the next mesh would refuse the frames as foreign, and could never come to the
same state from the rest. So what they hold is put on record in the histories first: what was done
beside them (`jobs/orphans`), the other history of a log that went two ways among it, and what
became of what people asked.

Jobs that another device of the old mesh ran are not heard of any more. They stay as they were known
here, paused: whether they are to go on here as well, a person says.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import suppress
from typing import Final

from regend import events
from regend.errors import RegendError
from regend.jobs import folding, mirror, orphans, wishes
from regend.jobs.arrivals import forget_coming
from regend.jobs.folding import HERE
from regend.jobs.history import Draft, append
from regend.jobs.lifecycle import TERMINAL
from regend.jsontext import dumps
from regend.store import changelog
from regend.store.change import INCARNATION_BYTES, Change, LogId
from regend.sync.forks import Reopen
from regend.sync.replica import readable
from regend.sync.roster import Roster

_UNFIT: Final = (RegendError, ValueError, TypeError, LookupError)  # a parked frame is a stranger's
# Those that refer to logs first.
_OF_THE_MESH: Final = (
    *("frames", "unfolded", "parked", "parted", "changes", "logs"),
    *("introductions", "terms", "strays", "cells", "early_effects", "unfit_documents"),
    "shared_documents",
)


def leaves_others(before: Roster, after: Roster) -> bool:
    """Tell whether a device that comes to be of a mesh leaves one that it was in with others."""
    return before.mesh != after.mesh and len(before.members) > 1


def leave(
    connection: sqlite3.Connection,
    before: Roster,
    after: Roster,
    log: LogId,
    reopen: Reopen,
    at_ms: int,
) -> list[str]:
    """Make what is here this device's own, to be told anew, in the caller's transaction.

    Args:
        before: the roster of the mesh that it leaves.
        after: the roster of the mesh that it comes to be of.
        log: a new one, which is written from now on.
        reopen: opens a stored frame of the mesh that it leaves.

    Returns:
        Digests of saved model states that nothing needs any more.
    """
    clock = connection.execute("SELECT coalesce(max(clock), 0) FROM logs").fetchone()[0]
    _take_up_parked(connection, reopen)
    jobs = connection.execute(
        "SELECT number, id, state, remote FROM jobs WHERE term IS NOT NULL ORDER BY number"
    ).fetchall()

    def name(device: bytes) -> str:
        member = before.members.get(device)
        return member.name if member else f"device {device.hex()[:8]}"

    for number, job_id, state, remote in jobs:
        orphans.record(connection, number, job_id, name, at_ms)
        forget_coming(connection, number)
        if remote != HERE and state not in TERMINAL:
            _pause(connection, number, state, at_ms)
    connection.execute(
        "UPDATE jobs SET term = NULL, history = NULL, leaving = NULL, remote = ?, device = ? "
        "WHERE term IS NOT NULL",
        (HERE, log.device.hex()),
    )
    unneeded: list[str] = []
    for _, job_id, _, _ in jobs:
        carried = wishes.carry_out(connection, job_id, at_ms, leaving=True)
        unneeded += carried.slots if carried else []
    for table in _OF_THE_MESH:
        connection.execute(f"DELETE FROM {table}")
    for (device,) in connection.execute("SELECT device FROM peers").fetchall():
        if device not in after.members:
            connection.execute("DELETE FROM peers WHERE device = ?", (device,))
    changelog.begin(connection, log)
    connection.execute("UPDATE logs SET clock = ?", (clock,))
    mirror.move_cursor(connection, 0)
    return unneeded


def _take_up_parked(connection: sqlite3.Connection, reopen: Reopen) -> None:
    """Fold the other history of each log that went two ways, beside the one that holds.

    It is taken for what it is: what another life of that device did.
    """
    rows = connection.execute(
        "SELECT k.sealed, l.device, l.incarnation FROM parked k JOIN logs l ON l.number = k.log "
        "ORDER BY k.log, k.first, k.last"
    ).fetchall()
    begun: set[str] = set()  # jobs that nothing else tells of
    for sealed, device, incarnation in rows:
        own = LogId(device, incarnation)
        other = LogId(device, hashlib.sha256(incarnation).digest()[:INCARNATION_BYTES])
        changelog.number_of(connection, other)
        with suppress(*_UNFIT):
            for change in filter(None, map(readable, reopen(sealed)[1])):
                with suppress(*_UNFIT):
                    _fold_parked(connection, own, other, change, begun)


def _fold_parked(
    connection: sqlite3.Connection, own: LogId, other: LogId, change: Change, begun: set[str]
) -> None:
    if change.kind == mirror.JOB:
        job_id = change.fields[0]
        known = connection.execute("SELECT 1 FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if known is None:
            folding.fold_job(connection, *change.fields)
            begun.add(job_id)
    elif change.kind == mirror.HISTORY:
        job_id, term, said = change.fields[:3]
        if job_id in begun:
            folding.fold_history(connection, own, job_id, term, said)
            return
        rows = connection.execute(
            "SELECT e.job_seq, e.type, e.at, e.data FROM events e JOIN jobs j ON j.number = e.job "
            "WHERE j.id = ?",
            (job_id,),
        )
        shown = set(rows.fetchall())
        new = [one for one in said if (one[0], *one[2:5]) not in shown]
        folding.fold_history(connection, other, job_id, term, new)


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
