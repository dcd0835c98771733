"""Jobs in the store: plain functions that take a connection, so that several share a transaction.

Invariants
1. Every change of state is one compare-and-set UPDATE plus its event, in one transaction.
2. What a worker writes carries its fence; a stale fence changes nothing and raises `Fenced`.
3. One (user, idempotency key) makes one job; the same key with another request is refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from regend import events
from regend.errors import Conflict, NotFound
from regend.jobs.history import Draft, append, insert
from regend.jobs.lifecycle import (
    PENDING,
    TERMINAL,
    Counts,
    Desired,
    Outcome,
    Settlement,
    State,
    is_valid_transition,
    settle,
)
from regend.jsontext import dumps
from regend.limits import INLINE_PAYLOAD_BYTES


class Fenced(Conflict):
    """A worker wrote after its job went on elsewhere; nothing was changed."""

    def __init__(self, job: int, fence: int) -> None:
        super().__init__("fenced", f"Attempt {fence} of job {job} no longer holds it.")


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be.

    Attributes:
        id: a fresh sortable id.
        user: whose it is.
        type: a name of `inputs.INPUT_TYPES`.
        title: for people.
        input: JSON text, packed by `Blobs.pack`.
        model: catalogue name, or `provider/name`.
        priority: higher runs first.
        max_attempts: failures after which it fails for good.
        seed: makes its sampling repeatable.
        device: where it begins.
        idempotency_key: of the request, if it had one.
        request_hash: of the whole request, to tell a repeat from a clash.
    """

    id: str
    user: str
    type: str
    title: str
    input: str
    model: str
    priority: int
    max_attempts: int
    seed: int
    device: str
    idempotency_key: str | None = None
    request_hash: str | None = None
    parent_id: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that an attempt now holds.

    Attributes:
        job: its number in the store.
        fence: what every write of the attempt must carry.
    """

    job: int
    id: str
    user: str
    type: str
    title: str
    input: str
    model: str
    seed: int
    attempt: int
    fence: int
    priority: int


JOB_COLUMNS = (
    "number, id, user, type, title, state, desired, held, priority, attempt, failures, deaths, "
    "max_attempts, fence, seed, model, input, result, error, waiting, progress, step, parent_id, "
    "owner_device, device, created_at, updated_at, finished_at, "
    "coalesce((SELECT seq FROM events WHERE job = number ORDER BY job_seq DESC LIMIT 1), 0) "
    "AS last_seq"
)


def create(connection: sqlite3.Connection, job: NewJob, at_ms: int) -> tuple[int, bool]:
    """Insert a job with its first event.

    Returns:
        Its number, and whether it is new: False where the idempotency key was seen before with
        the same request.

    Raises:
        Conflict: the key was used for another request.
    """
    if job.idempotency_key is not None:
        known = connection.execute(
            "SELECT number, request_hash FROM jobs WHERE user = ? AND idempotency_key = ?",
            (job.user, job.idempotency_key),
        ).fetchone()
        if known is not None:
            if known[1] != job.request_hash:
                raise Conflict(
                    "idempotency_conflict",
                    "This Idempotency-Key was used for another request.",
                    hint="Use a fresh key for a new job.",
                )
            return int(known[0]), False
    cursor = connection.execute(
        "INSERT INTO jobs (id, user, type, title, state, desired, priority, max_attempts, seed, "
        "model, input, parent_id, owner_device, device, idempotency_key, request_hash, "
        "created_at, updated_at, job_seq) "
        "VALUES (?, ?, ?, ?, 'created', 'run', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)",
        (
            job.id,
            job.user,
            job.type,
            job.title,
            job.priority,
            job.max_attempts,
            job.seed,
            job.model,
            job.input,
            job.parent_id,
            job.device,
            job.device,
            job.idempotency_key,
            job.request_hash,
            at_ms,
            at_ms,
        ),
    )
    number = cursor.lastrowid
    assert number is not None
    created = {"type": job.type, "title": job.title, "model": job.model}
    insert(connection, number, 1, Draft(events.JOB_CREATED, dumps(created)), at_ms)
    return number, True


def any_ready(connection: sqlite3.Connection) -> bool:
    """Tell whether a job may run."""
    row = connection.execute(
        "SELECT 1 FROM jobs WHERE state = 'created' AND held = 0 LIMIT 1"
    ).fetchone()
    return row is not None


def has_key(connection: sqlite3.Connection, user: str, key: str) -> bool:
    """Tell whether a job of this user was made under an idempotency key."""
    found = connection.execute(
        "SELECT 1 FROM jobs WHERE user = ? AND idempotency_key = ?", (user, key)
    ).fetchone()
    return found is not None


def claim(connection: sqlite3.Connection, boot: str, at_ms: int) -> Claim | None:
    """Take the next job that may run: highest priority, then oldest. None where there is none."""
    row = connection.execute(
        "UPDATE jobs SET state = 'running', fence = fence + 1, attempt = attempt + 1, boot = ?, "
        "waiting = NULL, updated_at = ?, job_seq = job_seq + 1 WHERE number = (SELECT number "
        "FROM jobs WHERE state = 'created' AND held = 0 ORDER BY priority DESC, number LIMIT 1) "
        "RETURNING number, id, user, type, title, input, model, seed, attempt, fence, priority, "
        "job_seq",
        (boot, at_ms),
    ).fetchone()
    if row is None:
        return None
    data = f'{{"from":"created","to":"running","attempt":{row[8]}}}'
    insert(connection, row[0], row[11], Draft(events.JOB_STATE, data), at_ms)
    return Claim(*row[:11])


def touch(connection: sqlite3.Connection, job: int, fence: int, events_: int, at_ms: int) -> int:
    """Reserve `events_` places in a running job's history for the attempt that holds it.

    Returns:
        The last reserved `job_seq`.

    Raises:
        Fenced: the attempt holds the job no more.
    """
    row = connection.execute(
        "UPDATE jobs SET job_seq = job_seq + ?, updated_at = ? "
        "WHERE number = ? AND fence = ? AND state = 'running' RETURNING job_seq",
        (events_, at_ms, job, fence),
    ).fetchone()
    if row is None:
        raise Fenced(job, fence)
    return int(row[0])


def show(
    connection: sqlite3.Connection, job: int, fence: int, drafts: Sequence[Draft], at_ms: int
) -> None:
    """Append events of a running attempt.

    Raises:
        Fenced: the attempt holds the job no more.
    """
    last = touch(connection, job, fence, len(drafts), at_ms)
    for place, draft in enumerate(drafts, last - len(drafts) + 1):
        insert(connection, job, place, draft, at_ms)


def set_progress(
    connection: sqlite3.Connection, job: int, fence: int, progress: float, step: str
) -> None:
    """Record how far a running job is; the event is the caller's to append.

    Raises:
        Fenced: the attempt holds the job no more.
    """
    changed = connection.execute(
        "UPDATE jobs SET progress = max(progress, ?), step = ? "
        "WHERE number = ? AND fence = ? AND state = 'running'",
        (progress, step, job, fence),
    ).rowcount
    if changed != 1:
        raise Fenced(job, fence)


def settle_attempt(
    connection: sqlite3.Connection,
    job: int,
    fence: int,
    outcome: Outcome,
    max_deaths: int,
    packed_result: str | None,
    at_ms: int,
) -> Settlement:
    """End an attempt: decide by `lifecycle.settle` what becomes of the job, and record it.

    Args:
        packed_result: the outcome's result as a payload column, for `completed`.

    Raises:
        Fenced: the attempt holds the job no more.
    """
    row = connection.execute(
        "SELECT desired, failures, deaths, max_attempts FROM jobs "
        "WHERE number = ? AND fence = ? AND state = 'running'",
        (job, fence),
    ).fetchone()
    if row is None:
        raise Fenced(job, fence)
    decided = settle(row[0], outcome, Counts(row[1], row[2], row[3], max_deaths))
    if decided.state == "waiting" and _answered(connection, job, decided):
        decided = replace(decided, state="created", waiting=None)
    _record(connection, job, decided, packed_result, at_ms)
    return decided


def _answered(connection: sqlite3.Connection, job: int, decided: Settlement) -> bool:
    """Tell whether the approval that the job is about to wait for was given meanwhile."""
    approval = (decided.waiting or {}).get("approval_id")
    return bool(
        connection.execute(
            "SELECT 1 FROM approvals WHERE id = ? AND job = ? AND state <> 'pending'",
            (approval, job),
        ).fetchone()
    )


def _record(
    connection: sqlite3.Connection,
    job: int,
    decided: Settlement,
    packed_result: str | None,
    at_ms: int,
) -> None:
    assert is_valid_transition("running", decided.state)
    finished = decided.state in TERMINAL
    result = packed_result if decided.state == "completed" else None
    connection.execute(
        "UPDATE jobs SET state = ?, desired = CASE WHEN ? THEN desired ELSE 'run' END, "
        "held = ?, failures = ?, deaths = ?, result = ?, error = ?, waiting = ?, "
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
    if finished:
        connection.execute("DELETE FROM checkpoints WHERE job = ?", (job,))


def _ending(decided: Settlement, packed_result: str | None) -> Draft:
    """Return the event of a settlement; a result beyond the inline bound is left to the job."""
    match decided.state:
        case "completed":
            inline = packed_result if packed_result and packed_result[:1] != "@" else "null"
            if len(inline.encode()) > INLINE_PAYLOAD_BYTES:
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
    """
    rows = connection.execute(
        "SELECT number, desired, failures, deaths, max_attempts FROM jobs WHERE state = 'running' "
        "AND (boot IS NULL OR boot <> ?) ORDER BY priority DESC, number LIMIT ?",
        (boot, limit),
    ).fetchall()
    for number, desired, failures, deaths, max_attempts in rows:
        counts = Counts(failures, deaths, max_attempts, max_deaths)
        decided = settle(desired, Outcome("orphaned"), counts)
        _record(connection, number, decided, None, at_ms)
        # A claim raises the fence too; doing it here refuses the earlier worker from now on.
        connection.execute("UPDATE jobs SET fence = fence + 1 WHERE number = ?", (number,))
    return len(rows)


