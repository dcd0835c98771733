"""Daemons that pack what they wrote: newcomers, copied homes, another mesh; and alarms."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from unittest import mock

from regend.cli.checks import check_devices
from regend.clock import SystemClock
from regend.mesh.packing import Packing
from regend.store import cells
from regend.sync import replica
from tests.mesh.conftest import Device, Start, pair


async def put(device: Device, count: int, name: str) -> None:
    values = [(name, {f"f{n % 7}": f"{name} {n}"}) for n in range(count)]
    await device.daemon._store.write(lambda c: cells.write(c, values, SystemClock().wall_ms()))


async def done(job: str, *devices: Device) -> None:
    for device in devices:
        await device.until(lambda s: s["state"] == "completed", f"/jobs/{job}")


async def plain(device: Device) -> int:
    """Return how many changes stand in plain."""

    def read(c: sqlite3.Connection) -> int:
        return int(c.execute("SELECT count(*) FROM changes").fetchone()[0])

    return await device.daemon._store.query(read)


async def pack(device: Device) -> int:
    """Let a device pack all it can, as if one that is met no more had had it."""
    network = device.daemon._mesh.network
    assert network is not None
    with mock.patch.object(Packing, "_known", lambda _self, c: [replica.vector(c)]):
        return await network.packing.run_once()


async def alike(jobs: list[str], *devices: Device) -> None:
    for device in devices:
        await device.linked(*(one.name for one in devices if one is not device))
        for job in jobs:
            await done(job, device)
        await device.level()
        for job in jobs:
            assert await device.told(job) == await devices[0].told(job)
        assert (await device.call("GET", "/mesh"))["notes"] == []


async def test_a_daemon_packs_what_another_has_and_a_newcomer_gets_it_all(start: Start) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    jobs = [(await one.client.jobs.create("count", {"steps": 3}))["id"]]
    await put(one, 700, "many")
    await alike(jobs, one, two)
    assert await plain(one) > 700
    await one.stop()
    one = await start("Laptop")
    async with asyncio.timeout(30):
        while await plain(one) > 256:
            await asyncio.sleep(0.05)
    await two.stop()
    three = await start("Tablet")
    await pair(one, three)
    jobs.append((await three.client.jobs.create("count", {"steps": 2}))["id"])
    await alike(jobs, one, three)
    two = await start("Phone")
    await alike(jobs, one, two, three)


async def test_a_copied_home_parts_within_what_it_packed(start: Start) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    jobs = [(await one.client.jobs.create("count", {"steps": 1}))["id"]]
    await put(one, 300, "both")
    await alike(jobs, one, two)
    life = (await one.call("GET", "/mesh"))["incarnation"]
    await one.stop()
    shutil.copytree(one.home.data_dir, one.home.data_dir.parent / "copy")
    one = await start("Laptop")
    jobs.append((await one.client.jobs.create("count", {"steps": 2}))["id"])
    await put(one, 300, "there")
    await alike(jobs, one, two)
    assert await pack(one) > 0
    await one.stop()
    await two.stop()
    other = await start("copy")
    here = (await other.client.jobs.create("count", {"steps": 3}))["id"]
    await done(here, other)
    await put(other, 500, "here")
    assert await pack(other) == 512
    two = await start("Phone")
    await other.until(lambda s: s["incarnation"] != life, "/mesh")
    await done(jobs[1], other)
    await done(here, two)
    for device in (other, two):
        await device.level()
        assert (await device.call("GET", "/mesh"))["notes"] == []
    for job in jobs:
        assert await other.told(job) == await two.told(job)


async def test_what_was_packed_in_one_mesh_is_told_in_another(start: Start) -> None:
    one, two, three = await start("Laptop"), await start("Phone"), await start("Tablet")
    await pair(one, two)
    job = (await two.client.jobs.create("count", {"steps": 2}))["id"]
    await done(job, one, two)
    await put(two, 300, "many")
    assert await pack(two) == 256
    shown = await three.call("POST", "/devices/invite", {})
    body = {"code": shown["code"], "address": f"127.0.0.1:{shown['port']}"}
    await two.call("POST", "/devices/join", {**body, "leave": True})
    await alike([job], two, three)


async def test_a_state_that_differs_is_told_to_people(start: Start) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    jobs = [(await one.client.jobs.create("count", {"steps": 1}))["id"]]
    await alike(jobs, one, two)
    assert (await asyncio.to_thread(check_devices, one.home)).level == "ok"
    await two.daemon._store.write(
        lambda c: c.execute("UPDATE jobs SET history = x'00112233445566778899aabbccddeeff'")
    )
    jobs.append((await one.client.jobs.create("count", {"steps": 1}))["id"])
    await done(jobs[1], one, two)
    (alarm,) = (await one.until(lambda s: s["notes"], "/mesh"))["notes"]
    assert "“Phone” has other jobs or documents" in alarm["text"]
    assert "regend diagnostics" in alarm["hint"]
    devices = (await one.call("GET", "/devices"))["devices"]
    assert [d["state"] for d in devices if d["name"] == "Phone"] == ["differs"]
    found = await asyncio.to_thread(check_devices, one.home)
    assert (found.level, found.message, found.remedy) == ("fail", alarm["text"], alarm["hint"])
    await two.stop()
    await put(one, 1, "more")  # while the other is away, it stands
    assert (await one.call("GET", "/mesh"))["notes"] == [alarm]
    two = await start("Phone")
    rows = await one.daemon._store.query(
        lambda c: c.execute("SELECT history, id FROM jobs").fetchall()
    )
    await two.daemon._store.write(
        lambda c: c.executemany("UPDATE jobs SET history = ? WHERE id = ?", rows)
    )
    await put(one, 1, "again")
    await one.until(lambda s: not s["notes"], "/mesh")
    await alike(jobs, one, two)
