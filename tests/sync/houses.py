"""Devices of one mesh with real stores and the loops of an exchange, without daemons."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from regend.home import Home
from regend.jobs import arrivals
from regend.jobs.mirror import collect
from regend.mesh import peers
from regend.mesh.jobs import take_in
from regend.mesh.network import wanted_payloads
from regend.mesh.packing import Packing
from regend.mesh.statehash import state_hash
from regend.store import Store, changelog
from regend.store.change import LogId
from regend.sync.exchange import Exchange
from regend.sync.fetching import Fetcher, Wanted
from regend.sync.forks import Reopen
from regend.sync.house import House
from regend.sync.link import Link, memory_pair
from regend.sync.payloads import Cut
from regend.sync.replica import Opened, Received
from regend.sync.roster import Roster
from tests.sync.persons import identity
from tests.sync.replicas import CLOCK

WAIT_S = 30.0


async def refuse(_exchange: Exchange, _name: str, _arguments: dict[str, Any]) -> Any:
    return None


class Household:
    """A device: its store, its house and what it exchanges."""

    def __init__(self, folder: Path, roster: Roster, name: str) -> None:
        self.home = Home.at(folder / name)
        self.store = Store(self.home)
        self.identity = identity(name)
        self.log = LogId(self.identity.id, hashlib.sha256(name.encode()).digest()[:8])
        self.asked: list[tuple[str, int]] = []
        self.running: list[asyncio.Task[None]] = []
        self.serve: Callable[[Exchange, str, dict[str, Any]], Awaitable[Any]] = refuse
        self.house = House(
            self.store,
            CLOCK,
            self.identity,
            self.log.incarnation,
            roster,
            take_in=self._take_in,
            state_hash=state_hash,
            entropy=os.urandom,
        )
        self.packing = Packing(self.store, self.house)
        self.fetcher = Fetcher(
            self.store,
            CLOCK,
            self.home.incoming_dir,
            wanted=wanted_payloads,
            writers=arrivals.writers,
            came=arrivals.blob_came,
            gone=arrivals.blob_gone,
            elsewhere=_nowhere,
        )

    def _take_in(
        self,
        connection: sqlite3.Connection,
        opened: list[Opened],
        cut: Callable[[LogId], Cut | None],
        reopen: Reopen,
    ) -> Received:
        return take_in(connection, opened, {}, cut, reopen, CLOCK.wall_ms())[0]

    async def join(self) -> Household:
        await self.store.write(lambda c: changelog.begin(c, self.log))
        self.store.before_commit(lambda c: collect(c, CLOCK.wall_ms()))
        return self

    def exchange(self, link: Link) -> Exchange:
        """Begin to exchange over a link."""
        made = Exchange(link, self.house, self.fetcher, self.store.bell, self.serve)
        self.running.append(asyncio.create_task(made.run()))
        return made

    async def remember(self, other: Household) -> None:
        """Take note of what another device has, as `mesh.network` does when it says so."""
        vector = await other.house.vector()
        await self.store.write(
            lambda c: peers.note(c, other.identity.id, vector, b"", CLOCK.wall_ms(), None)
        )

    async def want(self, digest: str, writer: bytes) -> None:
        """Want a payload that another device wrote of."""
        await self.store.write(lambda c: arrivals.want_blob(c, writer, digest, None))

    async def wanted(self) -> list[Wanted]:
        return await self.store.query(lambda c: list(wanted_payloads(c)))

    def has(self, digest: str) -> bool:
        return self.store.blobs.path(digest).exists()

    async def close(self) -> None:
        for task in self.running:
            task.cancel()
        await asyncio.gather(*self.running, return_exceptions=True)
        await self.house.state_hash.stop()
        self.fetcher.sender.close()
        self.store.close()


async def _nowhere(_digest: str) -> Path | None:
    return None


def joined(one: Household, two: Household) -> tuple[Exchange, Exchange]:
    """Let two devices exchange over a link in memory."""
    ends = memory_pair(one.identity.id, two.identity.id)
    return one.exchange(ends[0]), two.exchange(ends[1])


async def until(holds: Callable[[], Awaitable[bool]], *watched: Household) -> None:
    """Return once something is so."""
    async with asyncio.timeout(WAIT_S):
        while not await holds():
            await asyncio.sleep(0.01)


async def level(*devices: Household) -> None:
    """Return once all have the same changes."""

    async def same() -> bool:
        vectors = [await one.house.vector() for one in devices]
        return all(vector == vectors[0] for vector in vectors)

    await until(same)
