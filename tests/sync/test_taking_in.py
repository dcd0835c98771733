"""What others did is taken in by portions: what is done here meanwhile need not wait for all."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from regend.errors import Busy
from regend.jobs import handover
from regend.limits import FRAME_CHANGES, TAKE_IN_S
from regend.store import cells
from regend.sync import replica
from regend.sync.portions import Portions
from tests.sync.houses import Household, joined, level
from tests.sync.persons import mesh
from tests.sync.replicas import CLOCK
from tests.sync.test_exchange import put

COUNT = 4 * FRAME_CHANGES


@pytest.fixture
async def houses(tmp_path: Path) -> AsyncIterator[list[Household]]:
    roster = mesh("one", "two", "three")
    made = [await Household(tmp_path, roster, name).join() for name in ("one", "two", "three")]
    yield made
    for one in made:
        await one.close()


async def frames_of(device: Household) -> list[bytes]:
    """Return all that a device wrote, which is one message."""
    return (await device.house.frames(device.log, 0))[1]


async def test_what_is_written_here_is_durable_after_the_portion_that_is_being_taken_in(
    houses: list[Household], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = houses
    await put(one, COUNT, 20)
    loop, writing = asyncio.get_running_loop(), asyncio.Event()
    take_in = two.house._take_in
    two.house._portions = Portions(32)
    monkeypatch.setattr(Portions, "took", lambda *_of: None)

    def begin(*of: Any) -> Any:
        loop.call_soon_threadsafe(writing.set)
        return take_in(*of)

    two.house._take_in = begin
    taking = asyncio.create_task(two.house.take(await frames_of(one)))
    await writing.wait()

    def write(connection: Any) -> int:
        cells.write(connection, [("here", {"f": 1})], CLOCK.wall_ms())
        return replica.vector(connection)[one.log].seq

    assert await two.store.write(write) <= 2 * 32
    assert (await taking).changes == COUNT


async def test_many_small_frames_are_taken_in_together(houses: list[Household]) -> None:
    one, two, _ = houses
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


async def test_a_frame_that_came_in_part_is_kept_once_and_handed_on_whole(
    houses: list[Household],
) -> None:
    """A power cut between two portions: what is here is a part of a frame."""
    one, two, three = houses
    await put(one, 100, 20)
    frames = await frames_of(one)
    two.house._portions = Portions(30)
    take_in, calls = two.house._take_in, 0

    def cut(*of: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Busy("disk_full", "The disk is full.")
        return take_in(*of)

    two.house._take_in = cut
    with pytest.raises(Busy):
        await two.house.take(frames)
    before = (await two.house.vector())[one.log].seq
    assert 0 < before < 100

    last, handed_on = await two.house.frames(one.log, 0)
    assert (last, handed_on) == (before, frames)
    await three.house.take(handed_on)
    await put(one, 10, 20)
    joined(one, two)
    joined(two, three)
    await level(one, two, three)
    for device in (two, three):
        rows = await device.store.query(lambda c: c.execute("SELECT sealed FROM frames").fetchall())
        assert len(rows) == len(set(rows)), "none twice"
        assert await value(device, one) == await value(one, one)


async def value(device: Household, of: Household) -> Any:
    name = f"of {of.identity.id.hex()}"
    return await device.store.query(
        lambda c: c.execute(
            "SELECT field, value FROM cells WHERE object = ? ORDER BY field", (name,)
        ).fetchall()
    )


def test_portions_have_as_many_changes_as_fit_the_time() -> None:
    portions = Portions()
    lengths = []
    for seconds in (8 * TAKE_IN_S, 8 * TAKE_IN_S, TAKE_IN_S, 0.0, 0.0):
        portions.took(seconds)
        lengths.append(portions.length)
    assert lengths == [32, 16, 16, 32, 64]
    for _ in range(20):
        portions.took(0.0)
    assert portions.length == 1024


async def test_a_portion_takes_no_longer_where_there_are_many_jobs(houses: list[Household]) -> None:
    """What follows from each portion is found by indices, never by a look at every job."""
    one, *_ = houses
    asked: list[str] = []

    def take_in(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(asked.append)
        handover.arrivals(connection, CLOCK.wall_ms())
        connection.set_trace_callback(None)

    def plans(connection: sqlite3.Connection) -> list[str]:
        return [row[3] for sql in asked for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]

    await one.store.write(take_in)
    told = await one.store.query(plans)
    assert any("jobs_arriving" in step for step in told)
    assert all("SEARCH" in step or "INDEX" in step for step in told)
