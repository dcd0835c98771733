"""Devices in memory: a store, the attempts it believes to run, and a reader; no worker, no link."""

from __future__ import annotations

import contextlib
import sqlite3
import weakref
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Self
from unittest import mock

import msgpack

from regend.jobs import handover, journal, mirror, repository, settlement
from regend.jobs.history import newest_seq
from regend.mesh import founding, lives
from regend.mesh.jobs import take_in
from regend.store.change import LogId, Position
from regend.store.connection import open_writer
from regend.store.migrations import migrate
from regend.sync import frame, packing, replica, supply
from regend.sync.forks import Fork
from regend.sync.frame import Frame, Header
from regend.sync.replica import Opened, Received


def sealed(written: supply.Written) -> bytes:
    """Return changes as they travel here: what protects a frame is tested elsewhere."""
    header = Header(
        *(bytes(16), written.log, written.first, len(written.bodies)),
        *(bytes(8), written.previous, written.head, bytes(24)),
    )
    parts = (frame._pack_header(header), msgpack.packb(written.bodies), bytes(64))
    packed: bytes = msgpack.packb(parts)
    return packed


def opened(blob: bytes) -> Opened:
    parsed = frame.parse(blob)
    return Opened(blob, parsed, msgpack.unpackb(parsed.ciphertext))


def reopened(blob: bytes) -> tuple[Frame, list[bytes]]:
    found = opened(blob)
    return found.frame, found.bodies


def memory() -> sqlite3.Connection:
    connection = open_writer(Path(":memory:"))
    migrate(connection, Path(":memory:"))
    return connection


LIVES = count(1)


