"""Folds what other devices did, and does what follows from it for jobs, in one transaction.

What was given to this device begins to run here, and what people asked elsewhere of jobs that run
here is carried out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from regend.jobs import effects, folding, handover, mirror, wishes
from regend.jobs.history import newest_seq
from regend.jobs.repository import by_number
from regend.jobs.terms import Term
from regend.limits import FRAME_CHANGES
from regend.mesh.lives import life_of
from regend.mesh.unfolding import end_at_cut, fold_parting
from regend.store.change import Change, LogId
from regend.sync import forks, replica
from regend.sync.payloads import Cut
from regend.sync.replica import Folder, Opened, Received, Source


@dataclass
class Consequences:
    """What the parts of the daemon are to be told of, once the changes are committed.

    Attributes:
        wished: jobs of which a person asked something elsewhere, with what is desired now.
        arrived: jobs that run here from now on.
        unneeded: digests of saved model states that nothing needs any more.
    """

    wished: list[tuple[int, str]] = field(default_factory=list)
    arrived: list[int] = field(default_factory=list)
    unneeded: list[str] = field(default_factory=list)


def take_in(
    connection: sqlite3.Connection,
    incoming: Iterable[Opened],
    folders: Mapping[str, Folder],
    cut: Callable[[LogId], Cut | None],
    reopen: forks.Reopen,
    at_ms: int,
) -> tuple[Received, Consequences]:
    """Take frames in, with all that follows from them, in the caller's transaction.

    Args:
        folders: of what is not about jobs.
        cut: up to where a log counts, None where all of it does.
        reopen: opens a stored frame.
    """
    every = {**JOB_FOLDERS, **folders, forks.PARTED: fold_parting(reopen)}

    def fold() -> Received:
        received = replica.receive(connection, incoming, every, cut, at_ms, reopen)

        def take_instead(blobs: list[bytes]) -> None:
            parked = [Opened(blob, *reopen(blob)) for blob in blobs]
            again = replica.receive(connection, parked, every, cut, at_ms)
            received.changes += again.changes
            received.cells += again.cells

        # What was parked of logs that parted now takes the place of the history that did.
        for log in forks.parted_now(connection, received.parted_before):
            take_instead(forks.parked(connection, log))
        for log in {fork.log for fork in received.forks}:
            end = cut(log)
            if end is not None:
                take_instead(end_at_cut(connection, log, end, reopen, at_ms)[1])
        copy = forks.has_parted_here(connection, reopen)
        received.forks += [copy] if copy is not None else []
        return received

    return _follow(connection, fold, at_ms)


def take_up_kept(
    connection: sqlite3.Connection, folders: Mapping[str, Folder], at_ms: int
) -> tuple[Received, Consequences]:
    """Fold a page of what an older program kept for this one, with all that follows from it.

    Args:
        folders: of what is not about jobs.
    """
    every = {**JOB_FOLDERS, **folders}
    return _follow(
        connection, lambda: replica.fold_kept(connection, every, at_ms, FRAME_CHANGES), at_ms
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
    arrived = [by_number(connection, job)["id"] for job in done.arrived]
    for job_id in wishes.held_here(connection, {*arrived, *(name for name, _ in received.cells)}):
        carried = wishes.carry_out(connection, job_id, at_ms)
        if carried is not None:
            done.wished.append((carried.row["number"], carried.row["desired"]))
            done.unneeded += carried.slots
    return received, done


def _job(connection: sqlite3.Connection, source: Source, change: Change) -> None:
    job_id, columns, term = change.fields
    if Term(*term).device != source.log.device:
        raise ValueError(change.kind)  # nobody tells in another's name that a job began there
    folding.fold_job(connection, job_id, columns, term)


def _history(connection: sqlite3.Connection, source: Source, change: Change) -> None:
    by = life_of(source.log, change)
    folding.fold_history(connection, by, *change.fields[:3])


def _term(connection: sqlite3.Connection, _source: Source, change: Change) -> None:
    job_id, term = change.fields
    folding.fold_term(connection, job_id, term)


def _effect(connection: sqlite3.Connection, source: Source, change: Change) -> None:
    job_id, row = change.fields
    effects.fold_effect(connection, source.log.device, job_id, row)


JOB_FOLDERS: Final[Mapping[str, Folder]] = {
    mirror.JOB: _job,
    mirror.HISTORY: _history,
    mirror.TERM: _term,
    mirror.EFFECT: _effect,
}
