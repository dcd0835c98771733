"""Links between two devices over a way that fails at any byte: they are made again, and level."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest

from regend.clock import Clock, SystemClock
from regend.limits import BLOB_CHUNK_BYTES
from regend.mesh.links import Links, Target
from regend.mesh.statehash import state_hash
from regend.store import cells
from regend.sync.exchange import Exchange
from regend.sync.lanclient import connect
from regend.sync.lanserver import LanServer
from regend.sync.link import Link
from tests.mesh.test_dialling import StandingClock, links_of
from tests.sync.devices import Device, read_device
from tests.sync.faulty import Direction, Fault, FaultyWay, Kind
from tests.sync.houses import Household
from tests.sync.persons import identity, mesh
from tests.sync.replicas import CLOCK

SILENCE_S = 0.4
HANDSHAKE_BYTES = 4000  # of TLS, the upgrade and both hellos, about


class HastyClock(SystemClock):
    """A clock by which who waits for another try waits a twentieth."""

    def monotonic_s(self) -> float:
        return 20 * super().monotonic_s()


class Pair:
    """Two devices of one mesh, of which `two` calls `one` over a faulty way."""

    def __init__(self, one: Household, two: Household, way: FaultyWay, calling: Links) -> None:
        self.one = one
        self.two = two
        self.way = way
        self.calling = calling
        self.broke: list[dict[str, Any]] = []

    async def write(self, chance: random.Random) -> str:
        """Write on both devices, and let one want a payload of the other; return its digest."""
        for device in (self.one, self.two):
            changes = [
                (f"of {device.identity.id.hex()}", {f"f{number}": chance.randbytes(9000)})
                for number in range(3)
            ]
            await device.store.write(lambda c, said=changes: cells.write(c, said, CLOCK.wall_ms()))  # type: ignore[misc]
        digest = self.one.store.blobs.put(chance.randbytes(BLOB_CHUNK_BYTES + 7))
        await self.two.want(digest, self.one.identity.id)
        return digest

    async def level(self, digest: str) -> None:
        """Return once both have the same, and the payload has come."""
        async with asyncio.timeout(20):
            while not (
                self.two.has(digest)
                and await self.one.house.vector() == await self.two.house.vector()
            ):
                self.calling.look()
                await asyncio.sleep(0.01)
        hashes = [await device.store.query(state_hash) for device in (self.one, self.two)]
        assert hashes[0] == hashes[1]

    async def fail(self, fault: Fault, chance: random.Random) -> None:
        """Let a connection fail, and see that nothing is lost."""
        await self.way.cut()
        self.way.fault = fault
        await self.level(await self.write(chance))


def device_of(folder: Path, name: str) -> Device:
    person = identity(name)
    folder.mkdir()
    (folder / "certificate.der").write_bytes(person.certificate)
    (folder / "tls.pem").write_bytes(person.pem())
    return read_device(folder)


def exchange_of(house: Household) -> Callable[[Link], Exchange]:
    def exchange(link: Link) -> Exchange:
        return Exchange(link, house.house, house.fetcher, house.store.bell, house.serve)

    return exchange


@asynccontextmanager
async def running(folder: Path, clock: Clock) -> AsyncIterator[Pair]:
    roster = mesh("one", "two")
    one, two = [await Household(folder, roster, name).join() for name in ("one", "two")]
    own, other = (device_of(folder / f"keys-{name}", name) for name in ("one", "two"))
    called = links_of(own, clock, exchange_of(one))
    server = LanServer(own.credentials, called.take, silence_s=SILENCE_S, stranger_s=SILENCE_S)
    server.set_members([other.certificate])
    way = FaultyWay(await server.start(0))
    place = ("127.0.0.1", await way.open())
    target = Target(own.id, own.certificate, (place,))
    calling = links_of(other, clock, exchange_of(two), target)
    pair = Pair(one, two, way, calling)
    asyncio.get_running_loop().set_exception_handler(lambda _, about: pair.broke.append(about))
    calling.start()
    try:
        yield pair
    finally:
        await calling.stop()
        await way.close()
        await called.stop()
        await server.stop()
        for house in (one, two):
            await house.close()


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("regend.mesh.links.connect", partial(connect, silence_s=SILENCE_S))
    monkeypatch.setattr("regend.sync.lanclient.LINK_CONNECT_S", SILENCE_S)
    yield


async def used() -> tuple[int, int]:
    """Return how many tasks and sockets this process has, once things are quiet."""
    await asyncio.sleep(3 * SILENCE_S)
    gc.collect()
    return len(asyncio.all_tasks()), sockets()


def sockets() -> int:
    if sys.platform != "linux":
        return 0
    files = Path("/proc/self/fd")
    links = [os.readlink(one) for one in files.iterdir() if os.path.lexists(one)]
    return sum(one.startswith("socket:") for one in links)


async def fail_everywhere(
    folder: Path, caplog: pytest.LogCaptureFixture, faults: list[Fault], chance: random.Random
) -> None:
    async with running(folder, HastyClock()) as pair:
        await pair.level(await pair.write(chance))
        before = await used()
        happened = 0
        for fault in faults:
            await pair.fail(fault, chance)
            happened += pair.way.fault is None
        pair.way.fault = None
        await pair.level(await pair.write(chance))
        tasks, open_sockets = await used()
        assert happened > len(faults) // 2, "the places were on the way"
        assert tasks <= before[0] and open_sockets <= before[1]
        assert not pair.broke
    faulty = [one for one in caplog.records if one.exc_info or one.levelno >= logging.ERROR]
    assert not faulty


def places(kind: Kind, chance: random.Random, count: int) -> list[Fault]:
    """Return places in the handshakes, and as many in what follows."""
    faults = []
    for _ in range(count):
        faults += [
            Fault(kind, "there", chance.randrange(HANDSHAKE_BYTES)),
            Fault(kind, "back", chance.randrange(HANDSHAKE_BYTES)),
            Fault(kind, "there", chance.randrange(4 * HANDSHAKE_BYTES)),
            Fault(kind, "back", chance.randrange(BLOB_CHUNK_BYTES)),
        ]
    return faults


@pytest.mark.parametrize("kind", get_args(Kind))
async def test_wherever_the_way_fails_nothing_is_lost_and_nothing_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: Kind
) -> None:
    chance = random.Random(f"a few {kind}")
    await fail_everywhere(tmp_path, caplog, places(kind, chance, 2), chance)


async def test_who_cuts_every_link_makes_nobody_dial_without_end(tmp_path: Path) -> None:
    clock, chance = StandingClock(), random.Random(1)
    async with running(tmp_path, clock) as pair:
        for connections in (1, 2):
            await pair.level(await pair.write(chance))
            for _ in range(20):
                await pair.way.cut()
                await asyncio.sleep(0.02)
            assert pair.way.connections == connections
            clock.now_s += 1.0


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", get_args(Kind))
async def test_at_every_byte_the_way_may_fail(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: Kind
) -> None:
    chance = random.Random(f"all {kind}")
    ways: tuple[Direction, ...] = get_args(Direction)
    step = 40 if kind == "stall" else 5
    faults = [Fault(kind, way, at) for way in ways for at in range(0, HANDSHAKE_BYTES, step)]
    await fail_everywhere(tmp_path, caplog, faults + places(kind, chance, 50), chance)
