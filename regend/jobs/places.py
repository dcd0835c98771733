"""Saved places of jobs that another device runs, and the payloads that are still to come.

A place is of use here only once the model's saved state lies here too. Until then the one before
it stays, so that at every moment the job could go on from a whole one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from regend.store.blobs import reference


def want(
    connection: sqlite3.Connection,
    device: bytes,
    columns: Iterable[str | None],
    job: int | None,
) -> None:
    """Note the payloads that columns refer to as wanted; whether they are here is seen later.

    Args:
        device: which has them.
        job: that needs them to go on, if one does.
    """
    for column in columns:
        digest = reference(column)
        if digest is not None:
            want_blob(connection, device, digest, job)


def want_blob(connection: sqlite3.Connection, device: bytes, digest: str, job: int | None) -> None:
    """Note a payload as wanted."""
    connection.execute(
        "INSERT OR IGNORE INTO wanted_blobs (digest, device, job, at) "
        "VALUES (?, ?, ?, coalesce((SELECT max(at) FROM wanted_blobs), 0) + 1)",
        (digest, device, job or 0),
    )


def take_place(
    connection: sqlite3.Connection, job: int, extra: Sequence[Any], device: bytes
) -> None:
    """Take in the newest place of a job; the model's state of an older one is wanted no more."""
    ordinal, position, data, slot, at = extra
    _forget_coming(connection, job)
    want(connection, device, [data], job)
    if slot is None:
        _set(connection, job, ordinal, position, data, None, at)
        return
    connection.execute(
        "INSERT INTO coming_places (job, ordinal, position, data, slot, at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (job, ordinal, position, data, slot, at),
    )
    want_blob(connection, device, slot, job)


def drop_places(connection: sqlite3.Connection, job: int) -> None:
    """Forget the places of a step that is finished."""
    _forget_coming(connection, job)
    connection.execute("DELETE FROM checkpoints WHERE job = ?", (job,))


def blob_came(connection: sqlite3.Connection, digest: str) -> None:
    """Take note that a payload is here; a place that waited for it may be gone on from."""
    connection.execute("DELETE FROM wanted_blobs WHERE digest = ?", (digest,))
    for job, ordinal, position, data, slot, at in connection.execute(
        "SELECT job, ordinal, position, data, slot, at FROM coming_places WHERE slot = ?", (digest,)
    ).fetchall():
        _set(connection, job, ordinal, position, data, slot, at)
        connection.execute("DELETE FROM coming_places WHERE job = ?", (job,))


def blob_gone(connection: sqlite3.Connection, digest: str) -> None:
    """Take note that the device which wrote of a payload has it no more.

    A model's saved state was left behind there, and its place with it; anything else is still
    wanted, of whoever has it.
    """
    left = connection.execute("DELETE FROM coming_places WHERE slot = ?", (digest,)).rowcount
    if left:
        connection.execute("DELETE FROM wanted_blobs WHERE digest = ?", (digest,))


def settle_places(connection: sqlite3.Connection, job: int) -> None:
    """Make the newest place the one to go on from, though its model's state is not here.

    For a job that is to run here now: it goes on from the older place where there is one of the
    same step, else from this one, whose text is then evaluated anew.
    """
    row = connection.execute(
        "SELECT ordinal, position, data, at FROM coming_places WHERE job = ?", (job,)
    ).fetchone()
    have = connection.execute("SELECT ordinal FROM checkpoints WHERE job = ?", (job,)).fetchone()
    if row is not None and (have is None or have[0] != row[0]):
        _set(connection, job, row[0], row[1], row[2], None, row[3])
    _forget_coming(connection, job)


def wanted_of(connection: sqlite3.Connection, job: int) -> list[str]:
    """Return the payloads that a job needs and that are not here."""
    rows = connection.execute("SELECT digest FROM wanted_blobs WHERE job = ?", (job,))
    return [row[0] for row in rows]


def coming_slots(connection: sqlite3.Connection, job: int) -> list[str]:
    """Return the saved state of a model that is still to come for a job."""
    rows = connection.execute("SELECT slot FROM coming_places WHERE job = ?", (job,))
    return [row[0] for row in rows]


def _set(
    connection: sqlite3.Connection,
    job: int,
    ordinal: int,
    position: int,
    data: str,
    slot: str | None,
    at: int,
) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO checkpoints (job, ordinal, fence, position, data, slot, at) "
        "VALUES (?, ?, 0, ?, ?, ?, ?)",
        (job, ordinal, position, data, slot, at),
    )


def _forget_coming(connection: sqlite3.Connection, job: int) -> None:
    connection.execute(
        "DELETE FROM wanted_blobs WHERE digest IN (SELECT slot FROM coming_places WHERE job = ?)",
        (job,),
    )
    connection.execute("DELETE FROM coming_places WHERE job = ?", (job,))
