"""A log with two histories, between devices that are neither of those which wrote it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regend.store import cells
from regend.store.change import LogId
from regend.sync import forks
from regend.sync.link import memory_pair
from tests.sync.houses import Household, joined, level, until
from tests.sync.persons import mesh
from tests.sync.replicas import CLOCK
from tests.sync.test_exchange import Counted

NAMES = ("one", "two", "three")


@pytest.fixture
async def houses(tmp_path: Path) -> AsyncIterator[list[Household]]:
    """Two devices, and a third with a copy of its home."""
    roster = mesh(*NAMES)
    made = [await Household(tmp_path, roster, name).join() for name in NAMES]
    made.append(await Household(tmp_path / "copy", roster, "three").join())
    yield made
    for one in made:
        await one.close()


async def put(device: Household, count: int) -> None:
    written_by = device.home.data_dir.as_posix()
    for change in [("thing", {f"f{number}": written_by}) for number in range(count)]:
        await device.store.write(lambda c, one=change: cells.write(c, [one], CLOCK.wall_ms()))  # type: ignore[misc]


async def parked(device: Household, log: LogId) -> int:
    return len(await device.store.query(lambda c: forks.parked(c, log)))


@pytest.mark.parametrize("lengths", [(3, 3), (3, 7), (7, 3), (400, 300)])
async def test_two_devices_keep_both_histories_and_go_on_without_end(
    houses: list[Household], lengths: tuple[int, int]
) -> None:
    """Each is told of the other's once, whole, and what else they have to say is not held up."""
    one, two, three, copy = houses
    for device, met, length in ((three, one, lengths[0]), (copy, two, lengths[1])):
        await put(device, length)
        joined(device, met)
        await level(device, met)
    ends = memory_pair(one.identity.id, two.identity.id)
    links = [Counted(end) for end in ends]
    for device, link in zip((one, two), links, strict=True):
        device.exchange(link)

    async def told() -> bool:
        return all([await parked(device, three.log) for device in (one, two)])

    await until(told)
    for number in range(3):
        await put((one, two)[number % 2], 1)

        async def came() -> bool:
            vectors = [await device.house.vector() for device in (one, two)]
            return all(vectors[0].get(d.log) == vectors[1].get(d.log) for d in (one, two))

        await until(came)
    assert sum(link.sent for link in links) < 60
    for device, length in ((one, lengths[0]), (two, lengths[1])):
        assert (await device.house.vector())[three.log].seq == length
        assert await device.store.query(forks.split_devices) == {three.identity.id}


async def test_a_home_whose_log_others_have_otherwise_sees_it_wherever_it_parted(
    houses: list[Household],
) -> None:
    """Also where its copy wrote more, and what is sent begins far behind the parting."""
    one, _, three, copy = houses
    found: list[forks.Fork] = []
    copy.house.forked = found.append
    await put(three, 900)
    joined(three, one)
    await level(three, one)
    await put(copy, 500)
    joined(one, copy)

    async def seen() -> bool:
        return forks.Fork(three.log, 0) in found

    await until(seen)
