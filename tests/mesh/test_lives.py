"""Homes that were copied or restored: both go on, and nothing that either did is lost."""

from __future__ import annotations

import shutil

import pytest

from regend.store.backup import back_up
from regend.store.restore import restore
from tests.mesh.conftest import Start, pair


async def test_a_restored_home_begins_anew_and_gets_back_what_it_had_told(start: Start) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    first = await one.client.jobs.create("count", {"steps": 1})
    await two.until(lambda s: s["state"] == "completed", f"/jobs/{first['id']}")
    before = (await one.call("GET", "/mesh"))["incarnation"]
    saved = one.home.data_dir.parent / "saved"
    back_up(one.home, saved)
    lost = await one.client.jobs.create("count", {"steps": 2})
    await two.until(lambda s: s["state"] == "completed", f"/jobs/{lost['id']}")
    await one.stop()
    restore(one.home, saved)
    one = await start("Laptop")
    assert (await one.call("GET", "/mesh"))["incarnation"] != before
    kept = await one.client.jobs.create("count", {"steps": 3})
    for device in (one, two):
        for job in (first, lost, kept):
            await device.until(lambda s: s["state"] == "completed", f"/jobs/{job['id']}")
    await one.level()
    for job in (first, lost, kept):
        assert await one.told(job["id"]) == await two.told(job["id"])


@pytest.mark.parametrize("writes_first", [True, False])
async def test_a_copied_home_becomes_another_life(start: Start, writes_first: bool) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    both = await one.client.jobs.create("count", {"steps": 1})
    await two.until(lambda s: s["state"] == "completed", f"/jobs/{both['id']}")
    await one.level()
    life = (await one.call("GET", "/mesh"))["incarnation"]
    await one.stop()
    copy = one.home.data_dir.parent / "copy"
    shutil.copytree(one.home.data_dir, copy)

    one = await start("Laptop")
    there = await one.client.jobs.create("count", {"steps": 2})
    await two.until(lambda s: s["state"] == "completed", f"/jobs/{there['id']}")
    await one.level()
    await one.stop()

    if writes_first:  # before it meets anybody
        await two.stop()
    other = await start("copy")
    if not writes_first:
        await other.until(lambda s: s["incarnation"] != life, "/mesh")
    here = await other.client.jobs.create("count", {"steps": 3})
    await other.until(lambda s: s["state"] == "completed", f"/jobs/{here['id']}")
    if writes_first:
        two = await start("Phone")
        await other.until(lambda s: s["incarnation"] != life, "/mesh")
    for device in (other, two):
        for job in (both, there, here):
            await device.until(lambda s: s["state"] == "completed", f"/jobs/{job['id']}")
    await other.level()
    for job in (both, there):
        assert await other.told(job["id"]) == await two.told(job["id"])
