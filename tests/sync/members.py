"""Pocket devices that are of a mesh: real keys, the roster, sealed frames, and revocation."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from regend.mesh import founding
from regend.mesh.documents import FOLDERS
from regend.mesh.founding import Standing
from regend.mesh.members import cuts_of
from regend.mesh.statehash import state_hash
from regend.mesh.taking import Taking
from regend.store.change import LogId, Position
from regend.sync import authoring, supply
from regend.sync.entries import Entry
from regend.sync.epochs import Entropy
from regend.sync.frame import Frame
from regend.sync.house import House, stored_roster
from regend.sync.identity import Incarnation
from regend.sync.portions import Portions
from regend.sync.replica import Received
from regend.sync.roster import Roster
from tests.sync.persons import entropy, identity
from tests.sync.pocket import LIVES, Device

T = TypeVar("T")


class Killed(BaseException):
    """The process ends here."""


class PocketStore:
    """What `House` and `Taking` ask of a store, on a device's one connection."""

    def __init__(self, device: Member) -> None:
        self._device = device

    async def write(
        self, operation: Callable[[sqlite3.Connection], T], *, may_wait: bool = False
    ) -> T:
        if self._device.writes_left == 0:
            raise Killed
        self._device.writes_left -= 1
        with self._device.transaction() as c:
            return operation(c)

    @property
    def blobs(self) -> PocketStore:
        return self

    def discard(self, digests: Collection[str]) -> None:
        assert not digests

    def before_commit(self, _operation: Callable[[sqlite3.Connection], None]) -> None:
        """Do nothing: what happened is written into the log with every transaction."""

    async def query(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        return operation(self._device.connection)


class PocketClock:
    def __init__(self, device: Member) -> None:
        self._device = device

    def wall_ms(self) -> int:
        return self._device.at_ms

    def monotonic_s(self) -> float:
        return self._device.at_ms / 1000


class FewAtATime(Portions):
    """Portions so small that most messages are taken in by several."""

    def __init__(self) -> None:
        super().__init__(3)

    def took(self, seconds: float) -> None: ...


@dataclass
class Member(Device):
    """A device of a mesh.

    Attributes:
        writes_left: until it is killed; never where that is negative.
        owes: whether the roster has grown since it went by it.
        linked: who it met last.
    """

    loop: asyncio.AbstractEventLoop = field(kw_only=True)
    entries: Iterable[Entry] = field(kw_only=True, default=())
    draw: Entropy = field(kw_only=True)
    writes_left: int = -1
    owes: bool = False
    linked: Collection[bytes] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.identity = identity(f"device {self.number}")
        rows = [(one.id, one.blob) for one in self.entries]
        self.connection.executemany("INSERT OR IGNORE INTO roster (id, entry) VALUES (?, ?)", rows)
        self.move_in()

    def move_in(self) -> None:
        """Be of the mesh as far as it is stored, as a daemon that starts."""
        store: Any = PocketStore(self)
        clock: Any = PocketClock(self)
        supervisor: Any = self

        async def taking() -> Taking:
            return Taking(store, clock, supervisor, FOLDERS, lambda: None, lambda _work: None)

        self.taking = self.run(taking())
        self.house = House(
            store,
            clock,
            self.identity,
            self.log.incarnation,
            Roster.of(stored_roster(self.connection)),
            take_in=self.taking.take_in,
            state_hash=state_hash,
            entropy=self.draw,
        )
        self.house._portions = FewAtATime()
        self.house.roster_changed = self._on_roster
        self.writes_left = -1
        self.owes = True

    def _on_roster(self) -> None:
        self.owes = True

    @property
    def log(self) -> LogId:
        return LogId(
            identity(f"device {self.number}").id, self.life or bytes([self.number + 1]) * 8
        )

    @property
    def is_member(self) -> bool:
        return self.house.roster.is_living(self.identity.id)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    # What `Taking` tells a supervisor: here the fence alone shows that an attempt is over.

    def tell(self, _job: int, _desired: str) -> None: ...

    def end_lost(self) -> None: ...

    # What goes out and comes in

    def pack(self, acknowledged: Collection[dict[LogId, Position]], full: int) -> None:
        if self.house.can_seal:
            super().pack(acknowledged, full)

    def seal(self, written: Iterable[supply.Written]) -> list[bytes]:
        return self.house._sealed(list(written))

    def reopen(self, blob: bytes) -> tuple[Frame, list[bytes]]:
        return self.house.read_stored(blob)

    def receive(self, blobs: list[bytes]) -> Received:
        return self.run(self.house.take(blobs))

    def frames(self, log: LogId, known: int) -> list[bytes]:
        found: list[bytes] = []
        while True:
            known, frames = self.run(self.house.frames(log, known))
            if not frames:
                return found
            found += frames

    def restart(self, max_deaths: int) -> None:
        super().restart(max_deaths)
        self.move_in()

    # Of the mesh

    def regards(self, other: Member) -> bool:
        """Tell whether it links with another, be it a copy of itself."""
        return self is not other and self.house.roster.is_living(other.identity.id)

    def tell_roster(self, other: Member) -> None:
        lacking = self.house.roster_ids - other.house.roster_ids
        if lacking:
            other.run(other.house.take_roster(self.house.entries(lacking)))

    def go_by_roster(self) -> None:
        """Do what `mesh.network` does once the roster has grown."""
        own = self.identity.id
        while self.owes:
            self.owes = False
            if self.is_member and self.house.cut(self.log) is not None:
                self.begin_after_cut()
            self.run(self.taking.take_back(self.house))
            if self.house.roster.owes_rekey(own, self.house.keys, self.linked):
                roster = self.house.roster
                entry = authoring.rekey(roster, self.identity, self.at_ms, self.draw)
                self.run(self.house.add_entries([entry]))

    def begin_after_cut(self) -> None:
        """Go on in a new life, as `mesh.founding.resumed` does."""
        self.life = next(LIVES).to_bytes(8)
        self.house.incarnation = self.life
        with self.transaction() as c:
            founding._take_up(c, self.log, "put_out", self.at_ms)

    def revoke(self, other: Member) -> None:
        """Put a device out, as `mesh.service` does."""
        device = other.identity.id
        cuts = cuts_of(self.run(self.house.vector()), device)
        roster = self.house.roster
        entry = authoring.revoke(roster, self.identity, device, cuts, self.at_ms, self.draw)
        self.run(self.house.add_entries([entry]))

    def rejoin(self, host: Member) -> bool:
        """Pair again with a device, as `mesh.service` does; return whether it was out."""
        roster, device = host.house.roster, self.identity.device
        entry = authoring.add(roster, host.identity, device, "again", host.at_ms, self.draw)
        if entry is None:
            return False
        host.run(host.house.add_entries([entry]))
        store: Any = PocketStore(self)
        clock: Any = PocketClock(self)
        told = list(host.house.roster.entries.values())
        entries = self.run(founding.joined(store, self.identity.id, host.identity.id, told))
        if Roster.of(entries).cut(*self.log) is not None:
            self.life = next(LIVES).to_bytes(8)
        life = Incarnation(self.log.incarnation, is_fresh=True, reason="revoked")
        standing = Standing(self.identity, None, life)
        self.run(founding.enter(store, standing, entries, clock))
        self.move_in()
        return True


def mesh_of(count: int, loop: asyncio.AbstractEventLoop) -> list[Member]:
    """Return devices of one mesh, of which the first let in the others, in this order."""
    first = identity("device 0")
    roster = Roster.of([authoring.genesis(first, "device 0", 1, entropy("mesh"))])
    for number in range(1, count):
        other = identity(f"device {number}").device
        entry = authoring.add(roster, first, other, f"device {number}", 1, entropy(str(number)))
        assert entry is not None
        roster = roster.merged([entry])
    entries = list(roster.entries.values())
    draw = entropy("members")
    return [Member(number, loop=loop, entries=entries, draw=draw) for number in range(count)]


def exchange_rosters(one: Member, other: Member) -> bool:
    """Let two devices tell each other of the roster; return whether they are linked after it."""
    if not (one.regards(other) and other.regards(one)):
        return False
    one.tell_roster(other)
    other.tell_roster(one)
    linked = one.regards(other) and other.regards(one)
    for device, met in ((one, other), (other, one)):
        device.linked = {met.identity.id} if linked else ()
        device.owes |= device.house.roster.is_rekey_due
    return linked
