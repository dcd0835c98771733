"""What this device is in its mesh: its keys, the roster, and what it has of every log.

Exchanges read and write through it; it seals what goes out and opens what comes in, away from the
event loop. Rules
1. What is sent is read from what is committed.
2. A frame counts only if a member signed it, before it was revoked if it was.
3. What others did holds up what this device does no longer than a portion of it takes.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from regend.clock import Clock
from regend.errors import Refused
from regend.limits import ROSTER_ENTRIES, ROSTER_SPARE, SYNC_MESSAGE_BYTES
from regend.store import Store
from regend.store.change import LogId, Position
from regend.sync import frame, replica, supply
from regend.sync.device import Identity
from regend.sync.entries import Entry, verify
from regend.sync.epochs import Entropy
from regend.sync.forks import Fork, Reopen
from regend.sync.frame import Header
from regend.sync.hashing import StateHash
from regend.sync.payloads import Cut
from regend.sync.portions import Portions
from regend.sync.replica import Opened, Received
from regend.sync.roster import Roster
from regend.sync.supply import Written
from regend.sync.wants import Locked

log = logging.getLogger("regend.sync")

TakeIn = Callable[
    [sqlite3.Connection, list[Opened], Callable[[LogId], Cut | None], Reopen], Received
]


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
        state_hash: of what is here.
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
        self.state_hash = StateHash(store, state_hash)
        self._store = store
        self._clock = clock
        self._take_in = take_in
        self._entropy = entropy
        self._portions = Portions()
        self._judging = asyncio.Lock()
        self._keys = roster.epoch_keys(identity.sealing_key)

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
        async with self._judging:
            fresh = [one for one in entries if one.id not in self.roster.entries]
            if len(_fitting(self.roster, fresh)) < len(fresh):
                raise Refused(
                    "roster_full",
                    f"The roster of the mesh has {ROSTER_ENTRIES} entries, which is the most.",
                    hint="Begin a new mesh with the devices that you still have.",
                )
            await self._add(fresh)

    async def take_roster(self, blobs: Iterable[bytes]) -> None:
        """Take in entries that another device sent, as far as there is room.

        Raises:
            RegendError: one of them is none; nothing of them was taken.
        """
        known = {entry.blob for entry in self.roster.entries.values()}
        new = [blob for blob in blobs if blob not in known]
        verified = await asyncio.to_thread(lambda: [verify(blob) for blob in new])
        async with self._judging:
            fresh = [one for one in verified if one.id not in self.roster.entries]
            fitting = _fitting(self.roster, fresh)
            if len(fitting) < len(fresh):
                log.warning("the roster is full: not all that other devices say of it is taken")
            await self._add(fitting)

    async def _add(self, fresh: list[Entry]) -> None:
        """Store entries and go by them; they are judged off the loop, and one lot at a time."""
        if not fresh:
            return
        before, rows = self.roster, [(one.id, one.blob) for one in fresh]

        def judged() -> tuple[Roster, dict[bytes, bytes]]:
            merged = before.merged(fresh)
            return merged, merged.epoch_keys(self.identity.sealing_key)

        merged, keys = await asyncio.to_thread(judged)
        await self._store.write(
            lambda c: (
                c.executemany(
                    "INSERT OR IGNORE INTO roster (id, entry) VALUES (?, ?)", rows
                ).rowcount
            )
        )
        # The keys first: what goes out meanwhile is sealed in a thread, by what the roster says.
        self._keys = keys
        self.roster = merged
        self.roster_changed()

    async def vector(self) -> dict[LogId, Position]:
        """Return how far each log is here."""
        return await self._store.query(replica.vector)

    async def frames(self, log_id: LogId, seq: int) -> tuple[int, list[bytes]]:
        """Return the next frames of a log after a change, about a message full.

        What stands in plain is sealed only now, with the newest key; a device that was put out has
        none for it, and keeps it.

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
        if own and not self.can_seal:
            return seq, []
        if own:
            return own[-1].last, await self.seal(own)
        return (stored[-1][0] if stored else seq), [blob for _, blob in stored]

    @property
    def can_seal(self) -> bool:
        """Whether the key for what goes out now is here; a device that was put out has it not."""
        return self.roster.current is None or self.roster.current in self._keys

    async def seal(self, own: list[Written]) -> list[bytes]:
        """Return own changes as frames, sealed with the newest key.

        Raises:
            Refused: that key is not here, because this device was put out.
        """
        return await asyncio.to_thread(self._sealed, own)

    def _sealed(self, own: list[Written]) -> list[bytes]:
        key_id = self.roster.current or next(reversed(self._keys))
        key, signing_key = self._keys.get(key_id), self.identity.signing_key
        if key is None:
            raise Refused("device_revoked", "This device was put out of the mesh.")
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
        """Make frames durable, and what they say; those that cannot be read yet are left out.

        Not all in one transaction: what jobs here write goes in between (rule 3).

        Raises:
            Busy: the disk refuses; what was taken by then, is here.
            Refused: one of them is not of a member, or was changed on its way.
        """
        opened, received = await asyncio.to_thread(self._opened, blobs)
        for portion in self._portions.of(opened):
            received += await self._store.write(
                lambda c, portion=portion: self._take_portion(c, portion),  # type: ignore[misc]
                may_wait=True,
            )
        known = sorted(received.forks, key=lambda one: one.common is not None)
        for fork in {one.log: one for one in known}.values():
            if fork.common is not None or fork.log.device != self.identity.id:
                self.forked(fork)
        return received

    def _take_portion(self, connection: sqlite3.Connection, portion: list[Opened]) -> Received:
        began_s = self._clock.monotonic_s()
        received = self._take_in(connection, portion, self.cut, self.read_stored)
        if received.changes >= self._portions.length:
            self._portions.took(self._clock.monotonic_s() - began_s)
        return received

    def _opened(self, blobs: list[bytes]) -> tuple[list[Opened], Received]:
        """Return the frames that can be read, and what there is of others."""
        opened, left_out = [], Received()
        for blob in blobs:
            try:
                parsed = self._verified(blob)
            except frame.Newer:
                left_out.newer += 1
                continue
            header = parsed.header
            key = self._keys.get(header.key_id)
            if key is None:
                left_out.locked.setdefault(header.log, Locked(header.first - 1, header.key_id))
            else:
                opened.append(Opened(blob, parsed, frame.open_bodies(parsed, key)))
        return opened, left_out

    def _verified(self, blob: bytes) -> frame.Frame:
        parsed = frame.parse(blob)
        if parsed.header.mesh != self.mesh:
            raise Refused("frame_foreign", "A frame is of another mesh.")
        member = self.roster.members.get(parsed.header.log.device)
        if member is None:
            raise Refused("frame_stranger", "A frame is of a device that was never of this mesh.")
        frame.verify(parsed, member.device.verify_key)
        return parsed

    def read_stored(self, blob: bytes) -> tuple[frame.Frame, list[bytes]]:
        """Return a frame that is stored here, with its bodies."""
        return frame.opener(self._keys)(blob)

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
