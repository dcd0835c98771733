"""What a person asks on one device of a job that another runs.

A wish travels as a cell of the job: the last one holds, and the device that runs the job carries it
out when it learns of it. That a job be cancelled is never overtaken by another wish.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import Any, Final

from regend.errors import BadInput, Conflict, RegendError
from regend.jobs import approvals, commands
from regend.jobs.folding import HERE
from regend.jobs.lifecycle import COMMANDS
from regend.jobs.repository import by_number
from regend.store import cells

_CANCEL: Final = "cancel"
_WISH: Final = "wish"
_ANSWER: Final = "answer "  # and the id of an approval


def wish(
    connection: sqlite3.Connection, row: sqlite3.Row, command: str, choice: str | None, at_ms: int
) -> None:
    """Ask the device that runs a job to do something with it.

    Args:
        command: a name of `COMMANDS` other than fork.
        choice: of a resume.

    Raises:
        Conflict: the job's state, as far as is known here, forbids it.
    """
    if row["state"] not in COMMANDS[command]:
        possible = ", ".join(sorted(COMMANDS[command]))
        raise Conflict(
            "wrong_state",
            f"The job is {row['state']} on its device; {command} is possible from: {possible}.",
        )
    if command == _CANCEL:
        cells.write(connection, [(row["id"], {_CANCEL: True})], at_ms)
    else:
        cells.write(connection, [(row["id"], {_WISH: [command, choice]})], at_ms)


def answer(
    connection: sqlite3.Connection, job_id: str, approval_id: str, said: list[str], at_ms: int
) -> None:
    """Tell the device that runs a job what a person decided.

    Args:
        said: user, decision and action hash.
    """
    cells.write(connection, [(job_id, {_ANSWER + approval_id: said})], at_ms)


def carry_out(
    connection: sqlite3.Connection, job_id: str, field: str, at_ms: int
) -> sqlite3.Row | None:
    """Do what a person asked on another device of a job that is held here.

    A wish that does not fit any more has been overtaken by what the job did; it is dropped.

    Returns:
        The job as it is then; None where nothing was asked of it, or it is not held here.
    """
    number = connection.execute(
        "SELECT number FROM jobs WHERE id = ? AND remote = ?", (job_id, HERE)
    ).fetchone()
    if number is None:
        return None
    row, value = by_number(connection, number[0]), cells.read(connection, job_id, field)
    with contextlib.suppress(Conflict, BadInput):
        _carry_out(connection, row, field, value, at_ms)
    return by_number(connection, number[0])


def cancel_where_wished(connection: sqlite3.Connection, job: int, at_ms: int) -> None:
    """Cancel a job that came here after a person had cancelled it elsewhere."""
    row = by_number(connection, job)
    if cells.read(connection, row["id"], _CANCEL):
        with contextlib.suppress(Conflict):
            commands.cancel(connection, row, at_ms)


def _carry_out(
    connection: sqlite3.Connection, row: sqlite3.Row, field: str, value: Any, at_ms: int
) -> None:
    if field == _CANCEL:
        commands.cancel(connection, row, at_ms)
    elif field.startswith(_ANSWER):
        user, decision, action_hash = value
        approval_id = field.removeprefix(_ANSWER)
        with contextlib.suppress(RegendError):
            approvals.decide(connection, user, approval_id, decision, action_hash, at_ms)
            commands.go_on(connection, by_number(connection, row["number"]), at_ms)
    elif field == _WISH:
        command, choice = value
        if command == "pause":
            commands.pause(connection, row, at_ms)
        elif command == "resume":
            commands.resume(connection, row, choice, at_ms)
        elif command == "retry":
            commands.retry(connection, row, at_ms)
