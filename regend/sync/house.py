"""What this device is in its mesh: its keys, the roster, and what it has of every log.

Exchanges read and write through it; it seals what goes out and opens what comes in, away from the
event loop. Rules
1. What is sent is read from what is committed.
2. A frame counts only if a member signed it, before it was revoked if it was.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from regend.clock import Clock
from regend.errors import Refused
from regend.limits import ROSTER_ENTRIES, ROSTER_SPARE, SYNC_MESSAGE_BYTES
from regend.store import Store
from regend.store.change import LogId, Place
from regend.sync import frame, replica, supply
from regend.sync.device import Identity
from regend.sync.entries import Entry, verify
from regend.sync.epochs import Entropy
from regend.sync.forks import Fork, Reopen
from regend.sync.frame import Header
from regend.sync.payloads import Cut
from regend.sync.replica import Opened, Received
from regend.sync.roster import Roster
from regend.sync.supply import Written

log = logging.getLogger("regend.sync")

TakeIn = Callable[
    [sqlite3.Connection, list[Opened], Callable[[LogId], Cut | None], Reopen], Received
]

_QUIET_S: Final = 0.5  # the state is hashed once nothing has changed for so long


class House:
    """This device's part of the mesh.

    Args:
        roster: as it is stored.
        incarnation: of this device now.
        take_in: folds frames within a transaction, given up to where a log counts and what opens
            a stored frame.
        state_hash: reads the hash of what all changes together make.
        entropy: returns random bytes.

    Attributes:
        roster: who is of the mesh.
        roster_changed: called after it grew.
        forked: called where a log has two histories; for one of this device's, once it is known
            from where on.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        identity: Identity,
        incarnation: bytes,
        roster: Roster,
        *,
        take_in: TakeIn,
        state_hash: Callable[[sqlite3.Connection], bytes],
        entropy: Entropy,
    ) -> None:
        self.identity = identity
        self.incarnation = incarnation
        self.roster = roster
        self.roster_changed: Callable[[], None] = lambda: None
        self.forked: Callable[[Fork], None] = lambda _fork: None
        self._store = store
        self._clock = clock
        self._take_in = take_in
        self._read_state_hash = state_hash
        self._entropy = entropy
        self._keys = roster.epoch_keys(identity.sealing_key)
        self._hashed: tuple[Mapping[LogId, Place] | None, bytes] = (None, b"")
        self._hashing: asyncio.Task[None] | None = None

    def wall_ms(self) -> int:
        """Return the time that this device's clock shows."""
        return self._clock.wall_ms()

    @property
    def mesh(self) -> bytes:
        """Id of the mesh."""
        return self.roster.mesh

    @property
    def roster_ids(self) -> frozenset[bytes]:
        """Ids of all entries of the roster."""
        return frozenset(self.roster.entries)

    @property
    def keys(self) -> Mapping[bytes, bytes]:
        """The epoch keys that this device has, by id, oldest first."""
        return self._keys

    def entries(self, ids: Iterable[bytes]) -> list[bytes]:
        """Return entries of the roster as they travel, each after those it builds on."""
        chosen = set(ids)
        by_blob = {entry.blob: entry.id for entry in self.roster.entries.values()}
        return [blob for blob in self.roster.blobs() if by_blob[blob] in chosen]

    async def add_entries(self, entries: Iterable[Entry]) -> None:
        """Store entries of the roster that this device wrote, then go by them.

        Raises:
            Refused: there is no room for them.
        """
        fresh = [one for one in entries if one.id not in self.roster.entries]
        if len(_fitting(self.roster, fresh)) < len(fresh):
            raise Refused(
                "roster_full",
                f"The roster of the mesh has {ROSTER_ENTRIES} entries, which is the most.",
                hint="Begin a new mesh with the devices that you still have.",
            )
        await self._add(fresh)

    async def _add(self, fresh: list[Entry]) -> None:
        if not fresh:
            return
        before = self.roster
        merged = before.merged(fresh)
        rows = [(one.id, one.blob) for one in fresh]
        await self._store.write(
            lambda c: (
                c.executemany(
                    "INSERT OR IGNORE INTO roster (id, entry) VALUES (?, ?)", rows
                ).rowcount
            )
        )
        if self.roster is not before:  # other entries came while these were stored
            merged = self.roster.merged(fresh)
        # The keys first: what goes out meanwhile is sealed in a thread, by what the roster says.
        self._keys = merged.epoch_keys(self.identity.sealing_key)
        self.roster = merged
        self.roster_changed()

    async def take_roster(self, blobs: Iterable[bytes]) -> None:
        """Take in entries that another device sent, as far as there is room.

        Raises:
            RegendError: one of them is none; nothing of them was taken.
        """
        verified = [verify(blob) for blob in blobs]
        fresh = [one for one in verified if one.id not in self.roster.entries]
        fitting = _fitting(self.roster, fresh)
        if len(fitting) < len(fresh):
            log.warning("the roster is full: not all that other devices say of it is taken")
        await self._add(fitting)

    async def vector(self) -> dict[LogId, Place]:
        """Return how far each log is here."""
        return await self._store.query(replica.vector)

    def state_hash(self, vector: Mapping[LogId, Place]) -> bytes:
        """Return the hash of the state that a vector makes; empty until things are quiet."""
        if self._hashed[0] == vector:
            return self._hashed[1]
        if self._hashing is None or self._hashing.done():
            self._hashing = asyncio.create_task(self._hash_when_quiet(), name="state-hash")
        return b""

    @property
    def hashed(self) -> tuple[Mapping[LogId, Place] | None, bytes]:
        """The vector whose state was hashed last, and that hash."""
        return self._hashed

    async def stop(self) -> None:
        """End what runs by itself."""
        if self._hashing is not None:
            self._hashing.cancel()
            await asyncio.gather(self._hashing, return_exceptions=True)

    async def _hash_when_quiet(self) -> None:
        seen: Mapping[LogId, Place] | None = None
        while True:
            now = await self.vector()
            if now == seen:
                break
            seen = now
            await asyncio.sleep(_QUIET_S)

        def read(connection: sqlite3.Connection) -> tuple[dict[LogId, Place], bytes]:
            return replica.vector(connection), self._read_state_hash(connection)

        self._hashed = await self._store.query(read)
        self._store.bell.ring()

    async def frames(self, log_id: LogId, seq: int) -> tuple[int, list[bytes]]:
        """Return the next frames of a log after a change, about a message full.

        What stands in plain is sealed only now, with the newest key, once that is here.

        Returns:
            The last change in them, and the frames; none where there is nothing to send.
        """

        def read(
            connection: sqlite3.Connection,
        ) -> tuple[list[Written], list[tuple[int, bytes]]]:
            own = supply.own_after(connection, log_id, seq, SYNC_MESSAGE_BYTES)
            stored = supply.frames_after(connection, log_id, seq, SYNC_MESSAGE_BYTES)
            return own, [] if own else stored

        own, stored = await self._store.query(read)
        if own:
            return (own[-1].last, await self.seal(own)) if self.can_seal else (seq, [])
        return (stored[-1][0] if stored else seq), [blob for _, blob in stored]

    @property
    def can_seal(self) -> bool:
        """Whether the key for what goes out now is here; a device that was put out has it not."""
        return self.roster.current is None or self.roster.current in self._keys

    async def seal(self, own: list[Written]) -> list[bytes]:
        """Return own changes as frames, sealed with the newest key."""
        return await asyncio.to_thread(self._sealed, own)

    def _sealed(self, own: list[Written]) -> list[bytes]:
        key_id = self.roster.current or next(reversed(self._keys))
        key, signing_key = self._keys[key_id], self.identity.signing_key
        sealed = []
        for written in own:
            header = Header(
                self.mesh,
                written.log,
                written.first,
                len(written.bodies),
                key_id,
                written.previous,
                written.head,
                self._entropy(frame.NONCE_BYTES),
            )
            sealed.append(frame.seal(header, written.bodies, key, signing_key))
        return sealed

    async def take(self, blobs: list[bytes]) -> Received:
        """Make frames durable, and what they say; those of a newer protocol are left out.

        Raises:
            Busy: the disk refuses; nothing was taken.
            Refused: one of them is not of a member, or was changed on its way.
        """
        opened = await asyncio.to_thread(self._opened, blobs)
        received = await self._store.write(
            lambda c: self._take_in(c, opened, self.cut, self.read_stored)
        )
        received.newer = len(blobs) - len(opened)
        known = sorted(received.forks, key=lambda one: one.common is not None)
        for fork in {one.log: one for one in known}.values():
            if fork.common is not None or fork.log.device != self.identity.id:
                self.forked(fork)
        return received

    def _opened(self, blobs: list[bytes]) -> list[Opened]:
        opened = []
        for blob in blobs:
            with suppress(frame.Newer):
                opened.append(self._open(blob))
        return opened

    def _open(self, blob: bytes) -> Opened:
        parsed = frame.parse(blob)
        header = parsed.header
        if header.mesh != self.mesh:
            raise Refused("frame_foreign", "A frame is of another mesh.")
        member = self.roster.members.get(header.log.device)
        key = self._keys.get(header.key_id)
        if member is None:
            raise Refused("frame_stranger", "A frame is of a device that was never of this mesh.")
        if key is None:
            raise Refused("frame_key_unknown", "A frame is sealed with a key that is not here.")
        frame.verify(parsed, member.device.verify_key)
        return Opened(blob, parsed, frame.open_bodies(parsed, key))

    def read_stored(self, blob: bytes) -> tuple[frame.Frame, list[bytes]]:
        """Return a frame that is stored here, with its bodies."""
        parsed = frame.parse(blob)
        return parsed, frame.open_bodies(parsed, self._keys[parsed.header.key_id])

    def cut(self, log_id: LogId) -> Cut | None:
        """Return up to where a log counts, None where all of it does."""
        return self.roster.cut(*log_id)


def _fitting(roster: Roster, fresh: Iterable[Entry]) -> list[Entry]:
    """Return those of the unknown entries for which there is room.

    Where one member has filled the roster, the others still write their share.
    """
    room = ROSTER_ENTRIES - len(roster.entries)
    written = Counter(one.author_id for one in roster.entries.values())
    found: list[Entry] = []
    for one in fresh:
        author = one.author_id
        spare = roster.is_living(author) and written[author] < ROSTER_SPARE
        if len(found) < room or spare:
            found.append(one)
            written[author] += 1
    return found


def in_messages(blobs: Iterable[bytes]) -> Iterator[list[bytes]]:
    """Yield entries of a roster, about a message full at a time, in their order."""
    found: list[bytes] = []
    for blob in blobs:
        found.append(blob)
        if sum(map(len, found)) >= SYNC_MESSAGE_BYTES:
            yield found
            found = []
    if found:
        yield found


def stored_roster(connection: sqlite3.Connection) -> list[Entry]:
    """Return the entries of the roster that this store holds.

    Raises:
        RegendError: one of them is damaged.
    """
    return [verify(row[0]) for row in connection.execute("SELECT entry FROM roster")]
