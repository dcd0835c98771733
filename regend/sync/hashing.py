"""The hash of the state that all changes together make, taken once nothing has changed for a while.

Devices that have the same changes compare it.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from typing import Final

from regend.store import Store
from regend.store.change import LogId, Position
from regend.sync import replica

_QUIET_S: Final = 0.5  # the state is hashed once nothing has changed for so long


class StateHash:
    """What is known of the hash of this device's state.

    Args:
        read: returns it.

    Attributes:
        last: the vector whose state was hashed last, and that hash.
    """

    def __init__(self, store: Store, read: Callable[[sqlite3.Connection], bytes]) -> None:
        self._store = store
        self._read = read
        self._hashing: asyncio.Task[None] | None = None
        self.last: tuple[Mapping[LogId, Position] | None, bytes] = (None, b"")

    def of(self, vector: Mapping[LogId, Position]) -> bytes:
        """Return the hash of the state that a vector makes; empty until things are quiet."""
        if self.last[0] == vector:
            return self.last[1]
        if self._hashing is None or self._hashing.done():
            self._hashing = asyncio.create_task(self._hash_when_quiet(), name="state-hash")
        return b""

    async def stop(self) -> None:
        """End what runs by itself."""
        if self._hashing is not None:
            self._hashing.cancel()
            await asyncio.gather(self._hashing, return_exceptions=True)

    async def _hash_when_quiet(self) -> None:
        seen: Mapping[LogId, Position] | None = None
        while True:
            now = await self._store.query(replica.vector)
            if now == seen:
                break
            seen = now
            await asyncio.sleep(_QUIET_S)

        def read(connection: sqlite3.Connection) -> tuple[dict[LogId, Position], bytes]:
            return replica.vector(connection), self._read(connection)

        self.last = await self._store.query(read)
        self._store.bell.ring()