@dataclass
class Device:
    """A store, the attempts that it believes to run, and one reader of its events.

    Its database is closed when the device is dropped: tests make copies by the dozen.
    """

    number: int
    connection: sqlite3.Connection = field(default_factory=memory)
    boot: int = 0
    shift_ms: int = 0
    at_ms: int = 0
    holds: dict[int, int] = field(default_factory=dict)  # job, fence
    cursor: int = 0
    read: dict[int, tuple[Any, ...]] = field(default_factory=dict)
    life: bytes = b""

    def __post_init__(self) -> None:
        weakref.finalize(self, self.connection.close)

    @property
    def log(self) -> LogId:
        one = bytes([self.number + 1])
        return LogId(one * 16, self.life or one * 8)

    def copied(self) -> Self:
        """Return a copy of this device's home; its attempts are none of the copy's."""
        fresh = memory()
        self.connection.backup(fresh)
        boot = self.boot + 1000
        return replace(self, connection=fresh, boot=boot, holds={}, read=dict(self.read))

    def restart(self, max_deaths: int) -> None:
        """Go on with what is stored, as after a crash."""
        fresh = memory()
        self.connection.backup(fresh)
        self.connection.close()
        self.connection = fresh
        self.boot += 1
        self.holds.clear()
        self.recover(max_deaths)

    def recover(self, max_deaths: int) -> None:
        """Settle what an earlier run left, as a daemon does that starts."""
        with self.transaction() as c:
            handover.stay(c)
            settlement.requeue_orphans(c, f"boot-{self.boot}", 99, max_deaths, self.at_ms)
            repository.release_all_held(c)

    def begin_anew(self, fork: Fork) -> None:
        """Go on in a new life, as `mesh.founding.begin_anew` does."""
        assert fork.common is not None
        new = self.log._replace(incarnation=next(LIVES).to_bytes(8))
        with self.transaction() as c:
            lives.begin_anew(c, fork.log, fork.common, new, self.reopen, self.at_ms)
            founding._take_up(c, new, "forked", self.at_ms)
        self.life = new.incarnation

    def restore(self) -> None:
        """Go on in a new life, as a home does that was put back to a backup."""
        self.life = next(LIVES).to_bytes(8)
        with self.transaction() as c:
            founding._take_up(c, self.log, "database", self.at_ms)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run as the writer does: what raises is undone, and the log is written at the end."""
        self.connection.execute("BEGIN")
        try:
            yield self.connection
            while mirror.collect(self.connection, self.at_ms):
                pass
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        self.follow()

    def follow(self) -> None:
        """Read on, as a client does that was connected all the time."""
        rows = self.connection.execute(
            "SELECT e.seq, j.id, e.job_seq, e.type, e.at, e.data FROM events e "
            "JOIN jobs j ON j.number = e.job WHERE e.seq > ? ORDER BY e.seq",
            (self.cursor,),
        ).fetchall()
        self.read |= {row[0]: row[1:] for row in rows}
        self.cursor = max(self.cursor, newest_seq(self.connection))

    def jobs(self) -> dict[str, sqlite3.Row]:
        cursor = self.connection.cursor()
        cursor.row_factory = sqlite3.Row
        rows = cursor.execute("SELECT * FROM jobs ORDER BY id").fetchall()
        return {row["id"]: row for row in rows}

    def events(self, job: int) -> list[tuple[Any, ...]]:
        return self.connection.execute(
            "SELECT job_seq, type, at, data FROM events WHERE job = ? ORDER BY job_seq", (job,)
        ).fetchall()

    def steps(self, job: int) -> list[journal.Step]:
        return journal.steps(self.connection, job)

    def vector(self) -> dict[LogId, Any]:
        return replica.vector(self.connection)

    def pack(self, acknowledged: Collection[dict[LogId, Position]], full: int) -> None:
        """Pack all that can be, into frames of so many changes."""
        with (
            mock.patch.object(supply, "FRAME_CHANGES", full),
            mock.patch.object(packing, "FRAME_CHANGES", full),
        ):
            while page := packing.next_page(self.connection, acknowledged):
                with self.transaction() as c:
                    assert packing.pack(c, page, self.seal(page))

    def written(self) -> list[tuple[LogId, bool, bytes]]:
        """Return what this device wrote in any life: in which log, whether it is current, what."""
        rows = self.connection.execute(
            "SELECT device, incarnation, current, body FROM changes c "
            "JOIN logs l ON l.number = c.log"
        )
        found = [(LogId(*row[:2]), bool(row[2]), row[3]) for row in rows]
        frames = self.connection.execute(
            "SELECT device, incarnation, current, first, last, sealed FROM frames f "
            "JOIN logs l ON l.number = f.log WHERE device = ?",
            (self.log.device,),
        )
        for device, incarnation, current, first, last, blob in frames:
            for body in self.reopen(blob)[1][: last - first + 1]:
                found.append((LogId(device, incarnation), bool(current), body))
        return found

    def frames_for(self, other: Device) -> dict[LogId, list[bytes]]:
        theirs, found = other.vector(), {}
        for log, place in self.vector().items():
            known = theirs[log].seq if log in theirs else 0
            if known < place.seq:
                found[log] = self.frames(log, known)
            elif known == place.seq and theirs[log].head != place.head:
                found[log] = self.frames(log, known - 1)
        return found

    def frames(self, log: LogId, known: int) -> list[bytes]:
        """Return all of a log behind a change, as `sync.house` supplies it part by part."""
        found: list[bytes] = []
        while True:
            own = supply.own_after(self.connection, log, known, 1 << 30)
            stored = supply.frames_after(self.connection, log, known, 1 << 30)
            if own:
                known = own[-1].last
                found += self.seal(own)
            elif stored:
                known = stored[-1][0]
                found += (blob for _, blob in stored)
            else:
                return found

    def give(self, taker: Device, blobs: list[bytes]) -> None:
        """Send frames, and do as `sync.exchange` does where they are of another history."""
        for fork in taker.take(blobs):
            if fork.log.device != taker.log.device:
                if self.take(taker.frames(fork.log, 0)):
                    taker.take(self.frames(fork.log, 0))
            elif fork.common is None:
                taker.take(self.frames(fork.log, 0))

    def seal(self, written: Iterable[supply.Written]) -> list[bytes]:
        return list(map(sealed, written))

    def reopen(self, blob: bytes) -> tuple[Frame, list[bytes]]:
        return reopened(blob)

    def receive(self, blobs: list[bytes]) -> Received:
        with self.transaction() as c:
            return take_in(c, map(opened, blobs), {}, lambda _log: None, reopened, self.at_ms)[0]

    def take(self, blobs: list[bytes]) -> list[Fork]:
        received = self.receive(blobs)
        for fork in received.forks:
            if fork.log == self.log and fork.common is not None:
                self.begin_anew(fork)
        with self.transaction() as c:
            for job in handover.held_back(c):
                handover.let_go(c, job)
        return received.forks
