"""Questions to a person: asked once at a place of a program, answered once.

Invariants
1. An approval is bound to the hash of the exact arguments.
2. There is one answer, and it stays.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from regend import events
from regend.errors import Conflict, NotFound
from regend.jobs.history import Draft, append, insert
from regend.jobs.lifecycle import TERMINAL
from regend.jobs.repository import by_number, touch
from regend.jsontext import dumps


@dataclass(frozen=True, slots=True)
class Approval:
    """A question to a person. `decision` is None as long as it is open."""

    id: str
    ordinal: int
    action_hash: str
    decision: str | None


def request(
    connection: sqlite3.Connection,
    job: int,
    fence: int,
    approval: Approval,
    action: str,
    preview: str,
    at_ms: int,
) -> Approval:
    """Ask a person, or return what was asked and answered before at this place of the program.

    Raises:
        Fenced: the attempt holds the job no more.
        Conflict: the arguments are not those that were asked about.
    """
    touch(connection, job, fence, 0, at_ms)
    known = connection.execute(
        "SELECT id, ordinal, action_hash, CASE state WHEN 'pending' THEN NULL ELSE state END "
        "FROM approvals WHERE job = ? AND ordinal = ?",
        (job, approval.ordinal),
    ).fetchone()
    if known is not None:
        if known[2] != approval.action_hash:
            raise Conflict(
                "approval_changed",
                "The action is no longer the one that was shown for approval.",
                hint="Fork the job to ask anew.",
            )
        return Approval(*known)
    job_seq = touch(connection, job, fence, 1, at_ms)
    connection.execute(
        "INSERT INTO approvals (id, job, ordinal, action, action_hash, preview, state, "
        "requested_at) VALUES (?, ?, ?, ?, ?, ?, 'pending', ?)",
        (approval.id, job, approval.ordinal, action, approval.action_hash, preview, at_ms),
    )
    shown = (
        f'{{"id":"{approval.id}","action":{dumps(action)},"action_hash":"{approval.action_hash}"}}'
    )
    insert(connection, job, job_seq, Draft(events.APPROVAL_REQUESTED, shown), at_ms)
    return approval


def pending(connection: sqlite3.Connection, user: str) -> list[dict[str, Any]]:
    """Return what waits for this person's word, oldest first; `preview` is a payload column."""
    rows = connection.execute(
        "SELECT a.id, j.id, j.title, a.action, a.action_hash, a.preview, a.requested_at "
        "FROM approvals a JOIN jobs j ON j.number = a.job "
        "WHERE a.state = 'pending' AND j.user = ? AND j.state = 'waiting' ORDER BY a.requested_at",
        (user,),
    )
    names = ("id", "job_id", "title", "action", "action_hash", "preview", "requested_at")
    return [dict(zip(names, row, strict=True)) for row in rows]


def type_that_asks(connection: sqlite3.Connection, user: str, approval_id: str) -> str:
    """Return the type of the job that asked this question.

    Raises:
        NotFound: there is no such question, or it is another's.
    """
    row = connection.execute(
        "SELECT j.type FROM approvals a JOIN jobs j ON j.number = a.job "
        "WHERE a.id = ? AND j.user = ?",
        (approval_id, user),
    ).fetchone()
    if row is None:
        raise _no_question()
    return str(row[0])


def asker(connection: sqlite3.Connection, user: str, approval_id: str) -> sqlite3.Row:
    """Return the row of the job that asked a question.

    Raises:
        NotFound: there is no such question, or it is another's.
    """
    row = connection.execute(
        "SELECT a.job FROM approvals a JOIN jobs j ON j.number = a.job "
        "WHERE a.id = ? AND j.user = ?",
        (approval_id, user),
    ).fetchone()
    if row is None:
        raise _no_question()
    return by_number(connection, row[0])


def is_decided(connection: sqlite3.Connection, job: int, approval_id: str | None) -> bool:
    """Tell whether a question of a job was answered."""
    row = connection.execute(
        "SELECT 1 FROM approvals WHERE id = ? AND job = ? AND state <> 'pending'",
        (approval_id, job),
    ).fetchone()
    return row is not None


def decide(
    connection: sqlite3.Connection,
    user: str,
    approval_id: str,
    decision: str,
    action_hash: str,
    at_ms: int,
) -> int:
    """Record a person's answer and return the number of the job that may go on.

    The same answer twice is one answer.

    Raises:
        NotFound: there is no such question, or it is another's.
        Conflict: it was answered otherwise, or the hash is not that of what was asked.
    """
    row = connection.execute(
        "SELECT a.job, a.action_hash, a.state, j.state "
        "FROM approvals a JOIN jobs j ON j.number = a.job "
        "WHERE a.id = ? AND j.user = ?",
        (approval_id, user),
    ).fetchone()
    if row is None:
        raise _no_question()
    job, expected, state, job_state = row
    if action_hash != expected:
        raise Conflict(
            "approval_hash",
            "The action_hash is not that of the action that waits.",
            hint="Read the approval again and decide on what it shows now.",
        )
    answer = "approved" if decision == "approve" else "denied"
    if state == answer:
        return int(job)
    if state != "pending":
        raise Conflict("approval_decided", f"It was {state} already.")
    if job_state in TERMINAL:
        raise Conflict("job_ended", f"The job is {job_state}; there is nothing to decide any more.")
    connection.execute(
        "UPDATE approvals SET state = ?, decided_at = ? WHERE id = ?", (answer, at_ms, approval_id)
    )
    shown = dumps({"id": approval_id, "decision": answer})
    append(connection, job, Draft(events.APPROVAL_DECIDED, shown), at_ms)
    return int(job)


def _no_question() -> NotFound:
    return NotFound("approval_not_found", "There is no such approval.")
