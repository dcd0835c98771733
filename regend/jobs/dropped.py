"""Steps that a person chose to run again: not replayed any more, and kept.

Whether they were dropped is told by an event. Where the branch with that event gives way to
another, they count again: a job's steps are what its history says.
"""

from __future__ import annotations

import sqlite3

from regend.jobs.mirror import STEP_COLUMNS


def drop(connection: sqlite3.Connection, job: int, ordinal: int, place: int) -> None:
    """Drop a job's steps from `ordinal` on.

    Args:
        place: of the event that tells of it.
    """
    connection.execute(
        f"INSERT OR REPLACE INTO dropped_steps (job, place, {STEP_COLUMNS}) "
        f"SELECT job, ?, {STEP_COLUMNS} FROM steps WHERE job = ? AND ordinal >= ?",
        (place, job, ordinal),
    )
    connection.execute("DELETE FROM steps WHERE job = ? AND ordinal >= ?", (job, ordinal))


def bring_back(connection: sqlite3.Connection, job: int, place: int) -> None:
    """Let the steps count again that the event at `place` had dropped."""
    connection.execute(
        f"INSERT OR REPLACE INTO steps (job, fence, {STEP_COLUMNS}) "
        f"SELECT job, 0, {STEP_COLUMNS} FROM dropped_steps WHERE job = ? AND place = ?",
        (job, place),
    )
    connection.execute("DELETE FROM dropped_steps WHERE job = ? AND place = ?", (job, place))
