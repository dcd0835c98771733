"""Stores of several devices that exchange changes by hand: frames without links."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgpack
from nacl.signing import SigningKey

from regend.clock import SystemClock
from regend.home import Home
from regend.jobs.mirror import collect
from regend.mesh.jobs import Consequences, take_in
from regend.store import Store, changelog
from regend.store.change import LogId, first_head, next_head
from regend.sync import frame, replica, supply
from regend.sync.frame import Header
from regend.sync.replica import Opened, Received
from regend.sync.supply import Written

MESH = bytes(16)
KEY = bytes(range(32))
CLOCK = SystemClock()


def reopened(blob: bytes) -> tuple[frame.Frame, list[bytes]]:
    """Return a stored frame with its bodies."""
    parsed = frame.parse(blob)
    return parsed, frame.open_bodies(parsed, KEY)


class Replica:
    """A device's store, and its side of an exchange."""

    def __init__(self, folder: Path, store: Store | None = None) -> None:
        self.signing_key = SigningKey.generate()
        self.log = LogId(os.urandom(16), os.urandom(8))
        self.store = store or Store(Home.at(folder))
        self.done = Consequences()

    async def join(self) -> None:
        """Write a log of changes from now on, and of what was before."""
        await self.store.write(lambda c: changelog.begin(c, self.log))
        self.store.before_commit(lambda c: collect(c, CLOCK.wall_ms()))
        while await self.store.write(lambda c: collect(c, CLOCK.wall_ms())):
            pass

    async def vector(self) -> dict[LogId, Any]:
        return await self.store.query(replica.vector)

    async def frames_for(self, other: Replica) -> list[bytes]:
        """Return the frames of all logs that another device lacks."""
        theirs = await other.vector()
        found: list[bytes] = []
        for log_id, place in (await self.vector()).items():
            known = theirs[log_id].seq if log_id in theirs else 0
            if known < place.seq:
                found += await self.frames(log_id, known, place.seq)
        return found

    async def frames(self, log_id: LogId, after: int, last: int) -> list[bytes]:
        stored = await self.store.query(lambda c: supply.frames_after(c, log_id, after, 1 << 30))
        after = stored[-1][0] if stored else after
        written = await self.store.query(lambda c: supply.own_after(c, log_id, after, 1 << 30))
        assert (written[-1].last if written else after) >= last
        return [*(blob for _, blob in stored), *map(self.seal, written)]

    def seal(self, written: supply.Written) -> bytes:
        header = Header(
            MESH,
            written.log,
            written.first,
            len(written.bodies),
            bytes(8),
            written.previous,
            written.head,
            os.urandom(24),
        )
        return frame.seal(header, written.bodies, KEY, self.signing_key)

    async def take(self, blobs: Iterable[bytes]) -> Received:
        opened = []
        for blob in blobs:
            parsed = frame.parse(blob)
            opened.append(Opened(blob, parsed, frame.open_bodies(parsed, KEY)))
        received, self.done = await self.store.write(
            lambda c: take_in(c, opened, {}, lambda _log: None, reopened, CLOCK.wall_ms())
        )
        return received

    async def meet(self, other: Replica) -> None:
        """Bring both to the same changes."""
        await other.take(await self.frames_for(other))
        await self.take(await other.frames_for(self))
        # What either wrote because of what came.
        await other.take(await self.frames_for(other))


def of(device: Replica, *bodies: bytes, log: LogId | None = None) -> bytes:
    """Return the first frame of a log with these bodies."""
    log = log or device.log
    head = first_head(log)
    for seq, body in enumerate(bodies, 1):
        head = next_head(head, seq, body)
    return device.seal(Written(log, 1, first_head(log), head, list(bodies)))


def bodies_of(changes: Sequence[Any]) -> list[bytes]:
    return [msgpack.packb((number, *change)) for number, change in enumerate(changes, 1)]


async def kept(device: Replica) -> list[int]:
    rows = await device.store.query(lambda c: c.execute("SELECT seq FROM unfolded").fetchall())
    return [row[0] for row in rows]


def anything(*values: Any) -> tuple[Any, ...]:
    """Return values of several types, which a checker of types need not understand."""
    return values
