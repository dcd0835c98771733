"""What a person may ask of a job, each as one transaction on its row.

Each function takes the job's row as `repository.find` returned it in the same transaction, and
raises Conflict with the states from which the command is possible. Asking twice for what is so
already is no error.
"""

from __future__ import annotations

import json
import sqlite3

from regend import events
from regend.errors import BadInput, Conflict
from regend.jobs.approvals import is_decided
from regend.jobs.history import Draft
from regend.jobs.journal import copy_steps, drop_checkpoint, drop_steps_from, finished_steps
from regend.jobs.lifecycle import COMMANDS, State
from regend.jobs.mirror import tell_effect
from regend.jobs.repository import NewJob, create, move, wish
from regend.jsontext import dumps


def cancel(connection: sqlite3.Connection, row: sqlite3.Row, at_ms: int) -> str | None:
    """Wish the job cancelled; one that no worker holds is cancelled at once.

    Returns:
        The digest of a saved model state that nothing needs any more, if there was one.
    """
    if row["state"] == "cancelled":
        return None
    _require("cancel", row)
    if row["state"] == "running":
        if row["desired"] != "cancel":
            wish(connection, row["number"], "cancel", at_ms)
        return None
    draft = Draft(events.JOB_CANCELLED, "{}")
    move(connection, row["number"], row["state"], "cancelled", draft, at_ms, "cancel")
    return drop_checkpoint(connection, row["number"])


def pause(connection: sqlite3.Connection, row: sqlite3.Row, at_ms: int) -> None:
    """Wish the job paused; a running one stops at its next checkpoint."""
    if row["state"] == "paused":
        return
    _require("pause", row)
    if row["state"] == "running":
        if row["desired"] == "run":
            wish(connection, row["number"], "pause", at_ms)
        return
    _move(connection, row, "paused", at_ms)


def resume(
    connection: sqlite3.Connection, row: sqlite3.Row, choice: str | None, at_ms: int
) -> str | None:
    """Let a paused job, or one that waits for a choice, go on.

    Args:
        choice: for a job whose program changed: `go_on` keeps the steps before the change,
            `restart` keeps none. For one with an effect of unknown fate: `done` or `again`.

    Returns:
        The digest of a saved model state that nothing needs any more, if there was one.
    """
    if row["state"] == "running" and row["desired"] == "pause":
        wish(connection, row["number"], "run", at_ms)
        return None
    if _goes_on(row):
        return None
    _require("resume", row)
    slot = _choose(connection, row, choice, at_ms) if row["state"] == "waiting" else None
    _move(connection, row, "created", at_ms, **_dropped(row, choice))
    return slot


def go_on(connection: sqlite3.Connection, row: sqlite3.Row, at_ms: int) -> None:
    """Queue a job whose approval was decided; one that waits for something else stays."""
    waiting = json.loads(row["waiting"]) if row["waiting"] else {}
    asked = waiting.get("approval_id") if waiting.get("reason") == "approval" else None
    if row["state"] == "waiting" and is_decided(connection, row["number"], asked):
        _move(connection, row, "created", at_ms)


def retry(connection: sqlite3.Connection, row: sqlite3.Row, at_ms: int) -> None:
    """Let a failed job try again; its finished steps are kept."""
    if _goes_on(row):
        return
    _require("retry", row)
    connection.execute(
        "UPDATE jobs SET failures = 0, deaths = 0, error = NULL WHERE number = ?", (row["number"],)
    )
    _move(connection, row, "created", at_ms)


def fork(
    connection: sqlite3.Connection,
    row: sqlite3.Row,
    new: NewJob,
    step: int | None,
    at_ms: int,
) -> int:
    """Make a new job that shares the steps of this one up to `step`; return its number.

    Args:
        new: the job to be; its seed must be that of the parent for text to continue the same.
        step: ordinal of the last shared step; None means all that are finished, 0 means none.
    """
    finished = finished_steps(connection, row["number"])
    last = finished if step is None else step
    if last > finished:
        raise BadInput(
            "step_not_found",
            f"The job has {finished} finished steps; it cannot be forked after step {last}.",
            field="step",
        )
    number, is_new = create(connection, new, at_ms)
    if is_new:
        copy_steps(connection, row["number"], number, last)
    return number


def _move(
    connection: sqlite3.Connection, row: sqlite3.Row, after: State, at_ms: int, **more: int
) -> None:
    data = dumps({"from": row["state"], "to": after, **more})
    draft = Draft(events.JOB_STATE, data)
    move(connection, row["number"], row["state"], after, draft, at_ms)


def _goes_on(row: sqlite3.Row) -> bool:
    """Tell whether a job is queued or runs, and nobody wished it stopped."""
    return row["state"] in ("created", "running") and row["desired"] == "run"


def _dropped(row: sqlite3.Row, choice: str | None) -> dict[str, int]:
    """Return from which step on a choice runs them again, as the event tells it."""
    waiting = json.loads(row["waiting"]) if row["waiting"] else {}
    if row["state"] != "waiting" or choice not in ("restart", "go_on"):
        return {}
    return {"dropped_from": 0 if choice == "restart" else int(waiting.get("ordinal", 0))}


def _choose(
    connection: sqlite3.Connection, row: sqlite3.Row, choice: str | None, at_ms: int
) -> str | None:
    """Apply the person's choice to a waiting job; return as `resume` does."""
    waiting = json.loads(row["waiting"]) if row["waiting"] else {}
    reason = waiting.get("reason")
    if reason == "approval":
        raise Conflict(
            "approval_pending",
            "The job waits for your decision, not for a resume.",
            hint="Decide: regend jobs approve",
        )
    choices = waiting.get("choices", [])
    if choices and choice not in choices:
        raise BadInput(
            "choice_needed",
            f"{waiting.get('message', 'The job waits for a choice.')}",
            hint=f"Resume with “choice”: one of {', '.join(choices)}.",
            field="choice",
        )
    ordinal = int(waiting.get("ordinal", 0))
    if choice == "restart":
        return drop_steps_from(connection, row["number"], 0)
    if choice == "go_on":
        return drop_steps_from(connection, row["number"], ordinal)
    if choice in ("done", "again"):
        state = "confirmed" if choice == "done" else "repeat"
        connection.execute(
            "UPDATE effects SET state = ? WHERE job = ? AND ordinal = ?",
            (state, row["number"], ordinal),
        )
        tell_effect(connection, row["number"], ordinal, at_ms)
    return None


def _require(command: str, row: sqlite3.Row) -> None:
    possible = COMMANDS[command]
    if row["state"] not in possible:
        states = " or ".join(sorted(possible))
        raise Conflict(
            "wrong_state",
            f"The job is {row['state']}; {command} needs one that is {states}.",
            hint=_HINTS.get((command, row["state"]), ""),
        )


_HINTS = {
    ("pause", "completed"): "It is done; nothing is left to pause.",
    ("cancel", "completed"): "It is done; nothing is left to cancel.",
    ("retry", "completed"): "It is done. To go another way, fork it: regend jobs fork ID",
    ("retry", "cancelled"): "A cancelled job stays cancelled. Fork it: regend jobs fork ID",
    ("resume", "failed"): "Retry it: regend jobs retry ID",
    ("resume", "cancelled"): "A cancelled job stays cancelled. Fork it: regend jobs fork ID",
    ("resume", "completed"): "It is done. To go another way, fork it: regend jobs fork ID",
}
