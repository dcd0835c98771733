"""What a life of a home did to jobs, where a copy of the home may have done otherwise.

When two copies of a home wrote on in one log, both believe to hold the same terms, and what they
did in them stands at the same places of the same branches. One of them parts (`forks`): it writes
what it did again in the log of a new life.

Invariants
1. What was done in a term that began before the copy is told as another branch, the new life's, and
   stays beside the history. A grant from such a term is void: the other copy may have given the job
   elsewhere, and its base lies in a branch that does not hold.
2. A term that began after the copy is known to this life alone. It stays as it is: what was done in
   it is told on behalf of the old life, and its jobs go on here, granted to the new life.
3. What a device makes of a log that parted is the same whether it had folded it before or not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

from regend.jobs import folding, handover, mirror
from regend.jobs.folding import HERE
from regend.jobs.history import newest_seq
from regend.jobs.terms import Term, branch
from regend.store.change import INCARNATION_BYTES, Change, LogId
from regend.sync import forks
from regend.sync.packing import unpack


def life_of(log: LogId, history: Change) -> LogId:
    """Return the log of the life that did what a `history` change tells.

    Args:
        log: that the change stands in.

    Raises:
        ValueError: it names none.
    """
    if len(history.fields) == 3:
        return log
    incarnation = history.fields[3]
    if type(incarnation) is not bytes or len(incarnation) != INCARNATION_BYTES:
        raise ValueError(history.kind)
    return LogId(log.device, incarnation)


def shared_of_jobs(
    log: LogId, tail: Sequence[Change]
) -> dict[str, tuple[list[tuple[bytes, int]], list[bytes]]]:
    """Return what of jobs in the parted end of a log counts no more (invariant 1).

    Returns:
        By job: branch and place of events, and ids of terms.
    """
    begun = _begun(log, tail)
    found: dict[str, tuple[list[tuple[bytes, int]], list[bytes]]] = {}
    for change in tail:
        if _is_shared_history(log, change, begun):
            told, _ = found.setdefault(change.fields[0], ([], []))
            by = branch(change.fields[1], *log)
            told += [(by, event[0]) for event in change.fields[2]]
        elif _is_void(change, begun):
            found.setdefault(change.fields[0], ([], []))[1].append(change.fields[1][0])
    return found


def begin_anew(
    connection: sqlite3.Connection,
    forked: LogId,
    common: int,
    new: LogId,
    reopen: forks.Reopen,
    at_ms: int,
) -> None:
    """Let this home go on in a new life, whose old log went two ways behind a change.

    Args:
        reopen: opens a stored frame.
    """
    while mirror.collect(connection, at_ms):
        pass
    unpack(connection, forked, common, reopen)
    tail = forks.behind(connection, forked, common)
    begun = _begun(forked, tail)
    forks.part(connection, forked, common, new, _again(forked, tail, begun), at_ms)
    for job_id, (told, terms) in shared_of_jobs(forked, tail).items():
        folding.take_out(connection, job_id, told, terms)
    for change in tail:
        if _is_shared_history(forked, change, begun):
            folding.fold_history(connection, new, *change.fields)
    mirror.move_cursor(connection, newest_seq(connection))
    held = connection.execute("SELECT number, term, state FROM jobs WHERE remote = ?", (HERE,))
    for number, term, state in held.fetchall():
        if term in begun and state not in ("completed", "cancelled"):
            handover.keep(connection, number, new, at_ms)


def _begun(log: LogId, tail: Iterable[Change]) -> set[bytes]:
    """Return the ids of the terms of a log's device that began in its parted end."""
    told = (change.fields[-1] for change in tail if change.kind in (mirror.JOB, mirror.TERM))
    terms = (Term(*one) for one in told)
    return {one.id for one in terms if (one.device, one.incarnation) == log}


def _is_shared_history(log: LogId, change: Change, begun: set[bytes]) -> bool:
    if change.kind != mirror.HISTORY or life_of(log, change) != log:
        return False
    return change.fields[1] not in begun


def _is_void(change: Change, begun: set[bytes]) -> bool:
    if change.kind != mirror.TERM:
        return False
    term = Term(*change.fields[1])
    return term.how == "granted" and term.previous not in begun


def _again(forked: LogId, tail: Iterable[Change], begun: set[bytes]) -> Iterator[Change]:
    """Yield what of a log's parted end is written again in the new life's."""
    for change in tail:
        if change.kind == mirror.HISTORY and not _is_shared_history(forked, change, begun):
            told = [*change.fields[:3], life_of(forked, change).incarnation]
            yield change._replace(fields=told)
        elif not _is_void(change, begun):
            yield change
