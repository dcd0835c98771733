"""What counts no more is taken back where it was folded already.

That is what a revoked device wrote past its cut, and a history of a log that its device has parted
from another and written again in another log.

Others may have handed on what a revoked device wrote before they learned of the revocation. What
counts of it is what the one that revoked it had of its logs; everybody comes to the same. What this
program could not fold, and keeps for a newer one, made nothing here that would have to be taken
back.

An effect that was told of stays told of: that something was done outside is never forgotten.
Whoever had heard of it tells it again, in its own log, to those who had not.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator

from regend.jobs import mirror
from regend.jobs.folding import take_out
from regend.jobs.history import newest_seq
from regend.jobs.terms import branch
from regend.mesh import lives
from regend.mesh.documents import FOLDERS, disown, documents_of
from regend.mesh.lives import life_of, shared_of_jobs
from regend.store import cells, changelog
from regend.store.change import Change, LogId, first_head, unpack
from regend.sync import forks
from regend.sync.forks import Reopen
from regend.sync.frame import heads_of
from regend.sync.payloads import Cut
from regend.sync.replica import Folder, Source, readable


def end_at_cut(
    connection: sqlite3.Connection, log: LogId, cut: Cut, reopen: Reopen, at_ms: int
) -> tuple[int, list[bytes]]:
    """Let a log end at its cut; or, where it went two ways, leave the way that was not cut.

    A home that was copied, and is put out before it could tell which of its histories goes on, has
    that one which the device had that put it out. Whoever has the other keeps it up to the cut, as
    long as the right one has not come.

    What an earlier life of this home did past a cut is told again by this one: here nothing is lost
    of it.

    Args:
        reopen: opens a stored frame.

    Returns:
        How many changes were taken back, and the frames that count in their stead.
    """
    if log == changelog.current(connection):
        return 0, []
    cut = cut if cut.seq else Cut(0, first_head(log))
    number = changelog.number_of(connection, log)
    (seq,) = connection.execute("SELECT seq FROM logs WHERE number = ?", (number,)).fetchone()
    shared, instead = forks.parked_up_to(connection, log, cut, reopen) or (None, [])
    end = shared.seq if shared is not None else min(seq, cut.seq)
    if shared is not None:
        for sealed, _ in _stored(connection, number, end):
            forks.park(connection, number, reopen(sealed)[0], sealed)
    if end == seq:
        return 0, instead
    life = changelog.current(connection)
    if life is not None and life.device == log.device:
        lives.begin_anew(connection, log, end, life, reopen, at_ms)
    else:
        heads = forks.heads_here(connection, number, end, end, reopen) | {0: first_head(log)}
        unfold(connection, log, Cut(end, heads[end]), reopen, at_ms)
    return seq - end, instead


def unfold(connection: sqlite3.Connection, log: LogId, cut: Cut, reopen: Reopen, at_ms: int) -> int:
    """Let a log end at a change, and nothing of what came after count.

    Args:
        reopen: opens a stored frame.

    Returns:
        How many changes were taken back.
    """
    while mirror.collect(connection, at_ms):
        pass
    number = changelog.number_of(connection, log)
    (last,) = connection.execute("SELECT seq FROM logs WHERE number = ?", (number,)).fetchone()
    kept = _kept(connection)
    tail = [
        unpack(body)
        for sealed, first in _stored(connection, number, cut.seq)
        for seq, body in enumerate(reopen(sealed)[1], first)
        if cut.seq < seq <= last and (number, seq) not in kept
    ]
    _end_at(connection, number, cut)
    for job_id, (told, terms) in _of_jobs(log, tail).items():
        take_out(connection, job_id, told, terms)
    _make_again(connection, tail, reopen, at_ms)
    with changelog.writing(connection, at_ms) as own:
        assert own is not None
        for change in tail:
            if change.kind == mirror.EFFECT:
                own.add(mirror.EFFECT, *change.fields)
    for change in tail:
        if change.kind == forks.PARTED:
            incarnation, parting = forks.parting_told(change)
            forks.forget_parting(connection, LogId(log.device, incarnation), parting)
    mirror.move_cursor(connection, newest_seq(connection))
    return len(tail)


def _stored(connection: sqlite3.Connection, number: int, seq: int) -> list[tuple[bytes, int]]:
    rows = connection.execute(
        "SELECT sealed, first FROM frames WHERE log = ? AND last > ? ORDER BY last", (number, seq)
    )
    return [(sealed, first) for sealed, first in rows]


def _kept(connection: sqlite3.Connection) -> set[tuple[int, int]]:
    """Return log and number of the changes that were never folded."""
    return set(connection.execute("SELECT log, seq FROM unfolded"))


def _of_jobs(
    log: LogId, tail: Iterable[Change]
) -> dict[str, tuple[list[tuple[bytes, int]], list[bytes]]]:
    """Return what changes tell of jobs: branch and place of events, and ids of terms."""
    found: dict[str, tuple[list[tuple[bytes, int]], list[bytes]]] = {}
    for change in tail:
        if change.kind not in (mirror.JOB, mirror.HISTORY, mirror.TERM):
            continue
        told, terms = found.setdefault(change.fields[0], ([], []))
        if change.kind == mirror.HISTORY:
            by = branch(change.fields[1], *life_of(log, change))
            told += [(by, event[0]) for event in change.fields[2]]
        else:
            terms.append(change.fields[-1][0])
    return found


def fold_parting(reopen: Reopen) -> Folder:
    """Return what folds that a history of a log has parted: it counts no more from there on.

    Args:
        reopen: opens a stored frame.
    """

    def fold(connection: sqlite3.Connection, source: Source, change: Change) -> None:
        incarnation, parting = forks.parting_told(change)
        log = LogId(source.log.device, incarnation)
        if log == source.log:
            raise ValueError(change.kind)
        forks.record_parting(connection, log, parting)
        if log != changelog.current(connection):
            _end_where_it_parted(connection, log, parting, reopen)

    return fold


def _end_where_it_parted(
    connection: sqlite3.Connection, log: LogId, parting: forks.Parting, reopen: Reopen
) -> None:
    """Let a log end where it parted, if the history that is here is the one that did."""
    number = changelog.number_of(connection, log)
    own = connection.execute(
        "SELECT seq, head, body FROM changes WHERE log = ? AND seq > ?", (number, parting.seq)
    )
    tail = {seq: (head, body) for seq, head, body in own}
    stored = _stored(connection, number, parting.seq)
    for sealed, first in stored:
        frame_, bodies = reopen(sealed)
        numbered = enumerate(zip(heads_of(frame_, bodies), bodies, strict=True), first)
        tail |= {seq: one for seq, one in numbered if seq > parting.seq}
    if parting.seq + 1 not in tail or tail[parting.seq + 1][0] != parting.next:
        return
    for sealed, _ in stored:
        forks.park(connection, number, reopen(sealed)[0], sealed)
    _end_at(connection, number, Cut(parting.seq, parting.head))
    connection.execute("DELETE FROM changes WHERE log = ? AND seq > ?", (number, parting.seq))
    bodies = [body for _, (_, body) in sorted(tail.items())]
    changes = [change for body in bodies if (change := readable(body)) is not None]
    for job_id, (told, terms) in shared_of_jobs(log, changes).items():
        take_out(connection, job_id, told, terms)


def _end_at(connection: sqlite3.Connection, number: int, cut: Cut) -> None:
    connection.execute("DELETE FROM frames WHERE log = ? AND first > ?", (number, cut.seq))
    connection.execute(
        "UPDATE OR REPLACE frames SET last = ?1 WHERE log = ?2 AND last > ?1", (cut.seq, number)
    )
    connection.execute("DELETE FROM unfolded WHERE log = ? AND seq > ?", (number, cut.seq))
    connection.execute(
        "UPDATE logs SET seq = ?, head = ? WHERE number = ?", (cut.seq, cut.head, number)
    )


def _make_again(
    connection: sqlite3.Connection, tail: Iterable[Change], reopen: Reopen, at_ms: int
) -> None:
    """Make anew what is there of the cells and documents that changes told of, by what counts."""
    names = {one.fields[0] for one in tail if one.kind == cells.KIND}
    documents = {id for one in tail for id in documents_of(one)}
    if not names and not documents:
        return
    connection.executemany("DELETE FROM cells WHERE object = ?", [(one,) for one in names])
    disown(connection, documents)
    for log, seq, body in _every(connection, reopen):
        change = unpack(body)
        if change.kind == cells.KIND and change.fields[0] in names:
            cells.merge(connection, cells.rows_of(log.device, change.clock, *change.fields))
        elif documents & documents_of(change):
            FOLDERS[change.kind](connection, Source(log, seq, at_ms), change)


def _every(connection: sqlite3.Connection, reopen: Reopen) -> Iterator[tuple[LogId, int, bytes]]:
    """Yield log, number and body of every change that was folded."""
    plain = connection.execute(
        "SELECT l.device, l.incarnation, c.seq, c.body FROM changes c "
        "JOIN logs l ON l.number = c.log"
    )
    for device, incarnation, seq, body in plain.fetchall():
        yield LogId(device, incarnation), seq, body
    kept = _kept(connection)
    sealed_ones = connection.execute(
        "SELECT l.device, l.incarnation, f.log, f.sealed, f.first, min(f.last, l.seq) "
        "FROM frames f JOIN logs l ON l.number = f.log"
    )
    for device, incarnation, number, sealed, first, last in sealed_ones.fetchall():
        for seq, body in enumerate(reopen(sealed)[1][: last - first + 1], first):
            if (number, seq) not in kept:
                yield LogId(device, incarnation), seq, body
