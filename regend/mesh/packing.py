"""Packs what this home wrote once another device has it (`sync.packing`), in the background.

A page is read, sealed away from the writer, and stored in one transaction if its log is still the
same; killed in between, a home has all that it had.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Mapping
from typing import Final

from regend.errors import RegendError
from regend.limits import PACKING_S
from regend.mesh import peers
from regend.store import Store
from regend.store.change import LogId, Position
from regend.sync import packing
from regend.sync.house import House

log = logging.getLogger("regend.sync")

_PAUSE_S: Final = 0.02  # between two pages: others write too


class Packing:
    """Packs now and then, from its start to its stop."""

    def __init__(self, store: Store, house: House) -> None:
        self._store = store
        self._house = house
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._running = asyncio.create_task(self._run(), name="packing")

    async def stop(self) -> None:
        """End."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self.run_once()
            except (RegendError, sqlite3.Error) as error:
                log.warning("what the other devices have is not packed now: %s", error)
            except Exception:  # the outermost loop: it is for later to do better
                log.exception("packing failed")
            await asyncio.sleep(PACKING_S)

    async def run_once(self) -> int:
        """Pack what another device has; return how many changes."""
        count = 0
        while page := await self._store.query(lambda c: packing.next_page(c, self._known(c))):
            sealed = await self._house.seal(page)
            if await self._store.write(
                lambda c, page=page, sealed=sealed: packing.pack(c, page, sealed)  # type: ignore[misc]
            ):
                count += page[-1].last - page[0].first + 1
            await asyncio.sleep(_PAUSE_S)
        if count:
            log.info("%d changes were packed", count)
        return count

    def _known(self, connection: sqlite3.Connection) -> list[Mapping[LogId, Position]]:
        """Return what the other devices of the mesh said last that they have."""
        if not self._house.can_seal:
            return []
        own, living = self._house.identity.id, self._house.roster.living
        known = peers.peers(connection)
        return [known[one].vector for one in living if one in known and one != own]
