"""Homes that pack: with real keys, through changes of them, and killed at any point."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from regend.mesh.statehash import state_hash
from regend.store import cells
from regend.sync import authoring, frame
from regend.sync.supply import frames_after
from tests.sync.houses import Household, joined, level
from tests.sync.killed import NAMES, PLACES
from tests.sync.persons import AT_MS, added, entropy, identity, mesh
from tests.sync.replicas import CLOCK


async def put(device: Household, count: int, name: str = "thing") -> None:
    values = [(name, {f"f{n % 7}": f"{name} {n}"}) for n in range(count)]
    await device.store.write(lambda c: cells.write(c, values, CLOCK.wall_ms()))


async def counts(device: Household) -> tuple[int, int]:
    """Return how many changes stand in plain, and how many frames are kept of the same log."""

    def read(c: sqlite3.Connection) -> tuple[int, int]:
        (plain,) = c.execute("SELECT count(*) FROM changes").fetchone()
        (frames,) = c.execute(
            "SELECT count(*) FROM frames f JOIN logs l ON l.number = f.log WHERE l.current = 1"
        ).fetchone()
        return plain, frames

    return await device.store.query(read)


async def part(*devices: Household) -> None:
    for device in devices:
        for task in device.running:
            task.cancel()
        await asyncio.gather(*device.running, return_exceptions=True)
        device.running.clear()


async def same(*devices: Household) -> None:
    await level(*devices)
    states = [await one.store.query(state_hash) for one in devices]
    assert all(state == states[0] for state in states)


async def test_frames_of_several_epochs_reach_a_newcomer(tmp_path: Path) -> None:
    roster = mesh("one", "two", "three")
    one, two = [await Household(tmp_path, roster, name).join() for name in ("one", "two")]
    joined(one, two)
    await put(one, 600)
    await level(one, two)
    await one.remember(two)
    assert await one.packing.run_once() == 512
    await part(one, two)
    await put(one, 300, "late")  # under the old key in plain; packed only under the new one
    out = identity("three").device.id
    revoked = authoring.revoke(roster, one.identity, out, {}, AT_MS, entropy("out"))
    await one.house.add_entries([revoked])
    assert len(one.house.keys) == 2
    joined(one, two)
    await level(one, two)
    await one.remember(two)
    assert await one.packing.run_once() == 256
    assert await counts(one) == (132, 3)
    stored = await one.store.query(lambda c: frames_after(c, one.log, 0, 1 << 30))
    used = [frame.parse(blob).header.key_id for _, blob in stored]
    assert used[0] == used[1] != used[2]
    await part(one, two)
    await one.house.add_entries([added(one.house.roster, "one", "four")])
    four = await Household(tmp_path, one.house.roster, "four").join()
    joined(one, four)
    await same(one, two, four)
    for device in (one, two, four):
        await device.close()


async def test_what_only_a_revoked_device_has_stays_in_plain(
    tmp_path: Path,
) -> None:
    roster = mesh("one", "two")
    one, two = [await Household(tmp_path, roster, name).join() for name in ("one", "two")]
    joined(one, two)
    await put(one, 300)
    await level(one, two)
    await part(one, two)
    await one.remember(two)
    revoked = authoring.revoke(roster, one.identity, two.identity.id, {}, AT_MS, entropy("out"))
    await one.house.add_entries([revoked])
    assert await one.packing.run_once() == 0
    for device in (one, two):
        await device.close()


async def test_a_device_that_was_put_out_has_no_key_to_pack_with(tmp_path: Path) -> None:
    roster = mesh("one", "two", "three")
    one, two = [await Household(tmp_path, roster, name).join() for name in ("one", "two")]
    joined(one, two)
    await put(two, 300)
    await level(one, two)
    await part(one, two)
    await two.remember(one)
    revoked = authoring.revoke(roster, one.identity, two.identity.id, {}, AT_MS, entropy("out"))
    await two.house.add_entries([revoked])
    assert await two.packing.run_once() == 0
    assert await counts(two) == (300, 0)
    for device in (one, two):
        await device.close()


async def test_the_room_of_what_is_packed_is_used_again(tmp_path: Path) -> None:
    roster = mesh("one", "two")
    one, two = [await Household(tmp_path, roster, name).join() for name in ("one", "two")]
    joined(one, two)

    async def pages() -> int:
        return await one.store.query(lambda c: int(c.execute("PRAGMA page_count").fetchone()[0]))

    sizes = []
    for turn in range(3):
        large: list[Any] = [("thing", {"f": f"{turn} {n} " + "x" * 3000}) for n in range(512)]
        await one.store.write(lambda c, large=large: cells.write(c, large, CLOCK.wall_ms()))  # type: ignore[misc]
        await level(one, two)
        await one.remember(two)
        sizes.append(await pages())
        assert await one.packing.run_once() == 512
    assert sizes[2] - sizes[0] < 40 < sizes[0] / 10, sizes
    for device in (one, two):
        await device.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no such signal there")
@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("turn", [1, 2, 3])
async def test_killed_while_it_packs(tmp_path: Path, where: str, turn: int) -> None:
    one, two = [await Household(tmp_path, mesh(*NAMES), name).join() for name in NAMES[:2]]
    large: list[Any] = [("thing", {"f": "x" * 2000, "n": n}) for n in range(900)]
    await one.store.write(lambda c: cells.write(c, large, CLOCK.wall_ms()))
    joined(one, two)
    await level(one, two)
    await part(one, two)
    await one.remember(two)
    before = await one.house.vector(), await one.store.query(state_hash)
    await one.close()
    command = ("-m", "tests.sync.killed", str(tmp_path), "one", where, str(turn))
    child = await asyncio.create_subprocess_exec(
        sys.executable, *command, stderr=asyncio.subprocess.PIPE
    )
    _, said = await child.communicate()
    assert child.returncode == -signal.SIGKILL, said.decode()
    one = await Household(tmp_path, mesh(*NAMES), "one").join()
    assert (await one.house.vector(), await one.store.query(state_hash)) == before
    plain, frames = await counts(one)
    assert plain + 256 * frames == 900 and frames < 3
    three = await Household(tmp_path, mesh(*NAMES), "three").join()
    joined(one, three)
    await same(one, two, three)
    assert await one.packing.run_once() == 256 * (3 - frames)
    assert await counts(one) == (132, 3)
    for device in (one, two, three):
        await device.close()
