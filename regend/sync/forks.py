"""One log, two histories: a home was copied, or went back to an earlier state, and wrote on.

It shows where another device has a log otherwise than it is here. Where it is this device's own,
what was written here behind the last common change is taken out of that log and written again into
the log of a new life, which begins by saying so (`PARTED`). Nothing is dropped, and both histories
are folded everywhere.

Invariants
1. Of two histories of another device's log the one that came first is folded. The other is parked,
   as long as its device has not said which of them goes on in another log.
2. A history that was parted counts up to where it parted, on every device, and what is parked of
   the other then takes its place.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from regend.limits import PARKED_BYTES
from regend.store import changelog
from regend.store.change import (
    HEAD_BYTES,
    INCARNATION_BYTES,
    Change,
    LogId,
    Position,
    first_head,
    unpack,
)
from regend.sync.frame import Frame, head_after, heads_of, parse
from regend.sync.payloads import Cut

PARTED: Final = "parted"

Reopen = Callable[[bytes], tuple[Frame, list[bytes]]]


class Fork(NamedTuple):
    """Two histories of one log.

    Attributes:
        common: the last change that both share; None where it lies before what was compared.
    """

    log: LogId
    common: int | None


def compared(
    connection: sqlite3.Connection,
    number: int,
    frame: Frame,
    bodies: list[bytes],
    reopen: Reopen | None,
) -> int | None:
    """Return the last change up to which a log is here as a frame has it; None before the frame.

    Args:
        number: of the log in this store.
        reopen: opens a stored frame; without it, what stands in frames is not compared.
    """
    header = frame.header
    here = heads_here(connection, number, header.first - 1, header.last, reopen)
    here |= {0: first_head(header.log)}
    if here.get(header.first - 1) != header.previous:
        return None
    common = header.first - 1
    for seq, head in enumerate(heads_of(frame, bodies), header.first):
        if here.get(seq) != head:
            break
        common = seq
    return common


def heads_here(
    connection: sqlite3.Connection, number: int, first: int, last: int, reopen: Reopen | None
) -> dict[int, bytes]:
    """Return the heads of a log after these changes, of those that are here.

    Args:
        reopen: opens a stored frame; without it, what stands in frames is left out.
    """
    between = (number, first, last)
    found: dict[int, bytes] = dict(
        connection.execute(
            "SELECT seq, head FROM changes WHERE log = ?1 AND seq BETWEEN ?2 AND ?3 "
            "UNION SELECT seq, head FROM logs WHERE number = ?1 AND seq BETWEEN ?2 AND ?3",
            between,
        ).fetchall()
    )
    rows = connection.execute(
        "SELECT first, last, sealed FROM frames WHERE log = ? AND last >= ? AND first <= ?", between
    )
    if reopen is not None:
        for start, end, sealed in rows.fetchall():
            found.update(zip(range(start, end + 1), heads_of(*reopen(sealed)), strict=False))
    return found


def head_at(connection: sqlite3.Connection, number: int, log: LogId, seq: int) -> bytes | None:
    """Return the head of a log after a change, where it is known without opening frames.

    It is at the end of what stands in plain, all through it, and at the end of each whole frame.
    """
    if seq == 0:
        return first_head(log)
    row = (
        connection.execute(
            "SELECT head FROM changes WHERE log = ? AND seq = ?", (number, seq)
        ).fetchone()
        or connection.execute(
            "SELECT head FROM logs WHERE number = ? AND seq = ?", (number, seq)
        ).fetchone()
    )
    if row is not None:
        return bytes(row[0])
    row = connection.execute(
        "SELECT sealed FROM frames WHERE log = ? AND last = ?", (number, seq)
    ).fetchone()
    header = None if row is None else parse(row[0]).header
    return header.head if header is not None and header.last == seq else None


def stored_head(
    connection: sqlite3.Connection, number: int, seq: int, blob: bytes, reopen: Reopen
) -> bytes | None:
    """Return the head of a log after a change, from the frame that is stored of it.

    Args:
        blob: what is compared with it; where it is the same frame, nothing is opened.
    """
    row = connection.execute(
        "SELECT sealed FROM frames WHERE log = ? AND last >= ? ORDER BY last LIMIT 1",
        (number, seq),
    ).fetchone()
    if row is None or row[0] == blob:
        return None
    return heads_here(connection, number, seq, seq, reopen).get(seq)


def behind(connection: sqlite3.Connection, log: LogId, seq: int) -> list[Change]:
    """Return what an own log has behind a change; nothing of that may be packed."""
    number = changelog.number_of(connection, log)
    rows = connection.execute(
        "SELECT body FROM changes WHERE log = ? AND seq > ? ORDER BY seq", (number, seq)
    )
    return [unpack(row[0]) for row in rows]


class Parting(NamedTuple):
    """Where a history of a log parted from another.

    Attributes:
        seq: the last change that both share.
        head: of the log there.
        next: head after the next change, by which the history is known that goes on elsewhere.
    """

    seq: int
    head: bytes
    next: bytes


def part(
    connection: sqlite3.Connection,
    forked: LogId,
    common: int,
    new: LogId,
    again: Iterable[Change],
    at_ms: int,
) -> None:
    """Take what an own log has behind a change out of it, and write it into a new one.

    Nothing of that may be packed.

    Args:
        new: the current log from now on.
        again: what is written into it; each keeps its stamp.
    """
    number = changelog.number_of(connection, forked)
    head = head_at(connection, number, forked, common)
    following = head_at(connection, number, forked, common + 1)
    assert head is not None
    connection.execute("DELETE FROM changes WHERE log = ? AND seq > ?", (number, common))
    connection.execute("UPDATE logs SET seq = ?, head = ? WHERE number = ?", (common, head, number))
    changelog.begin(connection, new)
    if following is None:
        return  # nothing was written behind it
    parting = Parting(common, head, following)
    record_parting(connection, forked, parting)
    with changelog.writing(connection, at_ms) as log:
        assert log is not None
        log.add(PARTED, forked.incarnation, list(parting))
        for change in again:
            log.add(change.kind, *change.fields, clock=change.clock)


def parting_told(change: Change) -> tuple[bytes, Parting]:
    """Return the incarnation whose log parted, and where, from a change that tells of it.

    Raises:
        ValueError: it cannot be read.
    """
    incarnation, (seq, head, following) = change.fields
    sizes = ((incarnation, INCARNATION_BYTES), (head, HEAD_BYTES), (following, HEAD_BYTES))
    if type(seq) is not int or seq < 0 or seq >= 1 << 62:
        raise ValueError(seq)
    if any(type(one) is not bytes or len(one) != size for one, size in sizes):
        raise ValueError(change.kind)
    return incarnation, Parting(seq, head, following)


def record_parting(connection: sqlite3.Connection, log: LogId, parting: Parting) -> None:
    """Keep it on record that a history of a log goes on in another log."""
    connection.execute(
        "INSERT OR IGNORE INTO parted (log, seq, head, next) VALUES (?, ?, ?, ?)",
        (changelog.number_of(connection, log), *parting),
    )


def forget_parting(connection: sqlite3.Connection, log: LogId, parting: Parting) -> None:
    """Take it off the record that a history of a log goes on in another log."""
    connection.execute(
        "DELETE FROM parted WHERE log = ? AND seq = ? AND next = ?",
        (changelog.number_of(connection, log), parting.seq, parting.next),
    )


def partings(connection: sqlite3.Connection) -> int:
    """Return how many partings of logs are on record."""
    return int(connection.execute("SELECT coalesce(max(number), 0) FROM parted").fetchone()[0])


def parted_now(connection: sqlite3.Connection, before: int) -> list[LogId]:
    """Return the logs of which a history has parted since there were `before` partings."""
    rows = connection.execute(
        "SELECT DISTINCT l.device, l.incarnation FROM parted p JOIN logs l ON l.number = p.log "
        "WHERE p.number > ?",
        (before,),
    )
    return [LogId(*row) for row in rows]


def end_of_what_counts(
    connection: sqlite3.Connection, number: int, frame: Frame, bodies: Sequence[bytes]
) -> int:
    """Return the last change of a frame that counts: its last, or that before its history parted.

    Args:
        number: of the log in this store.
        bodies: of its changes; where only a first part of it is taken in, of those.
    """
    first = frame.header.first
    last = end = first + len(bodies) - 1
    for seq, following in connection.execute(
        "SELECT seq, next FROM parted WHERE log = ?", (number,)
    ):
        is_inside = first <= seq + 1 <= last
        if is_inside and head_after(frame, bodies, seq + 1) == following:
            end = min(end, seq)
    return end


def has_parted_here(connection: sqlite3.Connection, reopen: Reopen) -> Fork | None:
    """Return the fork of the log that this home writes, where it is the history that parted.

    A copy of this home has begun anew with what both had written. From here, too, nobody takes
    it any more.

    Args:
        reopen: opens a stored frame.
    """
    rows = connection.execute(
        "SELECT l.number, l.device, l.incarnation, p.seq, p.next FROM parted p "
        "JOIN logs l ON l.number = p.log AND l.current = 1 ORDER BY p.seq"
    )
    for number, device, incarnation, seq, following in rows.fetchall():
        if heads_here(connection, number, seq + 1, seq + 1, reopen).get(seq + 1) == following:
            return Fork(LogId(device, incarnation), seq)
    return None


def park(connection: sqlite3.Connection, number: int, frame: Frame, sealed: bytes) -> None:
    """Keep a frame that is not of the history which is folded, where there is room for it.

    Sealed anew, it is the same. It is not acknowledged: what is not kept comes once it has been
    said which history goes on.
    """
    held = connection.execute("SELECT sum(length(sealed)) FROM parked WHERE log = ?", (number,))
    if (held.fetchone()[0] or 0) >= PARKED_BYTES:
        return
    header = frame.header
    said = f"{number} {header.first} {header.last}".encode() + header.previous + header.head
    id = hashlib.blake2b(said, digest_size=16).digest()
    connection.execute(
        "INSERT OR IGNORE INTO parked (id, log, first, last, sealed) VALUES (?, ?, ?, ?, ?)",
        (id, number, header.first, header.last, sealed),
    )


def goes_on_parked(connection: sqlite3.Connection, number: int, frame: Frame) -> bool:
    """Tell whether a frame follows on one that is parked of its log.

    Args:
        number: of the log in this store.
    """
    rows = connection.execute(
        "SELECT sealed FROM parked WHERE log = ? AND last = ?", (number, frame.header.first - 1)
    )
    return any(parse(sealed).header.head == frame.header.previous for (sealed,) in rows)


def parked_up_to(
    connection: sqlite3.Connection, log: LogId, cut: Cut, reopen: Reopen
) -> tuple[Position, list[bytes]] | None:
    """Return the parked frames that lead to a cut, and where they leave what is here of the log.

    None where what is here leads there, or what is parked does not.

    Args:
        reopen: opens a stored frame.
    """
    opened = [(blob, *reopen(blob)) for blob in parked(connection, log)]
    if not opened:
        return None
    number = changelog.number_of(connection, log)
    here = heads_here(connection, number, 0, cut.seq, reopen) | {0: first_head(log)}
    heads = [dict(enumerate(heads_of(*one[1:]), one[1].header.first)) for one in opened]
    found: list[int] = []
    seq, head = cut
    while here.get(seq) != head:
        leading = next((at for at, known in enumerate(heads) if known.get(seq) == head), None)
        if leading is None:
            return None
        found.insert(0, leading)
        header = opened[leading][1].header
        seq, head = header.first - 1, header.previous
    if not found:
        return None
    both = [Position(*one) for one in heads[found[0]].items() if here.get(one[0]) == one[1]]
    return max([Position(seq, head), *both]), [opened[at][0] for at in found]


def parked(connection: sqlite3.Connection, log: LogId) -> list[bytes]:
    """Return the parked frames of a log, in order."""
    rows = connection.execute(
        "SELECT sealed FROM parked WHERE log = ? ORDER BY first, last",
        (changelog.number_of(connection, log),),
    )
    return [row[0] for row in rows]


def split_devices(connection: sqlite3.Connection) -> set[bytes]:
    """Return the devices that have a log with two histories, neither of which has parted yet."""
    rows = connection.execute(
        "SELECT DISTINCT l.device FROM parked k JOIN logs l ON l.number = k.log "
        "WHERE NOT EXISTS (SELECT 1 FROM parted p WHERE p.log = k.log)"
    )
    return {row[0] for row in rows}
