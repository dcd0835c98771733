"""What of which log is here: taking in what other devices did, and handing on what is known.

Plain functions on a connection. What frames say is folded into the rows that people see by
`folders`, one to each kind of change; they are the root's, because sync knows no jobs.

Invariants
1. A log is taken in without gap, in order, each change once; what came twice changes nothing.
2. A change is folded in the transaction that stores it; what cannot be folded by this program is
   kept verbatim for one that can.
3. Two histories of one log are told from one another by their heads, and never mixed. The log that
   this home writes is taken in from nobody: whoever has more of it is another copy of this home,
   or this one went back to an earlier state, and that is a fork too.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from regend.errors import RegendError
from regend.limits import DEVICE_LOGS, MAX_MESH_LOGS
from regend.store import cells, changelog
from regend.store.change import Change, LogId, Position, unpack
from regend.sync.forks import (
    Fork,
    Reopen,
    compared,
    end_of_what_counts,
    goes_on_parked,
    head_at,
    park,
    partings,
    stored_head,
)
from regend.sync.frame import Frame, head_after
from regend.sync.payloads import Cut
from regend.sync.wants import Locked

log = logging.getLogger("regend.sync")


class Source(NamedTuple):
    """Where a change that is folded stands."""

    log: LogId
    seq: int
    at_ms: int


Folder = Callable[[sqlite3.Connection, Source, Change], None]


class Opened(NamedTuple):
    """A frame whose signature was checked and whose body was opened.

    Attributes:
        bodies: of its changes; of the first of them, where only those are to be taken in.
    """

    blob: bytes
    frame: Frame
    bodies: list[bytes]


@dataclass
class Received:
    """What became of frames.

    Attributes:
        changes: how many were new.
        missing: logs of which frames came that begin behind what is here, and how far that is;
            for a log that is not taken in, as one too many, how far what came goes.
        forks: of logs.
        cells: objects and fields that are set anew; not those that had been overtaken.
        parted_before: how many partings of logs were on record.
        newer: how many frames were of a protocol that this program does not know.
        locked: by log, the first frame that came whose key is not here.
    """

    changes: int = 0
    missing: dict[LogId, int] = field(default_factory=dict)
    forks: list[Fork] = field(default_factory=list)
    cells: list[tuple[str, str]] = field(default_factory=list)
    parted_before: int = 0
    newer: int = 0
    locked: dict[LogId, Locked] = field(default_factory=dict)

    def __iadd__(self, later: Received) -> Received:
        """Add what became of the frames behind them."""
        self.changes += later.changes
        self.missing |= later.missing
        self.forks += later.forks
        self.cells += later.cells
        return self


def vector(connection: sqlite3.Connection) -> dict[LogId, Position]:
    """Return how far each log is here, from what is stored."""
    rows = connection.execute("SELECT device, incarnation, seq, head FROM logs WHERE seq > 0")
    return {
        LogId(device, incarnation): Position(seq, head) for device, incarnation, seq, head in rows
    }


def receive(
    connection: sqlite3.Connection,
    incoming: Iterable[Opened],
    folders: Mapping[str, Folder],
    cut: Callable[[LogId], Cut | None],
    at_ms: int,
    reopen: Reopen | None = None,
) -> Received:
    """Take frames in: store them, fold what they say.

    Args:
        incoming: of any logs, those of one log in order.
        cut: up to where a log counts, None where all of it does.
        at_ms: wall time.
        reopen: opens a stored frame; without it, another history that is shorter than what is here
            may go unseen.
    """
    done = Received(parted_before=partings(connection))
    rows: list[cells.Row] = []
    newest = 0
    for opened in incoming:
        log_id = opened.frame.header.log
        number = changelog.number_of(connection, log_id)
        fresh = _fresh(connection, number, opened, cut(log_id), reopen, done)
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
    connection: sqlite3.Connection,
    number: int,
    opened: Opened,
    cut: Cut | None,
    reopen: Reopen | None,
    done: Received,
) -> tuple[int, list[bytes], bytes] | None:
    """Return the first number, the bodies and the head after them of what a frame brings anew."""
    header = opened.frame.header
    seq, head = connection.execute(
        "SELECT seq, head FROM logs WHERE number = ?", (number,)
    ).fetchone()
    if seq == 0 and not _has_room(connection, header.log):
        done.missing[header.log] = header.last  # who sends it need not wait until it is here
        return None
    if header.first > seq + 1:
        if goes_on_parked(connection, number, opened.frame):
            park(connection, number, opened.frame, opened.blob)
            done.forks.append(Fork(header.log, None))
        done.missing[header.log] = seq
        return None
    end = end_of_what_counts(connection, number, opened.frame, opened.bodies)
    end = end if cut is None else min(end, cut.seq)
    known, length = seq - header.first + 1, end - header.first + 1  # of its changes
    if length <= 0:
        return None
    at_seq = head_after(opened.frame, opened.bodies, min(seq, end))
    here: bytes | None = head
    if known > length:
        here = head_at(connection, number, header.log, end)
        if here is None and reopen is not None:
            here = stored_head(connection, number, end, opened.blob, reopen)
    if (here is not None and here != at_seq) or _is_beside_cut(opened, end, cut):
        common = compared(connection, number, opened.frame, opened.bodies, reopen)
        park(connection, number, opened.frame, opened.blob)
        done.forks.append(Fork(header.log, common))
        return None
    if end <= seq:
        return None
    if header.log == changelog.current(connection):
        done.forks.append(Fork(header.log, seq))
        return None
    return seq + 1, opened.bodies[known:length], head_after(opened.frame, opened.bodies, end)


def _is_beside_cut(opened: Opened, end: int, cut: Cut | None) -> bool:
    """Tell whether a frame goes up to the cut of its log, and is of another history than that."""
    if cut is None or end != cut.seq:
        return False
    return head_after(opened.frame, opened.bodies, end) != cut.head


def _has_room(connection: sqlite3.Connection, log_id: LogId) -> bool:
    """Tell whether one more log may be taken in.

    With more logs than a vector may name, devices could not talk any more; with more of one device
    than an entry may cut, nobody could revoke it.
    """
    total, of_device = connection.execute(
        "SELECT count(*), coalesce(sum(device = ?), 0) FROM logs WHERE seq > 0", (log_id.device,)
    ).fetchone()
    return bool(total < MAX_MESH_LOGS and of_device < DEVICE_LOGS)


def _store(
    connection: sqlite3.Connection, number: int, opened: Opened, last: int, head: bytes
) -> None:
    """Keep a frame, by the last of its changes that counts; once, if a part of it came before."""
    connection.execute(
        "DELETE FROM frames WHERE log = ? AND sealed = ? "
        "AND last = (SELECT seq FROM logs WHERE number = ?)",
        (number, opened.blob, number),
    )
    connection.execute(
        "INSERT OR REPLACE INTO frames (log, last, first, sealed) VALUES (?, ?, ?, ?)",
        (number, last, opened.frame.header.first, opened.blob),
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
        change = readable(body)
        if change is None or not (change.kind in folders or change.kind == cells.KIND):
            continue
        rows: list[cells.Row] = []
        source = Source(LogId(device, incarnation), seq, at_ms)
        if _fold_alone(connection, source, change, folders, rows):
            done.cells += cells.merge(connection, rows)
            connection.execute("DELETE FROM unfolded WHERE log = ? AND seq = ?", (number, seq))
            done.changes += 1
    return done


def readable(body: bytes) -> Change | None:
    """Return what a body holds; None where that is no change."""
    try:
        return unpack(body)
    except RegendError:
        return None
