"""What a person asks on one device of a job that another runs.

A wish travels as a cell of the job: of several the last one holds, but that a job be cancelled is
overtaken by no other wish.

Invariants
1. A wish is kept until it can be judged: by the device that holds the job, once it does and knows
   of the wish, whichever comes first.
2. What became of a wish stands in the job's history (`job:wished:v1`), for people and for the
   devices that hold the job later: within one history a wish is carried out once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from regend import events
from regend.errors import BadInput, Conflict, NotFound
from regend.jobs import approvals, commands
from regend.jobs.folding import HERE
from regend.jobs.history import Draft, append
from regend.jobs.lifecycle import COMMANDS
from regend.jobs.repository import by_number
from regend.jsontext import dumps
from regend.store import cells

_CANCEL: Final = "cancel"
_WISH: Final = "wish"
_ANSWER: Final = "answer "  # and the id of an approval


class CarriedOut(NamedTuple):
    """What became of a job by what people wished of it.

    Attributes:
        row: of the job as it is then.
        slots: digests of saved model states that nothing needs any more.
    """

    row: sqlite3.Row
    slots: list[str]


class _NotYet(Exception):
    """A wish cannot be judged now: what it is about has not come, or a newer program knows it."""


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
        possible = " or ".join(sorted(COMMANDS[command]))
        raise Conflict(
            "wrong_state",
            f"The job is {row['state']} on its device; {command} needs one that is {possible}.",
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


def held_here(connection: sqlite3.Connection, names: Iterable[str]) -> list[str]:
    """Return which of these are ids of jobs that this device holds."""
    rows = connection.execute(
        "SELECT id FROM jobs WHERE remote = ? AND id IN (SELECT value FROM json_each(?)) "
        "ORDER BY number",
        (HERE, dumps(list(names))),
    )
    return [row[0] for row in rows.fetchall()]


def carry_out(
    connection: sqlite3.Connection, job_id: str, at_ms: int, *, leaving: bool = False
) -> CarriedOut | None:
    """Do what people asked elsewhere of a job that is held here, and was not judged yet.

    What does not fit any more has been overtaken by what the job did; that is said.

    Args:
        leaving: whether the mesh is left in which they asked. Then nothing is kept to be judged
            later, and no job is set going: the device that ran it may go on with it.

    Returns:
        None where nothing was ever asked of it, or it is not held here.
    """
    found = connection.execute(
        "SELECT number FROM jobs WHERE id = ? AND remote = ?", (job_id, HERE)
    ).fetchone()
    if found is None:
        return None
    asked = cells.of(connection, job_id)
    if not asked:
        return None
    known = judged(connection, found[0])
    open_ones = [one for one in asked if _name(one) not in known]
    slots = [_judge(connection, found[0], one, at_ms, leaving=leaving) for one in open_ones]
    return CarriedOut(by_number(connection, found[0]), [one for one in slots if one])


def judged(connection: sqlite3.Connection, job: int) -> dict[str, str]:
    """Return what became of the wishes that stand in a job's history: done, or overtaken."""
    rows = connection.execute(
        "SELECT json_extract(data, '$.wish'), json_extract(data, '$.became') FROM events "
        "WHERE job = ? AND type = ?",
        (job, events.JOB_WISHED),
    )
    return dict(rows.fetchall())


def became(connection: sqlite3.Connection, job: int, job_id: str) -> dict[str, str | None]:
    """Return what became of what people last asked of a job, by field; None where that is open."""
    known = judged(connection, job)
    return {one.field: known.get(_name(one)) for one in cells.of(connection, job_id)}


def _name(cell: cells.Cell) -> str:
    """Return what a wish is called in a job's history; a later one of its kind is another."""
    return f"{cell.field} {cell.version} {cell.clock} {cell.device.hex()}"


def _judge(
    connection: sqlite3.Connection, job: int, cell: cells.Cell, at_ms: int, *, leaving: bool
) -> str | None:
    """Carry a wish out, and put on record what became of it.

    Returns:
        The digest of a saved model state that nothing needs any more, if there was one.
    """
    slot, command, outcome, message = None, "", "done", None
    try:
        command = _command(cell)
        if leaving and command in ("resume", "retry"):
            raise Conflict("mesh_left", "This device left the mesh in which that was asked.")
        slot = _carry_out(connection, by_number(connection, job), cell, at_ms)
    except _NotYet:
        if not leaving:
            return None
        outcome, message = "overtaken", "This device left the mesh before it could be judged."
    except (Conflict, BadInput) as error:
        outcome, message = "overtaken", error.message
    said = {"wish": _name(cell), "command": command, "device": cell.device.hex(), "became": outcome}
    if message is not None:
        said["message"] = message
    append(connection, job, Draft(events.JOB_WISHED, dumps(said)), at_ms)
    return slot


def _command(cell: cells.Cell) -> str:
    """Return which command a wish is."""
    if cell.field == _CANCEL:
        return "cancel"
    if cell.field.startswith(_ANSWER):
        if _is_texts(cell.value, 3) and cell.value[1] in ("approve", "deny"):
            return str(cell.value[1])
    elif cell.field == _WISH and isinstance(cell.value, list) and len(cell.value) == 2:
        command, choice = cell.value
        if command in ("pause", "resume", "retry") and (choice is None or type(choice) is str):
            return str(command)
    raise _NotYet


def _is_texts(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count and all(type(v) is str for v in value)


def _carry_out(
    connection: sqlite3.Connection, row: sqlite3.Row, cell: cells.Cell, at_ms: int
) -> str | None:
    """Do what was wished; return as `_judge` does.

    Raises:
        Conflict, BadInput: it does not fit any more.
        _NotYet: it is about what is not here.
    """
    command = _command(cell)
    if command == "cancel":
        return commands.cancel(connection, row, at_ms)
    if command in ("approve", "deny"):
        _decide(connection, row, cell, at_ms)
        return None
    if row["desired"] == "cancel":
        raise Conflict("wrong_state", "The job was cancelled.")
    choice = cell.value[1]
    if command == "resume":
        return commands.resume(connection, row, choice, at_ms)
    if command == "pause":
        commands.pause(connection, row, at_ms)
    else:
        commands.retry(connection, row, at_ms)
    return None


def _decide(connection: sqlite3.Connection, row: sqlite3.Row, cell: cells.Cell, at_ms: int) -> None:
    user, decision, action_hash = cell.value
    approval_id = cell.field.removeprefix(_ANSWER)
    try:
        if approvals.asker(connection, user, approval_id)["number"] != row["number"]:
            raise _NotYet  # it is another job's, which may not be held here
        approvals.decide(connection, user, approval_id, decision, action_hash, at_ms)
    except NotFound as error:
        raise _NotYet from error
    commands.go_on(connection, by_number(connection, row["number"]), at_ms)
