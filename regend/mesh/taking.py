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
from regend.mesh.unfolding import unfold
from regend.store import Store
from regend.store.change import LogId, first_head
from regend.sync.forks import Reopen
from regend.sync.house import House
from regend.sync.payloads import Cut
from regend.sync.replica import Folder, Opened, Received

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
        spawn: Callable[[Coroutine[Any, Any, None]], None],
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
        cut: Callable[[LogId], int | None],
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
        """Take back what revoked devices wrote past their cuts, where it was taken in before."""
        at_ms = self._clock.wall_ms()
        for log_id, place in (await house.vector()).items():
            cut = house.roster.cut(*log_id)
            if cut is None or place.seq <= cut.seq or log_id.device == house.identity.id:
                continue
            end = cut if cut.seq else Cut(0, first_head(log_id))
            taken = await self._store.write(
                lambda c, log_id=log_id, end=end: unfold(c, log_id, end, house.read_stored, at_ms)  # type: ignore[misc]
            )
            log.info("%d changes of a revoked device do not count", taken)
        self._supervisor.end_lost()

    def _follow(self, done: Consequences) -> None:
        for job, desired in done.wished:
            self._supervisor.tell(job, desired)
        self._supervisor.end_lost()
        if done.arrived:
            self._arrived()
        if done.unneeded:
            self._spawn(asyncio.to_thread(self._store.blobs.discard, done.unneeded))
