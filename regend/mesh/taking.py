"""What other devices wrote is taken in here, or taken back, and what follows from it is done.

What a device brings is told to the other parts of the daemon only after its commit.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

from regend.clock import Clock
from regend.jobs.supervisor import Supervisor
from regend.mesh.jobs import Consequences, take_in, take_up_kept
from regend.mesh.unfolding import end_at_cut
from regend.store import Store
from regend.store.change import LogId
from regend.sync.forks import Reopen
from regend.sync.house import House
from regend.sync.payloads import Cut
from regend.sync.replica import Folder, Opened, Received, vector

log = logging.getLogger("regend.sync")


class Taking:
    """Takes in what other devices wrote.

    Args:
        folders: of what is not about jobs.
        arrived: called where jobs have come that are to run here.
        spawn: runs work by itself.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        supervisor: Supervisor,
        folders: Mapping[str, Folder],
        arrived: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._store = store
        self._clock = clock
        self._supervisor = supervisor
        self._folders = folders
        self._arrived = arrived
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()

    def take_in(
        self,
        connection: sqlite3.Connection,
        opened: list[Opened],
        cut: Callable[[LogId], Cut | None],
        reopen: Reopen,
    ) -> Received:
        """Take frames in, in the writer's transaction; see `house.House`."""
        at_ms = self._clock.wall_ms()
        received, done = take_in(connection, opened, self._folders, cut, reopen, at_ms)
        if received.changes:
            # In the writer's thread, before the commit: the loop turns to it after.
            self._loop.call_soon_threadsafe(self._follow, done)
        return received

    async def take_up_kept(self) -> None:
        """Fold what the program before this one could not, in pages."""
        while True:
            at_ms = self._clock.wall_ms()
            received, done = await self._store.write(
                lambda c, at_ms=at_ms: take_up_kept(c, self._folders, at_ms)  # type: ignore[misc]
            )
            if not received.changes:
                return
            self._follow(done)

    async def take_back(self, house: House) -> None:
        """Take back what revoked devices wrote past their cuts, where it was taken in before.

        Where this device itself was revoked and has come back, it tells that anew.
        """
        while await self._take_back_once(house):
            pass  # where a log ends, another may begin again that had parted there
        self._supervisor.end_lost()

    async def _take_back_once(self, house: House) -> bool:
        """Return whether anything was taken back, or taken in instead."""
        done = False
        # Read by the writer: what was under way while the roster was another is in it by now.
        for log_id in await self._store.write(vector):
            if house.cut(log_id) is None:
                continue
            taken, instead = await self._store.write(
                lambda c, log_id=log_id: self._end_at_cut(c, log_id, house)  # type: ignore[misc]
            )
            if taken:
                log.info("%d changes of a revoked device do not count", taken)
            done |= taken + instead > 0
        return done

    def _end_at_cut(
        self, connection: sqlite3.Connection, log_id: LogId, house: House
    ) -> tuple[int, int]:
        """Return how many changes of a log were taken back, and taken in in their stead."""
        cut, reopen = house.cut(log_id), house.read_stored
        if cut is None:
            return 0, 0
        taken, blobs = end_at_cut(connection, log_id, cut, reopen, self._clock.wall_ms())
        instead = [Opened(blob, *reopen(blob)) for blob in blobs]
        return taken, self.take_in(connection, instead, house.cut, reopen).changes

    def _follow(self, done: Consequences) -> None:
        for job, desired in done.wished:
            self._supervisor.tell(job, desired)
        self._supervisor.end_lost()
        if done.arrived:
            self._arrived()
        if done.unneeded:
            self._spawn(asyncio.to_thread(self._store.blobs.discard, done.unneeded))
