"""What of which log is here: taking in what other devices did, and handing on what is known.

Plain functions on a connection. What frames say is folded into the rows that people see by
`folders`, one to each kind of change; they are the root's, because sync knows no jobs.

Invariants
1. A log is taken in without gap, in order, each change once; what came twice changes nothing.
2. A change is folded in the transaction that stores it; what cannot be folded by this program is
   kept verbatim for one that can.
3. Two histories of one log are told from one another by their heads, and never mixed.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from regend.errors import RegendError
from regend.limits import FRAME_CHANGES, SYNC_FRAME_BYTES
from regend.store import cells, changelog
from regend.store.change import Change, LogId, Place, first_head, unpack
from regend.sync.forks import Fork, compared, head_at
from regend.sync.frame import Frame, heads_of

log = logging.getLogger("regend.sync")


class Source(NamedTuple):
    """Where a change that is folded stands."""

    log: LogId
    seq: int
    at_ms: int


Folder = Callable[[sqlite3.Connection, Source, Change], None]


class Opened(NamedTuple):
    """A frame whose signature was checked and whose body was opened."""

    blob: bytes
    frame: Frame
    bodies: list[bytes]


@dataclass
class Received:
    """What became of frames.

    Attributes:
        changes: how many were new.
        missing: logs of which frames came that begin behind what is here, and how far that is.
        forks: of logs.
        cells: objects and fields that are set anew; not those that had been overtaken.
    """

    changes: int = 0
    missing: dict[LogId, int] = field(default_factory=dict)
    forks: list[Fork] = field(default_factory=list)
    cells: list[tuple[str, str]] = field(default_factory=list)


def vector(connection: sqlite3.Connection) -> dict[LogId, Place]:
    """Return how far each log is here, from what is stored."""
    rows = connection.execute("SELECT device, incarnation, seq, head FROM logs WHERE seq > 0")
    return {LogId(device, incarnation): Place(seq, head) for device, incarnation, seq, head in rows}


def place_of(connection: sqlite3.Connection, log_id: LogId) -> Place | None:
    """Return how far a log is here; None where nothing of it is."""
    row = connection.execute(
        "SELECT seq, head FROM logs WHERE device = ? AND incarnation = ? AND seq > 0", log_id
    ).fetchone()
    return None if row is None else Place(*row)


def receive(
    connection: sqlite3.Connection,
    incoming: Iterable[Opened],
    folders: Mapping[str, Folder],
    cut: Callable[[LogId], int | None],
    at_ms: int,
) -> Received:
    """Take frames in: store them, fold what they say.

    Args:
        incoming: of any logs, those of one log in order.
        cut: the last change of a log that counts, None where all do.
        at_ms: wall time.
    """
    done = Received()
    rows: list[cells.Row] = []
    newest = 0
    for opened in incoming:
        log_id = opened.frame.header.log
        number = changelog.number_of(connection, log_id)
        fresh = _fresh(connection, number, opened, cut(log_id), done)
        if not fresh:
            continue
        first, bodies, head = fresh
        changes = _unpacked(connection, number, first, bodies)
        _fold_frame(connection, number, log_id, changes, folders, rows, at_ms)
        _store(connection, number, opened, first + len(bodies) - 1, head)
        done.changes += len(bodies)
        newest = max([newest, *(change.clock for _, change, _ in changes)])
    done.cells = cells.merge(connection, rows)
    if newest:
        changelog.observe(connection, newest, at_ms)
    return done


def _fresh(
    connection: sqlite3.Connection, number: int, opened: Opened, cut: int | None, done: Received
) -> tuple[int, list[bytes], bytes] | None:
    """Return the first number, the bodies and the head after them of what a frame brings anew."""
    header = opened.frame.header
    seq, head = connection.execute(
        "SELECT seq, head FROM logs WHERE number = ?", (number,)
    ).fetchone()
    if header.first > seq + 1:
        done.missing[header.log] = seq
        return None
    heads = heads_of(opened.frame, opened.bodies)
    known = seq - header.first + 1  # of its changes
    at_seq = header.previous if known == 0 else heads[min(known, header.length) - 1]
    here = head if known <= header.length else head_at(connection, number, header.log, header.last)
    if here is not None and here != at_seq:
        common = compared(connection, number, opened.frame, opened.bodies)
        done.forks.append(Fork(header.log, common))
        return None
    last = header.last if cut is None else min(header.last, cut)
    if last <= seq:
        return None
    return seq + 1, opened.bodies[known : last - header.first + 1], heads[last - header.first]


def _store(
    connection: sqlite3.Connection, number: int, opened: Opened, last: int, head: bytes
) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO frames (log, last, first, sealed) VALUES (?, ?, ?, ?)",
        (number, opened.frame.header.last, opened.frame.header.first, opened.blob),
    )
    connection.execute("UPDATE logs SET seq = ?, head = ? WHERE number = ?", (last, head, number))


_Numbered = tuple[int, Change, bytes]


def _unpacked(
    connection: sqlite3.Connection, number: int, first: int, bodies: Sequence[bytes]
) -> list[_Numbered]:
    """Return the changes that can be read; the others are kept as they are."""
    found: list[_Numbered] = []
    for seq, body in enumerate(bodies, first):
        try:
            found.append((seq, unpack(body), body))
        except RegendError:
            _keep(connection, number, seq, body)
    return found


def _fold_frame(
    connection: sqlite3.Connection,
    number: int,
    log_id: LogId,
    changes: Sequence[_Numbered],
    folders: Mapping[str, Folder],
    rows: list[cells.Row],
    at_ms: int,
) -> None:
    """Fold a frame's changes; where one of them does not fit, that one alone is kept unfolded."""
    connection.execute("SAVEPOINT frame")
    try:
        found: list[cells.Row] = []
        for seq, change, body in changes:
            source = Source(log_id, seq, at_ms)
            if not _fold(connection, source, change, folders, found):
                _keep(connection, number, seq, body)
    except _MISFITS:
        connection.execute("ROLLBACK TO frame")
        found = []
        for seq, change, body in changes:
            source = Source(log_id, seq, at_ms)
            if not _fold_alone(connection, source, change, folders, found):
                _keep(connection, number, seq, body)
    connection.execute("RELEASE frame")
    rows += found