def release_held(connection: sqlite3.Connection, job: int | None = None) -> None:
    """Let a job that waited out its backoff run again; None means all, as at a start."""
    if job is None:
        connection.execute("UPDATE jobs SET held = 0 WHERE state = 'created' AND held = 1")
    else:
        connection.execute("UPDATE jobs SET held = 0 WHERE number = ?", (job,))


def move(
    connection: sqlite3.Connection,
    job: int,
    before: State,
    after: State,
    draft: Draft,
    at_ms: int,
    desired: Desired = "run",
) -> bool:
    """Change the state of a job that no attempt holds; False where it is no longer `before`."""
    assert is_valid_transition(before, after)
    changed = connection.execute(
        "UPDATE jobs SET state = ?, desired = ?, held = 0, waiting = NULL, finished_at = ? "
        "WHERE number = ? AND state = ?",
        (after, desired, at_ms if after in TERMINAL else None, job, before),
    ).rowcount
    if changed == 1:
        append(connection, job, draft, at_ms)
    return changed == 1


def wish(connection: sqlite3.Connection, job: int, desired: Desired, at_ms: int) -> None:
    """Store what the person wants of a running job; its attempt is told by its supervisor."""
    connection.execute("UPDATE jobs SET desired = ? WHERE number = ?", (desired, job))
    data = dumps({"from": "running", "to": "running", "desired": desired})
    append(connection, job, Draft(events.JOB_STATE, data), at_ms)


