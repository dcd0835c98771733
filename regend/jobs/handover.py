"""A job moves from one device to another: it is asked for, given, taken, and it arrives.

Invariants
1. A device gives a job away only while no worker of it holds the job, with the exact place where
   it stopped, in one transaction: from then on its writes are refused here.
2. What is not given is taken only on a person's word (`take`).
3. A job runs here only once everything up to its base is here.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from regend import events
from regend.errors import Conflict
from regend.jobs import mirror
from regend.jobs.arrivals import coming_slots, settle_checkpoints, want_newest, wanted_of
from regend.jobs.folding import ARRIVING, AWAY, HERE
from regend.jobs.history import Draft, append
from regend.jobs.lifecycle import PENDING, TERMINAL, Counts, Desired, Outcome, settle
from regend.jobs.terms import Term, chain, next_term
from regend.jsontext import dumps
from regend.store import changelog
from regend.store.change import DEVICE_BYTES, LogId


def ask_to_leave(connection: sqlite3.Connection, row: sqlite3.Row, to: LogId, at_ms: int) -> bool:
    """Give a job to another device, at once or when its worker has stopped.

    Args:
        row: of a job that is held here.

    Returns:
        Whether it is given; False where its worker must be asked to stop first.

    Raises:
        Conflict: it is finished, or runs elsewhere.
    """
    require_live(row)
    if row["remote"] != HERE:
        raise Conflict(
            "job_elsewhere",
            "The job runs on another device by now.",
            hint="See where: regend jobs list",
        )
    connection.execute(
        "UPDATE jobs SET leaving = ? WHERE number = ?", (to.device + to.incarnation, row["number"])
    )
    if row["state"] == "running":
        return False
    return give(connection, row["number"], at_ms)


def give(connection: sqlite3.Connection, job: int, at_ms: int) -> bool:
    """Give a job that no worker holds to the device that asked for it, if one did."""
    job_id, state, leaving = connection.execute(
        "SELECT id, state, leaving FROM jobs WHERE number = ?", (job,)
    ).fetchone()
    if state in TERMINAL:
        connection.execute("UPDATE jobs SET leaving = NULL WHERE number = ?", (job,))
    if leaving is None or state == "running" or state in TERMINAL:
        return False
    to = LogId(leaving[:DEVICE_BYTES], leaving[DEVICE_BYTES:])
    term = _begin_term(connection, job, job_id, to, "granted", at_ms)
    return term is not None


def stay(connection: sqlite3.Connection) -> None:
    """Forget who asked for jobs: a device that starts anew keeps what it did not give away."""
    connection.execute("UPDATE jobs SET leaving = NULL WHERE leaving IS NOT NULL")


def take(connection: sqlite3.Connection, row: sqlite3.Row, at_ms: int) -> None:
    """Run a job here from what is known of it, on a person's word; its device may be away.

    Raises:
        Conflict: it is finished, or runs here already.
    """
    require_live(row)
    if row["remote"] == HERE:
        raise Conflict("job_here", "The job runs on this device already.")
    own = changelog.current(connection)
    assert own is not None, "a remote job without a mesh"
    _begin_term(connection, row["number"], row["id"], own, "forced", at_ms)
    _arrive(connection, row["number"], at_ms)


def keep(connection: sqlite3.Connection, job: int, life: LogId, at_ms: int) -> None:
    """Let a job that is held here be held by another life of this home, which begins now.

    Args:
        life: whose log is the current one already.
    """
    job_id = connection.execute("SELECT id FROM jobs WHERE number = ?", (job,)).fetchone()[0]
    if _begin_term(connection, job, job_id, life, "granted", at_ms) is not None:
        _arrive(connection, job, at_ms)


def arrivals(connection: sqlite3.Connection, at_ms: int) -> list[int]:
    """Let the jobs that were given to this device run, where all of them is here.

    Returns:
        Their numbers.
    """
    rows = connection.execute(
        "SELECT j.number FROM jobs j JOIN terms t ON t.job_id = j.id AND t.id = j.term "
        f"WHERE j.remote = {ARRIVING} AND j.job_seq = t.base"  # in full, or its index is not used
    ).fetchall()
    for (job,) in rows:
        _arrive(connection, job, at_ms)
    return [row[0] for row in rows]


def held_back(connection: sqlite3.Connection) -> list[int]:
    """Return the jobs that came here and have not run yet.

    Also those whose last payload has come by now: then nothing is wanted of them any more. A job
    that waits out a backoff is held too, but has failed or died here.
    """
    rows = connection.execute(
        "SELECT number FROM jobs WHERE remote = ? AND held = 1 AND failures = 0 AND deaths = 0",
        (HERE,),
    )
    return [row[0] for row in rows]


def let_go(connection: sqlite3.Connection, job: int, *, anyway: bool = False) -> bool:
    """Let a job that arrived run, once its payloads are here; return whether it may.

    Args:
        anyway: though a model's saved state has not come: its text is evaluated anew.
    """
    lacking = wanted_of(connection, job)
    if lacking and not (anyway and set(lacking) <= set(coming_slots(connection, job))):
        return False
    settle_checkpoints(connection, job)
    connection.execute("UPDATE jobs SET held = 0 WHERE number = ? AND state = 'created'", (job,))
    return True


def _arrive(connection: sqlite3.Connection, job: int, at_ms: int) -> None:
    """Begin this device's branch of a job's history."""
    job_id, state, desired = connection.execute(
        "SELECT id, state, desired FROM jobs WHERE number = ?", (job,)
    ).fetchone()
    terms = chain(mirror.terms_of(connection, job_id))
    now, before = terms[-1], terms[-2]
    want_newest(connection, job)
    waits = bool(wanted_of(connection, job))
    connection.execute(
        "UPDATE jobs SET remote = ?, held = ?, failures = 0, deaths = 0 WHERE number = ?",
        (HERE, int(waits), job),
    )
    append(connection, job, Draft(events.JOB_TAKEOVER, dumps(told(now, before))), at_ms)
    if state == "running":
        _end_attempt(connection, job, desired, at_ms)


def _end_attempt(connection: sqlite3.Connection, job: int, desired: Desired, at_ms: int) -> None:
    """Let an attempt that another device was left with be over, as a person wished it to end."""
    after = settle(desired, Outcome("orphaned"), Counts(0, 0, 1, 1)).state
    draft = Draft(events.JOB_STATE, dumps({"from": "running", "to": after}))
    if after == "cancelled":
        draft = Draft(events.JOB_CANCELLED, "{}")
    connection.execute(
        "UPDATE jobs SET state = ?1, desired = iif(?1 = 'cancelled', desired, 'run'), "
        "error = NULL, finished_at = iif(?1 = 'cancelled', ?2, NULL) WHERE number = ?3",
        (after, at_ms, job),
    )
    append(connection, job, draft, at_ms)


def told(now: Term, before: Term) -> dict[str, Any]:
    """Return what the event that begins a term says."""
    return {
        "term": now.number,
        "how": now.how,
        "device": now.device.hex(),
        "from": before.device.hex(),
        "after": now.base,
    }


def _begin_term(
    connection: sqlite3.Connection, job: int, job_id: str, to: LogId, how: Any, at_ms: int
) -> Term | None:
    """Begin a device's term, on record behind everything that happened here."""
    while mirror.collect(connection, at_ms):
        pass
    terms = chain(mirror.terms_of(connection, job_id))
    last = connection.execute("SELECT job_seq FROM jobs WHERE number = ?", (job,)).fetchone()[0]
    term = next_term(job_id, terms[-1], last, how, to.device, to.incarnation, at_ms)
    with changelog.writing(connection, at_ms) as log:
        if log is None:
            return None
        log.add(mirror.TERM, job_id, list(term))
    mirror.record_term(connection, job_id, term)
    connection.execute(
        "UPDATE jobs SET term = ?, remote = ?, device = ?, leaving = NULL, boot = NULL, "
        "fence = fence + 1 WHERE number = ?",
        (term.id, AWAY, to.device.hex(), job),
    )
    return term


def unfinished_of(connection: sqlite3.Connection, device: bytes) -> list[str]:
    """Return the ids of the jobs that another device holds and that are not finished."""
    marks = ", ".join("?" * len(PENDING))
    rows = connection.execute(
        f"SELECT id FROM jobs WHERE state IN ({marks}) AND remote = ? AND device = ? ORDER BY id",
        (*PENDING, AWAY, device.hex()),
    )
    return [row[0] for row in rows]


def require_live(row: sqlite3.Row) -> None:
    """Check that a job is not finished.

    Raises:
        Conflict: it is.
    """
    if row["state"] in TERMINAL:
        raise Conflict(
            "wrong_state",
            f"The job is {row['state']}; takeover needs one that is created or paused or "
            "running or waiting.",
        )