_MISFITS = (
    RegendError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
    sqlite3.IntegrityError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
)


def _fold(
    connection: sqlite3.Connection,
    source: Source,
    change: Change,
    folders: Mapping[str, Folder],
    rows: list[cells.Row],
) -> bool:
    """Fold one change; False where its kind is not known."""
    if change.kind == cells.KIND:
        name, written = change.fields
        rows += cells.rows_of(source.log.device, change.clock, name, written)
        return True
    folder = folders.get(change.kind)
    if folder is None:
        return False
    folder(connection, source, change)
    return True


def _fold_alone(
    connection: sqlite3.Connection,
    source: Source,
    change: Change,
    folders: Mapping[str, Folder],
    rows: list[cells.Row],
) -> bool:
    """Fold one change, or nothing of it; False where it is of no use to this program."""
    connection.execute("SAVEPOINT change")
    before = len(rows)
    try:
        known = _fold(connection, source, change, folders, rows)
        connection.execute("RELEASE change")
    except _MISFITS as error:
        log.warning(
            "change %d of %s cannot be used: %s", source.seq, source.log.device.hex(), error
        )
        connection.execute("ROLLBACK TO change")
        connection.execute("RELEASE change")
        del rows[before:]
        return False
    return known


def _keep(connection: sqlite3.Connection, number: int, seq: int, body: bytes) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO unfolded (log, seq, body) VALUES (?, ?, ?)", (number, seq, body)
    )


