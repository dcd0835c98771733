"""How a home comes to be of a mesh, and what a start finds of it.

Invariants
1. What makes a home a member is written in one transaction: roster and log, or neither.
2. A log is written by one life of a home only. A home that was copied or restored begins a new
   incarnation before anything is written, and gives up the jobs that the old one held: another
   copy may run them.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from regend.clock import Clock
from regend.errors import Conflict
from regend.home import Home
from regend.jobs import mirror
from regend.jobs.folding import AWAY, HERE
from regend.jobs.history import epoch
from regend.mesh import lives
from regend.mesh.leaving import leave, leaves_others
from regend.store import Store, changelog
from regend.store.change import LogId
from regend.store.settings import device_id, set_device_id
from regend.sync import frame, renewals
from regend.sync.device import Identity
from regend.sync.entries import Entry
from regend.sync.forks import Fork, Reopen
from regend.sync.house import stored_roster
from regend.sync.identity import (
    Incarnation,
    incarnation,
    load_identity,
    renew_incarnation,
)
from regend.sync.machine import machine_id
from regend.sync.roster import Roster


class Standing(NamedTuple):
    """What a home is to its mesh.

    Attributes:
        roster: None where there is no mesh.
        life: which incarnation of the device this home is.
    """

    identity: Identity
    roster: Roster | None
    life: Incarnation

    @property
    def log(self) -> LogId:
        """The log that this home writes."""
        return LogId(self.identity.id, self.life.id)

    @property
    def is_member(self) -> bool:
        """Whether this device is of a mesh now."""
        return self.roster is not None and self.roster.is_living(self.identity.id)

    @property
    def is_cut(self) -> bool:
        """Whether this device is of a mesh by which the log ended that this home writes."""
        return self.is_member and self.roster is not None and self.roster.cut(*self.log) is not None


async def look(store: Store, home: Home) -> Standing:
    """Return what this home is, after taking on its identity where that is new.

    Raises:
        Failed: a key or the stored roster is damaged.
    """
    identity = load_identity(home)

    def read(connection: sqlite3.Connection) -> tuple[str, str, Roster | None]:
        return device_id(connection), epoch(connection), _stored(connection)

    known, database_epoch, roster = await store.query(read)
    if known != identity.id.hex():
        await store.write(lambda c: _rename_device(c, known, identity.id.hex()))
    life = incarnation(home, database_epoch, machine_id())
    return Standing(identity, roster, life)


async def joined(store: Store, own: bytes, host: bytes, entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries that a home goes by which is let into a mesh.

    One that comes back keeps what it knows of the mesh: frames that it has may be sealed with keys
    which nobody else was told of.

    Args:
        own: id of this device.
        host: of the one that lets it in.
        entries: as that one told them.

    Raises:
        Conflict: by what this device knows, one of the two is out.
    """
    told, before = Roster.of(entries), await store.query(_stored)
    if before is None or before.mesh != told.mesh:
        return list(entries)
    both = told.merged(before.entries.values())
    if not (both.is_living(own) and both.is_living(host)):
        raise Conflict(
            "device_still_out",
            "As far as this device knows the two are not of one mesh: it has put out the device "
            "that lets it in, or was put out by one which that device has not met since.",
            hint="Let the devices of the mesh meet first, or pair with another one of them.",
        )
    return list(both.entries.values())


async def enter(store: Store, standing: Standing, entries: Sequence[Entry], clock: Clock) -> Roster:
    """Make this home a member of the mesh that the entries describe; return its roster.

    A mesh in which this device was alone is left behind; its jobs come along. So they do from one
    that it was in with others, with all else that is here (`leaving`).
    """
    rows = [(one.id, one.blob) for one in entries]
    roster = await asyncio.to_thread(Roster.of, entries)

    def write(connection: sqlite3.Connection) -> list[str]:
        before, unneeded = _stored(connection), list[str]()
        if before is not None and leaves_others(before, roster):
            reopen = frame.opener(before.epoch_keys(standing.identity.sealing_key))
            at_ms = clock.wall_ms()
            unneeded = leave(connection, before, roster, standing.log, reopen, at_ms)
        connection.execute("DELETE FROM roster")
        connection.executemany("INSERT INTO roster (id, entry) VALUES (?, ?)", rows)
        if changelog.current(connection) is None:
            changelog.begin(connection, standing.log)
        return unneeded

    store.before_commit(_nothing)  # what is to be told anew is told in pages
    unneeded = await store.write(write)
    await asyncio.to_thread(store.blobs.discard, unneeded)
    await keep_log(store, standing, clock)
    return roster


