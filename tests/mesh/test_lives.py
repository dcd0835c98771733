"""Homes that were copied or restored: both go on, and nothing that either did is lost."""

from __future__ import annotations

import asyncio
import os
import shutil

import pytest

from regend.errors import NotFound
from regend.mesh import links
from regend.mesh.members import cuts_of
from regend.store.backup import back_up
from regend.store.change import LogId
from regend.store.restore import restore
from regend.sync import authoring
from tests.mesh.conftest import Device, Start, pair
from tests.sync.persons import AT_MS, identity


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
    report = await one.call("GET", "/mesh")
    assert report["incarnation"] != before
    (told,) = report["renewals"]
    assert (told["reason"], told["incarnation"]) == ("database", report["incarnation"])
    assert told["earlier"]["incarnation"] == before and told["earlier"]["changes"] > 0
    assert told["text"].startswith("This home was restored from a backup. What it told your other")
    assert (await two.call("GET", "/mesh"))["renewals"] == []
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
    (told,) = (await other.call("GET", "/mesh"))["renewals"]
    assert (told["reason"], told["earlier"]["incarnation"]) == ("forked", life)
    assert "This home was copied, or put back to an earlier state" in told["text"]
    for device in (other, two):
        for job in (both, there, here):
            await device.until(lambda s: s["state"] == "completed", f"/jobs/{job['id']}")
    await other.level()
    for job in (both, there):
        assert await other.told(job["id"]) == await two.told(job["id"])


@pytest.mark.parametrize("at_start", [False, True])
async def test_a_home_whose_device_was_put_out_and_came_back_as_a_copy_becomes_another_life(
    start: Start, at_start: bool
) -> None:
    one = await start("Phone")
    await one.call("POST", "/devices/invite", {})
    network = one.daemon._mesh._require()
    house, laptop = network.house, identity("Laptop")
    own, old = house.identity, (await one.call("GET", "/mesh"))["incarnation"]

    async def finished() -> str:
        job = str((await one.client.jobs.create("count", {"steps": 1}))["id"])
        await one.until(lambda s: s["state"] == "completed", f"/jobs/{job}")
        return job

    jobs = [await finished()]
    cuts = cuts_of(await house.vector(), own.id)
    jobs.append(await finished())
    known = house.roster
    let_in = authoring.add(known, own, laptop.device, "Laptop", AT_MS, os.urandom)
    assert let_in is not None
    known = known.merged([let_in])
    known = known.merged([authoring.revoke(known, laptop, own.id, cuts, AT_MS, os.urandom)])
    again = authoring.add(known, laptop, own.device, "again", AT_MS, os.urandom)
    assert again is not None
    known = known.merged([again])
    if at_start:
        network.log_was_cut = lambda: None  # it ends before it goes by the roster
    await house.take_roster(known.blobs())
    if at_start:
        await one.stop()
        one = await start("Phone")
    await one.until(lambda s: s["incarnation"] != old, "/mesh")
    (told,) = (await one.call("GET", "/mesh"))["renewals"]
    assert (told["reason"], told["earlier"]["incarnation"]) == ("put_out", old)
    assert "put out of the mesh and let in again" in told["text"]
    house = one.daemon._mesh._require().house
    before = LogId(own.id, bytes.fromhex(old))
    while (await house.vector())[before].seq > cuts[before.incarnation].seq:
        await asyncio.sleep(0.01)
    assert LogId(own.id, house.incarnation) in await house.vector(), "it is told anew"
    for job in jobs:
        assert (await one.call("GET", f"/jobs/{job}"))["state"] == "completed"


async def test_devices_that_met_different_copies_of_a_home_come_to_the_same(start: Start) -> None:
    """Each keeps what it had, and says so, until the one that was copied is met again."""
    one, two, three = await start("Laptop"), await start("Phone"), await start("Tablet")
    await pair(one, two, three)
    both = await one.client.jobs.create("count", {"steps": 1})
    for device in (two, three):
        await device.until(lambda s: s["state"] == "completed", f"/jobs/{both['id']}")
    await one.level()
    await one.stop()
    shutil.copytree(one.home.data_dir, one.home.data_dir.parent / "copy")

    async def work(home: Device, met: Device) -> str:
        await home.linked(met.name)
        job = str((await home.client.jobs.create("count", {"steps": 2}))["id"])
        await met.until(lambda s: s["state"] == "completed", f"/jobs/{job}")
        await home.level()
        await home.stop()
        return job

    await three.stop()
    there = await work(await start("Laptop"), two)
    await two.stop()
    three = await start("Tablet")
    here = await work(await start("copy"), three)
    two = await start("Phone")
    await two.linked("Tablet")
    for device, job, other in ((two, there, here), (three, here, there)):
        await device.until(lambda s: s["devices"][0]["copied"], "/devices")
        assert (await device.call("GET", f"/jobs/{job}"))["state"] == "completed"
        with pytest.raises(NotFound):
            await device.call("GET", f"/jobs/{other}")

    one = await start("Laptop")
    jobs = [str(both["id"]), there, here]
    for device in (one, two, three):
        for job in jobs:
            await device.until(lambda s: s["state"] == "completed", f"/jobs/{job}")
        assert not (await device.call("GET", "/devices"))["devices"][0]["copied"]
    await one.level()
    await two.level()
    for job in jobs:
        assert await one.told(job) == await two.told(job) == await three.told(job)


async def test_two_copies_of_a_home_that_run_at_once_are_both_met(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is linked in its turn; what both did is everywhere, and one begins a new life."""
    for name in ("_TURN_S", "_LOOK_S"):
        monkeypatch.setattr(links, name, 0.3)
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    both = str((await one.client.jobs.create("count", {"steps": 3, "sleep_s": 0.4}))["id"])
    await two.until(lambda s: s["state"] == "running", f"/jobs/{both}")
    await two.away()
    copy = one.home.data_dir.parent / "copy"
    ignored = shutil.ignore_patterns("*-shm", "daemon.json")
    await asyncio.to_thread(shutil.copytree, one.home.data_dir, copy, ignore=ignored)  # as it runs
    other = await start("copy")
    jobs = [both]
    for device in (one, other):
        jobs.append(str((await device.client.jobs.create("count", {"steps": 1}))["id"]))
        for job in (both, jobs[-1]):
            await device.until(lambda s: s["state"] == "completed", f"/jobs/{job}")
    await two.back()
    for device in (one, other, two):
        for job in jobs:
            await device.until(lambda s: s["state"] == "completed", f"/jobs/{job}")
    renewals = [(await device.call("GET", "/mesh"))["renewals"] for device in (one, other)]
    ((told,),) = filter(None, renewals)
    assert told["reason"] == "forked"
    for device in (one, other, two):  # also those who learn only in the next turn what else ran
        shown = await device.until(lambda s: "account" in s, f"/jobs/{both}")
        assert any("whose home was copied or restored" in one["text"] for one in shown["account"])
    for job in jobs:
        assert await one.told(job) == await other.told(job) == await two.told(job)
