"""What another device does not take fills no window: everything else goes on to reach it."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import msgpack
import pytest

from regend.limits import KIB
from regend.store import cells
from regend.store.change import LogId
from regend.sync.exchange import Exchange
from regend.sync.forks import Fork
from tests.sync.houses import Household, joined, level, until
from tests.sync.persons import mesh
from tests.sync.replicas import CLOCK

WINDOW_BYTES = 256 * KIB


@pytest.fixture
async def houses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Household]]:
    """Two devices, and two copies of the home of a third."""
    monkeypatch.setattr("regend.sync.window.EXCHANGE_WINDOW_BYTES", WINDOW_BYTES)
    roster = mesh("one", "two", "three")
    made = [
        await Household(tmp_path / place, roster, name).join()
        for name, place in (("one", "a"), ("two", "a"), ("three", "a"), ("three", "b"))
    ]
    yield made
    for one in made:
        await one.close()


async def put(device: Household, count: int, size_bytes: int) -> None:
    """Write changes, each in a frame of its own."""
    for number in range(count):
        change = [(f"of {device.identity.id.hex()}", {f"f{number % 9}": os.urandom(size_bytes)})]
        await device.store.write(lambda c, change=change: cells.write(c, change, CLOCK.wall_ms()))  # type: ignore[misc]


async def quiet(exchange: Exchange) -> None:
    """Return once a device has sent something, and sends no more."""
    sent_bytes = 0
    while not 0 < sent_bytes == exchange.counts.sent_bytes:
        sent_bytes = exchange.counts.sent_bytes
        await asyncio.sleep(0.2)


async def is_so(value: bool) -> bool:
    return value


async def copied(home: Household, tmp_path: Path) -> Household:
    """Return another device with the keys, the log and the store of one."""
    shutil.copytree(home.home.data_dir, tmp_path / "copy" / "three")
    return Household(tmp_path / "copy", home.house.roster, "three")


async def came(here: Household, there: Household) -> None:
    """Return once what a device wrote is on another."""

    async def is_there() -> bool:
        written, known = await here.house.vector(), await there.house.vector()
        return known.get(here.log) == written[here.log]

    await until(is_there)


async def test_a_history_that_parted_holds_up_nothing_else(houses: list[Household]) -> None:
    one, two, home, copy = houses
    await put(home, 3, 10)
    joined(one, home)
    await level(one, home)
    await put(copy, 40, 16_000)
    joined(two, copy)
    await level(two, copy)
    exchanges = joined(one, two)
    await quiet(exchanges[1])
    await put(two, 3, 10)
    await came(two, one)
    await put(one, 3, 10)
    await came(one, two)


async def test_frames_of_a_newer_protocol_hold_up_nothing_else(houses: list[Household]) -> None:
    old, new, third, _ = houses
    frames, sent_bytes = new.house.frames, 0
    joined(new, third)
    newer = msgpack.packb((msgpack.packb((2, "in another way")), bytes(16_000), b""))

    async def newer_frames(log_id: LogId, seq: int) -> tuple[int, list[bytes]]:
        nonlocal sent_bytes
        last, found = await frames(log_id, seq)
        if log_id != new.log:
            return last, found
        sent_bytes += len(newer)
        return seq + 1, [newer]

    new.house.frames = newer_frames  # type: ignore[method-assign]
    await put(new, 200, 10)
    exchange, _ = joined(new, old)
    await quiet(exchange)
    await put(third, 3, 10)
    await came(third, old)
    assert new.log not in await old.house.vector()
    assert sent_bytes < 2 * WINDOW_BYTES, "what it does not take is not sent to it on and on"


async def test_where_a_copied_home_parted_is_found_behind_a_window_of_what_both_have(
    houses: list[Household], tmp_path: Path
) -> None:
    one, _, home, _ = houses
    await put(home, 40, 16_000)
    copy = await copied(home, tmp_path)
    try:
        await put(copy, 3, 10)
        joined(one, copy)
        await level(one, copy)
        await put(home, 1, 10)
        forks: list[Fork] = []
        home.house.forked = forks.append
        joined(one, home)
        await until(lambda: is_so(any(one.common == 40 for one in forks)))
    finally:
        await copy.close()