def fold_kept(
    connection: sqlite3.Connection, folders: Mapping[str, Folder], at_ms: int, limit: int
) -> Received:
    """Fold what an earlier program could not and this one can, at most `limit` changes.

    Meant for the start of a program that may be newer than the last.
    """
    kept = connection.execute(
        "SELECT u.log, u.seq, u.body, l.device, l.incarnation FROM unfolded u "
        "JOIN logs l ON l.number = u.log ORDER BY u.log, u.seq"
    ).fetchall()
    done = Received()
    for number, seq, body, device, incarnation in kept:
        if done.changes == limit:
            break
        change = _readable(body)
        if change is None or not (change.kind in folders or change.kind == cells.KIND):
            continue
        rows: list[cells.Row] = []
        source = Source(LogId(device, incarnation), seq, at_ms)
        if _fold_alone(connection, source, change, folders, rows):
            done.cells += cells.merge(connection, rows)
            connection.execute("DELETE FROM unfolded WHERE log = ? AND seq = ?", (number, seq))
            done.changes += 1
    return done


def _readable(body: bytes) -> Change | None:
    try:
        return unpack(body)
    except RegendError:
        return None


class Written(NamedTuple):
    """Own changes in a row, ready to be sealed.

    Attributes:
        previous: head before the first.
    """

    log: LogId
    first: int
    previous: bytes
    head: bytes
    bodies: list[bytes]


def own_after(
    connection: sqlite3.Connection, log_id: LogId, seq: int, size_bytes: int
) -> list[Written]:
    """Return the next changes of an own log after `seq`, a frame's worth to each.

    Args:
        size_bytes: where their bodies reach this, the list ends.
    """
    previous = _own_head(connection, log_id, seq)
    if previous is None:
        return []
    rows = connection.execute(
        "SELECT c.head, c.body FROM changes c JOIN logs l ON l.number = c.log "
        "WHERE l.device = ? AND l.incarnation = ? AND c.seq > ? ORDER BY c.seq",
        (*log_id, seq),
    )
    found: list[Written] = []
    bodies: list[bytes] = []
    size, total, first, head = 0, 0, seq + 1, previous
    for next_one, body in rows:
        if bodies and (len(bodies) == FRAME_CHANGES or size + len(body) > SYNC_FRAME_BYTES):
            found.append(Written(log_id, first, previous, head, bodies))
            first, previous, bodies, size = first + len(bodies), head, [], 0
            if total >= size_bytes:
                break
        bodies.append(body)
        head = next_one
        size += len(body)
        total += len(body)
    if bodies:
        found.append(Written(log_id, first, previous, head, bodies))
    return found


def _own_head(connection: sqlite3.Connection, log_id: LogId, seq: int) -> bytes | None:
    """Return the head of an own log after a change; None where that is not here in the open."""
    if seq == 0:
        return first_head(log_id)
    row = connection.execute(
        "SELECT c.head FROM changes c JOIN logs l ON l.number = c.log "
        "WHERE l.device = ? AND l.incarnation = ? AND c.seq = ?",
        (*log_id, seq),
    ).fetchone()
    return None if row is None else bytes(row[0])


def frames_after(
    connection: sqlite3.Connection, log_id: LogId, seq: int, size_bytes: int
) -> list[tuple[int, bytes]]:
    """Return stored frames that hold changes after `seq`, in order, with the last number of each.

    Args:
        size_bytes: where they reach this, the list ends.
    """
    rows = connection.execute(
        "SELECT f.last, f.sealed FROM frames f JOIN logs l ON l.number = f.log "
        "WHERE l.device = ? AND l.incarnation = ? AND f.last > ? ORDER BY f.last",
        (*log_id, seq),
    )
    found: list[tuple[int, bytes]] = []
    size = 0
    for last, sealed in rows:
        found.append((last, sealed))
        size += len(sealed)
        if size >= size_bytes:
            break
    return found
