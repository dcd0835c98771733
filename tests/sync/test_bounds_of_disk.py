"""What others send fills no disk: their payloads leave room, and what is parked is bounded."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest

from regend.limits import MIB
from tests.sync.houses import Household, joined, level, until
from tests.sync.persons import mesh
from tests.sync.test_exchange import payload, put

GIB = 1024 * MIB


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture
async def houses(tmp_path: Path) -> AsyncIterator[list[Household]]:
    """Two copies of one home, and another device."""
    roster = mesh("one", "two")
    folders = (tmp_path, tmp_path / "copy", tmp_path)
    names = ("one", "one", "two")
    made = [
        await Household(folder, roster, name).join()
        for folder, name in zip(folders, names, strict=True)
    ]
    yield made
    for one in made:
        await one.close()


async def test_payloads_wait_while_a_large_disk_has_little_room(
    houses: list[Household], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _, two = houses
    usage = Usage(500 * GIB, 500 * GIB - 200 * MIB, 200 * MIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    digest = payload(one, 1000)
    await two.want(digest, one.identity.id)
    await put(one, 3)
    joined(one, two)
    await level(one, two)
    assert two.fetcher.has_no_room() and not two.has(digest)
    usage = Usage(500 * GIB, 499 * GIB, GIB)
    two.fetcher.wake()

    async def came() -> bool:
        return two.has(digest)

    await until(came)


async def test_what_is_parked_of_a_log_is_bounded_and_all_forks_are_told(
    houses: list[Household], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regend.sync.forks.PARKED_BYTES", 2000)
    one, copy, two = houses
    await put(one, 40)
    await two.house.take((await one.house.frames(one.log, 0))[1])
    frames = []
    for seq in range(30):
        await put(copy, 1, 50)
        frames += (await copy.house.frames(copy.log, seq))[1]
    received = await two.house.take(frames)
    assert len(received.forks) == 30
    query = "SELECT count(*), sum(length(sealed)) FROM parked"
    count, size = await two.store.query(lambda c: c.execute(query).fetchone())
    assert 2 <= count < 30 and 2000 <= size < 2000 + len(max(frames, key=len))
