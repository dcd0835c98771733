"""What is to come of jobs that another device runs: checkpoints, and payloads.

A checkpoint is of use here only once the model's saved state lies here too. Until then the one
before it stays, so that at every moment the job could go on from a whole one.

Invariants
1. Of a job at most two checkpoints are to come: the one whose state is being got, and the newest. A
   link that is slower than checkpoints are saved brings one after the other all the same; those in
   between it leaves out.
2. While another device runs the job, only the state of the first of the two is wanted.
3. Nothing is wanted for a checkpoint that was left behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

from regend.jobs.journal import unneeded_slot
from regend.store import changelog
from regend.store.blobs import reference

_LAST: Final = (1 << 63) - 1


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


def want_again(connection: sqlite3.Connection, job: int, digest: str) -> None:
    """Note as wanted what was here and is lost, of whoever has it."""
    own = changelog.current(connection)
    assert own is not None
    want_blob(connection, own.device, digest, job)


def take_checkpoint(
    connection: sqlite3.Connection, job: int, extra: Sequence[Any], device: bytes
) -> None:
    """Take in a job's newest checkpoint; it follows on the one that is being got, if one is."""
    ordinal, position, data, slot, at = extra
    if slot is None:
        forget_coming(connection, job)
        _set(connection, job, ordinal, position, data, None, at)
        want(connection, device, [data], job)
        return
    first = connection.execute("SELECT min(number) FROM coming_places WHERE job = ?", (job,))
    forget_coming(connection, job, after=first.fetchone()[0] or 0)
    connection.execute(
        "INSERT INTO coming_places (job, ordinal, position, data, slot, at, device) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (job, ordinal, position, data, slot, at, device),
    )
    want(connection, device, [data], job)
    _want_next(connection, job)


def drop_checkpoints(connection: sqlite3.Connection, job: int) -> None:
    """Forget the checkpoints of a step that is finished."""
    forget_coming(connection, job)
    _forget_kept(connection, job)


def forget_coming(
    connection: sqlite3.Connection, job: int, after: int = 0, before: int = _LAST
) -> None:
    """Forget the checkpoints of a job that are to come: those of these numbers, or all."""
    which = (job, after, before)
    rows = connection.execute(
        "SELECT slot, data FROM coming_places WHERE job = ? AND number > ? AND number < ?", which
    ).fetchall()
    connection.execute(
        "DELETE FROM coming_places WHERE job = ? AND number > ? AND number < ?", which
    )
    for slot, data in rows:
        _want_no_more(connection, job, slot, reference(data))


def writers(connection: sqlite3.Connection, digest: str) -> set[bytes]:
    """Return who wrote of a payload that is wanted; nobody where it is not."""
    rows = connection.execute("SELECT device FROM wanted_blobs WHERE digest = ?", (digest,))
    return {row[0] for row in rows}


def blob_came(connection: sqlite3.Connection, digest: str) -> list[str]:
    """Take note that a payload is here; a checkpoint that waited for it may be gone on from.

    Returns:
        The digests of saved model states that nothing needs any more.
    """
    connection.execute("DELETE FROM wanted_blobs WHERE digest = ?", (digest,))
    left: list[str | None] = []
    for number, job, *checkpoint in connection.execute(
        "SELECT number, job, ordinal, position, data, slot, at FROM coming_places WHERE slot = ? "
        "ORDER BY number",
        (digest,),
    ).fetchall():
        left.append(_slot_of(connection, job))
        _set(connection, job, *checkpoint)
        connection.execute("DELETE FROM coming_places WHERE number = ?", (number,))
        forget_coming(connection, job, before=number)
        _want_next(connection, job)
    return [one for slot in left if (one := unneeded_slot(connection, slot)) is not None]


def blob_gone(connection: sqlite3.Connection, digest: str) -> None:
    """Take note that the device which wrote of a payload has it no more.

    A model's saved state was left behind there, and its checkpoint with it; anything else is still
    wanted, of whoever has it.
    """
    left = connection.execute(
        "SELECT number, job FROM coming_places WHERE slot = ?", (digest,)
    ).fetchall()
    for number, job in left:
        forget_coming(connection, job, after=number - 1, before=number + 1)
        _want_next(connection, job)


def want_newest(connection: sqlite3.Connection, job: int) -> None:
    """Want the state of a job's newest checkpoint too: the job is to run here, and from there."""
    row = connection.execute(
        "SELECT device, slot FROM coming_places WHERE job = ? ORDER BY number DESC LIMIT 1", (job,)
    ).fetchone()
    if row is not None:
        want_blob(connection, row[0], row[1], job)


def settle_checkpoints(connection: sqlite3.Connection, job: int) -> None:
    """Make the newest checkpoint the one to go on from, though its model's state is not here.

    For a job that is to run here now: it goes on from the older checkpoint where there is one of
    the same step, else from this one, whose text is then evaluated anew.
    """
    row = connection.execute(
        "SELECT ordinal, position, data, at FROM coming_places WHERE job = ? "
        "ORDER BY number DESC LIMIT 1",
        (job,),
    ).fetchone()
    have = connection.execute("SELECT ordinal FROM checkpoints WHERE job = ?", (job,)).fetchone()
    if row is not None and (have is None or have[0] != row[0]):
        _set(connection, job, row[0], row[1], row[2], None, row[3])
    forget_coming(connection, job)


def wanted_of(connection: sqlite3.Connection, job: int) -> list[str]:
    """Return the payloads that a job needs and that are not here."""
    rows = connection.execute("SELECT digest FROM wanted_blobs WHERE job = ?", (job,))
    return [row[0] for row in rows]


def coming_slots(connection: sqlite3.Connection, job: int) -> list[str]:
    """Return the saved states of a model that are still to come for a job."""
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
    """Let this be the checkpoint to go on from; its own data may still be on the way."""
    _forget_kept(connection, job, but=data)
    connection.execute(
        "INSERT INTO checkpoints (job, ordinal, fence, position, data, slot, at) "
        "VALUES (?, ?, 0, ?, ?, ?, ?)",
        (job, ordinal, position, data, slot, at),
    )


def _slot_of(connection: sqlite3.Connection, job: int) -> str | None:
    row = connection.execute("SELECT slot FROM checkpoints WHERE job = ?", (job,)).fetchone()
    return None if row is None else row[0]


def _want_next(connection: sqlite3.Connection, job: int) -> None:
    """Want the state of the first checkpoint that is to come (invariant 2)."""
    row = connection.execute(
        "SELECT device, slot FROM coming_places WHERE job = ? ORDER BY number LIMIT 1", (job,)
    ).fetchone()
    if row is not None:
        want_blob(connection, row[0], row[1], job)


def _forget_kept(connection: sqlite3.Connection, job: int, but: str | None = None) -> None:
    """Forget the checkpoint to go on from.

    Args:
        but: data that is still wanted, if it was.
    """
    row = connection.execute("SELECT data FROM checkpoints WHERE job = ?", (job,)).fetchone()
    connection.execute("DELETE FROM checkpoints WHERE job = ?", (job,))
    if row is not None and row[0] != but:
        _want_no_more(connection, job, reference(row[0]))


def _want_no_more(connection: sqlite3.Connection, job: int, *digests: str | None) -> None:
    connection.executemany(
        "DELETE FROM wanted_blobs WHERE job = ? AND digest = ?",
        [(job, one) for one in digests if one is not None],
    )
