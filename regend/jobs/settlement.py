"""The end of an attempt in the store: what becomes of its job, in one transaction with its event.

`lifecycle.settle` decides; this records. The invariants are those of `repository`.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any

from regend import events
from regend.jobs import approvals, arrivals, handover, journal
from regend.jobs.history import Draft, append
from regend.jobs.lifecycle import (
    TERMINAL,
    Counts,
    Outcome,
    Settlement,
    is_valid_transition,
    settle,
)
from regend.jobs.repository import IS_COMING, Fenced
from regend.jsontext import dumps
from regend.limits import INLINE_PAYLOAD_BYTES
from regend.store.blobs import reference


def settle_attempt(
    connection: sqlite3.Connection,
    job: int,
    fence: int,
    outcome: Outcome,
    max_deaths: int,
    packed_result: str | None,
    at_ms: int,
) -> tuple[Settlement, str | None]:
    """End an attempt: decide by `lifecycle.settle` what becomes of the job, and record it.

    Args:
        packed_result: the outcome's result as a payload column, for `completed`.

    Returns:
        What was decided, and the digest of a saved model state that nothing needs any more.

    Raises:
        Fenced: the attempt holds the job no more.
    """
    row = connection.execute(
        "SELECT desired, failures, deaths, max_attempts, leaving FROM jobs "
        "WHERE number = ? AND fence = ? AND state = 'running'",
        (job, fence),
    ).fetchone()
    if row is None:
        raise Fenced(job, fence)
    decided = settle(row[0], outcome, Counts(row[1], row[2], row[3], max_deaths))
    if outcome.lacks is not None:
        arrivals.want_again(connection, job, outcome.lacks)
        decided = replace(decided, failures=0, deaths=0)  # it begins anew once that has come
    asked = (decided.waiting or {}).get("approval_id")
    if decided.state == "waiting" and approvals.is_decided(connection, job, asked):
        decided = replace(decided, state="created", waiting=None)
    slot = _record(connection, job, decided, packed_result, at_ms)
    if row[4] is not None:
        handover.give(connection, job, at_ms)
    return decided, slot


def _record(
    connection: sqlite3.Connection,
    job: int,
    decided: Settlement,
    packed_result: str | None,
    at_ms: int,
) -> str | None:
    assert is_valid_transition("running", decided.state)
    finished = decided.state in TERMINAL
    result = packed_result if decided.state == "completed" else None
    connection.execute(
        "UPDATE jobs SET state = ?, desired = CASE WHEN ? THEN desired ELSE 'run' END, "
        f"held = ? OR {IS_COMING}, failures = ?, deaths = ?, result = ?, error = ?, waiting = ?, "
        "progress = CASE WHEN ? = 'completed' THEN 100 ELSE progress END, boot = NULL, "
        "finished_at = ? WHERE number = ? AND state = 'running'",
        (
            decided.state,
            finished,
            int(decided.backoff and decided.state == "created"),
            decided.failures,
            decided.deaths,
            result,
            dumps(decided.error) if decided.error else None,
            dumps(decided.waiting) if decided.waiting else None,
            decided.state,
            at_ms if finished else None,
            job,
        ),
    )
    append(connection, job, _ending(decided, result), at_ms)
    return journal.drop_checkpoint(connection, job) if finished else None


def _ending(decided: Settlement, packed_result: str | None) -> Draft:
    """Return the event of a settlement; a result beyond the inline bound is left to the job."""
    match decided.state:
        case "completed":
            inline = packed_result or "null"
            if reference(inline) is not None or len(inline.encode()) > INLINE_PAYLOAD_BYTES:
                inline = "null"
            return Draft(events.JOB_COMPLETED, f'{{"result":{inline}}}')
        case "failed":
            return Draft(events.JOB_FAILED, dumps({"error": decided.error}))
        case "cancelled":
            return Draft(events.JOB_CANCELLED, "{}")
        case state:
            data: dict[str, Any] = {"from": "running", "to": state}
            if decided.error:
                data["error"] = decided.error
            if decided.waiting:
                data["waiting"] = decided.waiting
            return Draft(events.JOB_STATE, dumps(data))


def requeue_orphans(
    connection: sqlite3.Connection, boot: str, limit: int, max_deaths: int, at_ms: int
) -> int:
    """Settle up to `limit` running jobs of earlier daemon runs, by priority; return how many.

    Their fence grows with the next claim, so a worker of the earlier run can write nothing more.
    Saved model states that nothing needs any more are left to the sweep.
    """
    rows = connection.execute(
        "SELECT number, desired, failures, deaths, max_attempts FROM jobs WHERE state = 'running' "
        "AND remote = 0 AND (boot IS NULL OR boot <> ?) ORDER BY priority DESC, number LIMIT ?",
        (boot, limit),
    ).fetchall()
    for number, desired, failures, deaths, max_attempts in rows:
        counts = Counts(failures, deaths, max_attempts, max_deaths)
        decided = settle(desired, Outcome("orphaned"), counts)
        _record(connection, number, decided, None, at_ms)
        # A claim raises the fence too; doing it here refuses the earlier worker from now on.
        connection.execute("UPDATE jobs SET fence = fence + 1 WHERE number = ?", (number,))
    return len(rows)
