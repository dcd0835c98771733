"""What is remembered of the other devices while the mesh runs."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Mapping

from regend.clock import Clock
from regend.mesh import peers
from regend.mesh.peers import NOBODY, Peer
from regend.mesh.statehash import contradict
from regend.store import Store
from regend.sync.exchange import Exchange
from regend.sync.house import House

log = logging.getLogger("regend.sync")


class Others:
    """The other devices of the mesh, as they were met last."""

    def __init__(self, store: Store, clock: Clock, house: House) -> None:
        self._store = store
        self._clock = clock
        self._house = house
        self._known: Mapping[bytes, Peer] = {}

    def peer(self, device: bytes) -> Peer:
        """Return what was remembered of a device at the last `remember`."""
        return self._known.get(device, NOBODY)

    async def remember(self) -> None:
        """Read what is stored of them."""
        self._known = await self._store.query(peers.peers)

    async def note(self, exchange: Exchange, address: str | None) -> None:
        """Store what a device says now that it has, and whether its state contradicts this one's.

        Args:
            address: where it was reached; None where it called.
        """
        at_ms, device = self._clock.wall_ms(), exchange.device
        theirs, state = dict(exchange.theirs), exchange.state_hash
        vector, own = self._house.hashed
        differs = contradict(own, state) if own and state and vector == theirs else None
        if differs:
            log.error("by the same changes, %s has another state", device.hex()[:8])

        def write(connection: sqlite3.Connection) -> None:
            peers.note(connection, device, theirs, state, at_ms, address, differs)

        await self._store.write(write)