def find(connection: sqlite3.Connection, user: str | None, job_id: str) -> sqlite3.Row:
    """Return the row of a job by its id or an unambiguous prefix.

    Args:
        user: whose jobs to look among; None means everybody's.

    Raises:
        NotFound: there is none, or it is another's.
        Conflict: several begin so.
    """
    cursor = connection.cursor()
    cursor.row_factory = sqlite3.Row
    rows = cursor.execute(
        f"SELECT {JOB_COLUMNS} FROM jobs WHERE id >= ? AND id < ? AND (? IS NULL OR user = ?) "
        "LIMIT 2",
        (job_id, job_id + "\x7f", user, user),
    ).fetchall()
    if len(rows) == 2 and rows[0]["id"] != job_id:
        raise Conflict(
            "ambiguous_id", f"Several jobs begin with “{job_id}”.", hint="Give more of the id."
        )
    if not rows or not job_id:
        raise NotFound(
            "job_not_found", f"There is no job “{job_id[:64]}”.", hint="See: regend jobs list"
        )
    row: sqlite3.Row = rows[0]
    return row


def by_number(connection: sqlite3.Connection, job: int) -> sqlite3.Row:
    """Return the row of a job that is known to exist."""
    cursor = connection.cursor()
    cursor.row_factory = sqlite3.Row
    row: sqlite3.Row = cursor.execute(
        f"SELECT {JOB_COLUMNS} FROM jobs WHERE number = ?", (job,)
    ).fetchone()
    return row


def listed(
    connection: sqlite3.Connection,
    user: str,
    *,
    states: Sequence[str] = (),
    type_name: str | None = None,
    words: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[sqlite3.Row]:
    """Return a page of a user's jobs, newest first.

    Args:
        states: only these; empty means all.
        words: only titles that contain this text.
        before: only jobs older than this number (the cursor of the page before).
    """
    clauses, values = ["user = ?"], [user]
    if states:
        clauses.append(f"state IN ({', '.join('?' * len(states))})")
        values += states
    if type_name is not None:
        clauses.append("type = ?")
        values.append(type_name)
    if words:
        escaped = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        clauses.append("title LIKE ? ESCAPE '\\'")
        values.append(f"%{escaped}%")
    parameters: list[Any] = list(values)
    if before is not None:
        clauses.append("number < ?")
        parameters.append(before)
    cursor = connection.cursor()
    cursor.row_factory = sqlite3.Row
    return cursor.execute(
        f"SELECT {JOB_COLUMNS} FROM jobs WHERE {' AND '.join(clauses)} "
        "ORDER BY number DESC LIMIT ?",
        [*parameters, limit],
    ).fetchall()


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """Return how many jobs are in each pending state."""
    found: dict[str, int] = dict.fromkeys(PENDING, 0)
    marks = ", ".join("?" * len(PENDING))
    rows = connection.execute(
        f"SELECT state, count(*) FROM jobs WHERE state IN ({marks}) GROUP BY state", PENDING
    )
    for state, number in rows:
        found[state] = number
    return found
