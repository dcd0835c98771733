"""Devices in memory: a store, the attempts it believes to run, and a reader; no worker, no link."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgpack

from regend.jobs import handover, journal, mirror
from regend.jobs.history import newest_seq
from regend.mesh.jobs import take_in
from regend.store.change import LogId
from regend.store.connection import open_writer
from regend.store.migrations import migrate
from regend.sync import replica, supply
from regend.sync.frame import Frame, Header
from regend.sync.replica import Opened


def sealed(written: supply.Written) -> bytes:
    """Return changes as they travel here: what protects a frame is tested elsewhere."""
    header = Header(
        *(bytes(16), written.log, written.first, len(written.bodies)),
        *(bytes(8), written.previous, written.head, bytes(24)),
    )
    packed: bytes = msgpack.packb((header, written.bodies))
    return packed


def opened(blob: bytes) -> Opened:
    header, bodies = msgpack.unpackb(blob)
    mesh, log, *rest = header
    return Opened(blob, Frame(Header(mesh, LogId(*log), *rest), b"", b"", b""), bodies)


def reopened(blob: bytes) -> tuple[Frame, list[bytes]]:
    found = opened(blob)
    return found.frame, found.bodies


def memory() -> sqlite3.Connection:
    connection = open_writer(Path(":memory:"))
    migrate(connection, Path(":memory:"))
    return connection


@dataclass
class Device:
    """A store, the attempts that it believes to run, and one reader of its events."""

    number: int
    connection: sqlite3.Connection = field(default_factory=memory)
    boot: int = 0
    shift_ms: int = 0
    at_ms: int = 0
    holds: dict[int, int] = field(default_factory=dict)  # job, fence
    cursor: int = 0
    read: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def log(self) -> LogId:
        return LogId(bytes([self.number + 1]) * 16, bytes([self.number + 1]) * 8)

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

    def frames_for(self, other: Device) -> dict[LogId, list[bytes]]:
        theirs, found = other.vector(), {}
        for log, place in self.vector().items():
            known = theirs[log].seq if log in theirs else 0
            if known < place.seq:
                found[log] = self.frames(log, known)
        return found

    def frames(self, log: LogId, known: int) -> list[bytes]:
        if log == self.log:
            return [sealed(w) for w in supply.own_after(self.connection, log, known, 1 << 30)]
        return [blob for _, blob in supply.frames_after(self.connection, log, known, 1 << 30)]

    def take(self, blobs: list[bytes]) -> None:
        with self.transaction() as c:
            take_in(c, map(opened, blobs), {}, lambda _log: None, reopened, self.at_ms)
        with self.transaction() as c:
            for job in handover.held_back(c):
                handover.let_go(c, job)
