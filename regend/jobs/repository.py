"""Jobs in the store: plain functions that take a connection, so that several share a transaction.

Invariants
1. Every change of state is one compare-and-set UPDATE plus its event, in one transaction.
2. What a worker writes carries its fence; a stale fence changes nothing and raises `Fenced`.
3. One (user, idempotency key) makes one job; the same key with another request is refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from regend import events
from regend.errors import Conflict, NotFound
from regend.jobs.history import Draft, append, insert
from regend.jobs.keys import clash
from regend.jobs.lifecycle import (
    PENDING,
    TERMINAL,
    Desired,
    State,
    is_valid_transition,
)
from regend.jsontext import dumps

_NAMED_ALIKE = 5  # jobs whose ids begin alike are listed as far as one looks at them


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
    input: str
    model: str
    seed: int
    attempt: int
    fence: int
    priority: int


JOB_COLUMNS = (
    "number, id, user, type, title, state, desired, held, priority, attempt, failures, deaths, "
    "max_attempts, fence, seed, model, input, result, error, waiting, progress, step, parent_id, "
    "owner_device, device, remote, created_at, updated_at, finished_at, "
    "coalesce((SELECT seq FROM events WHERE job = number ORDER BY job_seq DESC LIMIT 1), 0) "
    "AS last_seq, EXISTS (SELECT 1 FROM terms a JOIN terms b ON b.job_id = a.job_id "
    "AND b.number = a.number AND b.id > a.id WHERE a.job_id = jobs.id) AS contested, "
    "(SELECT count(*) FROM wanted_blobs WHERE job = number) AS lacking"
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
                raise clash()
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
        "SELECT 1 FROM jobs WHERE state = 'created' AND held = 0 AND remote = 0 LIMIT 1"
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
        "FROM jobs WHERE state = 'created' AND held = 0 AND remote = 0 "
        "ORDER BY priority DESC, number LIMIT 1) "
        "RETURNING number, id, user, type, input, model, seed, attempt, fence, priority, job_seq",
        (boot, at_ms),
    ).fetchone()
    if row is None:
        return None
    data = f'{{"from":"created","to":"running","attempt":{row[7]}}}'
    insert(connection, row[0], row[10], Draft(events.JOB_STATE, data), at_ms)
    return Claim(*row[:10])


def is_held(connection: sqlite3.Connection, job: int, fence: int) -> bool:
    """Tell whether an attempt still holds its job."""
    row = connection.execute(
        "SELECT 1 FROM jobs WHERE number = ? AND fence = ? AND state = 'running'", (job, fence)
    ).fetchone()
    return row is not None


def touch(connection: sqlite3.Connection, job: int, fence: int, events_: int, at_ms: int) -> int:
    """Reserve `events_` places in a running job's history for the attempt that holds it.

    Returns:
        The last reserved `job_seq`.

    Raises:
        Fenced: the attempt holds the job no more.
    """
    # Two statements: RETURNING costs more than a look at the row that was just changed.
    changed = connection.execute(
        "UPDATE jobs SET job_seq = job_seq + ?1, updated_at = iif(?1, ?2, updated_at) "
        "WHERE number = ?3 AND fence = ?4 AND state = 'running'",
        (events_, at_ms, job, fence),
    ).rowcount
    if changed != 1:
        raise Fenced(job, fence)
    row = connection.execute("SELECT job_seq FROM jobs WHERE number = ?", (job,)).fetchone()
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


# Whether payloads of a job are still to come from another device.
IS_COMING = "EXISTS (SELECT 1 FROM wanted_blobs WHERE job = number)"


def release_held(connection: sqlite3.Connection, job: int) -> None:
    """Let a job that waited out its backoff run again, if it waits for no payload by now."""
    connection.execute(f"UPDATE jobs SET held = {IS_COMING} WHERE number = ?", (job,))


def release_all_held(connection: sqlite3.Connection) -> None:
    """Let every job run again that waited out a backoff when the daemon ended.

    One that came from another device waits on where payloads of it are still to come.
    """
    connection.execute(
        "UPDATE jobs SET held = 0 WHERE state = 'created' AND held = 1 "
        "AND NOT EXISTS (SELECT 1 FROM wanted_blobs WHERE job = number)"
    )


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
        f"UPDATE jobs SET state = ?, desired = ?, held = {IS_COMING}, waiting = NULL, "
        "finished_at = ? WHERE number = ? AND state = ?",
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
    rows = (
        []
        if not job_id.isascii()
        else cursor.execute(
            f"SELECT {JOB_COLUMNS} FROM jobs WHERE id >= ? AND id < ? AND (? IS NULL OR user = ?) "
            "ORDER BY id LIMIT ?",
            (job_id, job_id + "\x7f", user, user, _NAMED_ALIKE + 1),
        ).fetchall()
    )
    if len(rows) > 1 and rows[0]["id"] != job_id:
        ids = [row["id"] for row in rows[:_NAMED_ALIKE]] + ["…"] * (len(rows) > _NAMED_ALIKE)
        raise Conflict(
            "ambiguous_id",
            f"Several jobs begin with “{job_id}”.",
            hint=f"Give more of the id: {', '.join(ids)}",
        )
    if not rows or not job_id:
        asked = job_id[:64].encode(errors="replace").decode()
        raise NotFound("job_not_found", f"There is no job “{asked}”.", hint="See: regend jobs list")
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