def _nothing(_connection: sqlite3.Connection) -> None:
    pass


def _stored(connection: sqlite3.Connection) -> Roster | None:
    entries = stored_roster(connection)
    return Roster.of(entries) if entries else None


async def keep_log(store: Store, standing: Standing, clock: Clock) -> None:
    """Write the log from now on, beginning with what is not in it yet."""
    await store.write(lambda c: _take_up(c, standing.log, standing.life.reason, clock.wall_ms()))
    while await store.write(lambda c: mirror.collect(c, clock.wall_ms())):
        pass  # what was before, in pages: the writer has others to serve

    def collect_all(connection: sqlite3.Connection) -> None:
        while mirror.collect(connection, clock.wall_ms()):
            pass

    store.before_commit(collect_all)
    await store.write(collect_all)


async def renewed(store: Store, home: Home, standing: Standing, roster: Roster) -> Standing:
    """Return the standing of a home that joins a mesh.

    It is a new life where its old log was cut there, or belongs to a mesh that it leaves.

    Args:
        roster: of the mesh; it knows the device if it was revoked there before.
    """
    before = await store.query(_stored)
    is_cut = roster.cut(standing.identity.id, standing.life.id) is not None
    if not is_cut and (before is None or not leaves_others(before, roster)):
        return standing
    life = renew_incarnation(home, await store.query(epoch), machine_id())
    return standing._replace(life=Incarnation(life, is_fresh=True, reason="revoked"))


async def resumed(store: Store, home: Home, standing: Standing, clock: Clock) -> Standing:
    """Return the standing of a home that goes on as a member, with its log kept from now on.

    It is a new life where its log was cut. The device was put out and let in again, and this home
    did not know of it: a copy of it was that came back. What it did past the cut is told anew, as
    that of one that came back (`taking`).
    """
    if standing.is_cut:
        own_id = renew_incarnation(home, await store.query(epoch), machine_id())
        life = Incarnation(own_id, is_fresh=True, reason="put_out")
        standing = standing._replace(life=life)
    await keep_log(store, standing, clock)
    return standing


async def begin_anew(store: Store, home: Home, fork: Fork, reopen: Reopen, clock: Clock) -> None:
    """Begin a new life of this home, whose log went two ways.

    What was done here since goes into the log of the new life (`lives`), and jobs that the old one
    held before are held here no more: the copy may run them.

    Args:
        fork: of its log; where it is, is known.
        reopen: opens a stored frame.
    """
    forked, common = fork
    assert common is not None
    database_epoch = await store.query(epoch)
    new = LogId(forked.device, renew_incarnation(home, database_epoch, machine_id()))

    def write(connection: sqlite3.Connection) -> None:
        at_ms = clock.wall_ms()
        lives.begin_anew(connection, forked, common, new, reopen, at_ms)
        renewals.note(connection, forked, new, "forked", at_ms)
        _take_up(connection, new, "forked", at_ms)

    await store.write(write)


def _take_up(connection: sqlite3.Connection, log: LogId, reason: str, at_ms: int) -> None:
    """Let the current log be that of this life; of an earlier life's jobs, none runs here."""
    before = changelog.current(connection)
    if before != log:
        renewals.note(connection, before, log, reason, at_ms)
        changelog.begin(connection, log)
    connection.execute(
        "UPDATE jobs SET remote = ?, boot = NULL, fence = fence + 1 WHERE remote = ? AND term IN "
        "(SELECT id FROM terms WHERE device = ? AND incarnation <> ?)",
        (AWAY, HERE, *log),
    )


def _rename_device(connection: sqlite3.Connection, before: str, after: str) -> None:
    """Let what this device did be of the id that its keys give it."""
    for column in ("device", "owner_device"):
        connection.execute(
            f"UPDATE jobs SET {column} = ? WHERE {column} = ? AND term IS NULL", (after, before)
        )
    set_device_id(connection, after)
