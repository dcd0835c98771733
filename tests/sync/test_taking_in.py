"""What others did is taken in piece by piece: what is done here meanwhile need not wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from regend.limits import FRAME_CHANGES
from regend.store import cells
from regend.sync import replica
from tests.sync.houses import Household
from tests.sync.persons import mesh
from tests.sync.replicas import CLOCK
from tests.sync.test_exchange import put

COUNT = 4 * FRAME_CHANGES


@pytest.fixture
async def houses(tmp_path: Path) -> AsyncIterator[list[Household]]:
    roster = mesh("one", "two")
    made = [await Household(tmp_path, roster, name).join() for name in ("one", "two")]
    yield made
    for one in made:
        await one.close()


async def test_what_is_written_here_is_durable_after_the_frame_that_is_being_taken_in(
    houses: list[Household],
) -> None:
    one, two = houses
    await put(one, COUNT, 20)
    _, frames = await one.house.frames(one.log, 0)
    assert len(frames) == COUNT // FRAME_CHANGES, "one message"
    loop, writing = asyncio.get_running_loop(), asyncio.Event()
    take_in = two.house._take_in

    def begin(*of: Any) -> Any:
        loop.call_soon_threadsafe(writing.set)
        return take_in(*of)

    two.house._take_in = begin
    taking = asyncio.create_task(two.house.take(frames))
    await writing.wait()

    def write(connection: Any) -> int:
        cells.write(connection, [("here", {"f": 1})], CLOCK.wall_ms())
        return replica.vector(connection)[one.log].seq

    assert await two.store.write(write) <= 2 * FRAME_CHANGES
    received = await taking
    assert received.changes == COUNT


async def test_many_small_frames_are_taken_in_together(houses: list[Household]) -> None:
    one, two = houses
    frames: list[bytes] = []
    for number in range(20):
        await put(one, 1)
        frames += (await one.house.frames(one.log, number))[1]
    assert len(frames) == 20
    take_in, calls = two.house._take_in, 0

    def count(*of: Any) -> Any:
        nonlocal calls
        calls += 1
        return take_in(*of)

    two.house._take_in = count
    assert (await two.house.take(frames)).changes == 20
    assert calls == 1, "each commit waits for the disk"
