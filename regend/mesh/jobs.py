"""What the mesh does with jobs: the one place that knows both.

Folding what came, moving jobs, carrying out what a person asked on another device: all in the
transaction that takes the changes in.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from regend.jobs import folding, handover, mirror, wishes
from regend.jobs.history import newest_seq
from regend.limits import FRAME_CHANGES
from regend.store.change import Change, LogId
from regend.sync import replica
from regend.sync.replica import Folder, Opened, Received, Source


@dataclass
class Consequences:
    """What the parts of the daemon are to be told of, once the changes are committed.

    Attributes:
        wished: jobs of which a person asked something elsewhere, with what is desired now.
        arrived: jobs that run here from now on.
    """

    wished: list[tuple[int, str]] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)


def take_in(
    connection: sqlite3.Connection,
    incoming: Iterable[Opened],
    folders: Mapping[str, Folder],
    cut: Callable[[LogId], int | None],
    at_ms: int,
) -> tuple[Received, Consequences]:
    """Take frames in, with all that follows from them, in the caller's transaction."""
    return _follow(
        connection, lambda: replica.receive(connection, incoming, folders, cut, at_ms), at_ms
    )


def take_up_kept(
    connection: sqlite3.Connection, folders: Mapping[str, Folder], at_ms: int
) -> tuple[Received, Consequences]:
    """Fold a page of what an older program kept for this one, with all that follows from it."""
    return _follow(
        connection,
        lambda: replica.fold_kept(connection, folders, at_ms, FRAME_CHANGES),
        at_ms,
    )


def _follow(
    connection: sqlite3.Connection, fold: Callable[[], Received], at_ms: int
) -> tuple[Received, Consequences]:
    """Fold what others did, and do what follows from it."""
    while mirror.collect(connection, at_ms):
        pass  # what happened here stands in the log before what follows from others' changes
    received = fold()
    mirror.move_cursor(connection, newest_seq(connection))
    done = Consequences()
    done.arrived = handover.arrivals(connection, at_ms)
    for job in done.arrived:
        wishes.cancel_where_wished(connection, job, at_ms)
    for name, cell in received.cells:
        row = wishes.carry_out(connection, name, cell, at_ms)
        if row is not None:
            done.wished.append((row["number"], row["desired"]))
    return received, done


def _job(connection: sqlite3.Connection, _source: Source, change: Change) -> None:
    job_id, columns, term = change.fields
    folding.fold_job(connection, job_id, columns, term)


def _history(connection: sqlite3.Connection, source: Source, change: Change) -> None:
    job_id, term, said = change.fields
    folding.fold_history(connection, source.log, job_id, term, said)


def _term(connection: sqlite3.Connection, _source: Source, change: Change) -> None:
    job_id, term = change.fields
    folding.fold_term(connection, job_id, term)


def _effect(connection: sqlite3.Connection, _source: Source, change: Change) -> None:
    job_id, row = change.fields
    folding.fold_effect(connection, job_id, row)


JOB_FOLDERS: Final[Mapping[str, Folder]] = {
    mirror.JOB: _job,
    mirror.HISTORY: _history,
    mirror.TERM: _term,
    mirror.EFFECT: _effect,
}


def state_hash(connection: sqlite3.Connection) -> bytes:
    """Return the hash of what all changes together make: equal on devices that have the same."""
    digest = hashlib.blake2b(digest_size=16)
    for query in _STATE:
        for row in connection.execute(query):
            digest.update(repr(row).encode())
        digest.update(b"|")
    return digest.digest()


_STATE: Final = (
    "SELECT id, term, job_seq, history FROM jobs WHERE term IS NOT NULL ORDER BY id",
    "SELECT job_id, branch, place, at, data FROM strays ORDER BY job_id, branch, place",
    "SELECT object, field, value, version, clock, device FROM cells ORDER BY object, field",
    "SELECT id, state = 'gone' FROM shared_documents ORDER BY id",
    "SELECT j.id, e.ordinal, e.state, e.receipt FROM effects e JOIN jobs j ON j.number = e.job "
    "WHERE j.term IS NOT NULL ORDER BY j.id, e.ordinal",
)
