"""What is remembered of the other devices: where they were, when, and what they said they have.

Where one has another state by the same changes, that is an alarm, and stays on record until it has
the same.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgpack

from regend.clock import Clock
from regend.mesh.statehash import contradict
from regend.store import Store
from regend.sync import vectors
from regend.sync.exchange import Exchange
from regend.sync.house import House
from regend.sync.vectors import Vector

log = logging.getLogger("regend.sync")

_NOTE_S: Final = 0.2


class Peer(NamedTuple):
    """A device as it was met last.

    Attributes:
        vector: how far each log was there.
        state_hash: of what it had then; empty where it did not say.
        seen_at: wall time in ms; None where it was never met.
        address: where it was reached last, `host port`.
        manual: where it was when it let this device in, by what a person said or was found.
        differs_since: when its state was found to differ from this one's, by the same changes.
    """

    vector: Vector
    state_hash: bytes
    seen_at: int | None
    address: str | None
    manual: str | None
    differs_since: int | None


NOBODY = Peer({}, b"", None, None, None, None)


def peers(connection: sqlite3.Connection) -> dict[bytes, Peer]:
    """Return what is remembered, by device."""
    rows = connection.execute(
        "SELECT device, vector, state_hash, seen_at, address, manual, differs_since FROM peers"
    )
    return {
        device: Peer(_unpacked(vector), state_hash or b"", *rest)
        for device, vector, state_hash, *rest in rows
    }


def note(
    connection: sqlite3.Connection,
    device: bytes,
    vector: Vector,
    state_hash: bytes,
    at_ms: int,
    address: str | None,
    differs: bool | None = None,
) -> None:
    """Remember a device as it is now.

    Args:
        differs: whether its state is another than this one's, by the same changes; None where that
            cannot be told now, and what was found before stands.
    """
    packed = msgpack.packb(vectors.packed(vector))
    connection.execute(
        "INSERT INTO peers (device, vector, state_hash, seen_at, address) VALUES (?, ?, ?, ?, ?) "
        "ON CONFLICT (device) DO UPDATE SET vector = excluded.vector, "
        "state_hash = excluded.state_hash, seen_at = excluded.seen_at, "
        "address = coalesce(excluded.address, address)",
        (device, packed, state_hash, at_ms, address),
    )
    if differs is not None:
        connection.execute(
            "UPDATE peers SET differs_since = iif(?, coalesce(differs_since, ?), NULL) "
            "WHERE device = ?",
            (differs, at_ms, device),
        )


def note_address(connection: sqlite3.Connection, device: bytes, address: str) -> None:
    """Remember where a device was when it let this one into its mesh.

    It stays beside where the device is reached later: a person may have typed a name that lasts.
    """
    connection.execute(
        "INSERT INTO peers (device, manual) VALUES (?, ?) "
        "ON CONFLICT (device) DO UPDATE SET manual = excluded.manual",
        (device, address),
    )


def _unpacked(packed: bytes | None) -> Vector:
    return {} if packed is None else vectors.unpacked(msgpack.unpackb(packed))


class Peers:
    """The other devices as they were met last, while the mesh runs."""

    def __init__(self, store: Store, clock: Clock, house: House) -> None:
        self._store = store
        self._clock = clock
        self._house = house
        self._known: Mapping[bytes, Peer] = {}
        self._noting: set[Exchange] = set()

    def peer(self, device: bytes) -> Peer:
        """Return what was remembered of a device at the last `remember`."""
        return self._known.get(device, NOBODY)

    async def remember(self) -> None:
        """Read what is stored of them."""
        self._known = await self._store.query(peers)

    async def note(self, exchange: Exchange, address: str | None) -> None:
        """Store what a device says that it has, and whether its state contradicts this one's.

        Not each time: while much comes in, it says so with every part of it.

        Args:
            address: where it was reached; None where it called.
        """
        if exchange in self._noting:
            return
        self._noting.add(exchange)
        try:
            await asyncio.sleep(_NOTE_S)
        finally:
            self._noting.discard(exchange)
        at_ms, device = self._clock.wall_ms(), exchange.device
        theirs, state = dict(exchange.theirs), exchange.state_hash
        vector, own = self._house.state_hash.last
        differs = contradict(own, state) if own and state and vector == theirs else None
        if differs:
            log.error("by the same changes, %s has another state", device.hex()[:8])

        def write(connection: sqlite3.Connection) -> None:
            note(connection, device, theirs, state, at_ms, address, differs)

        await self._store.write(write)
