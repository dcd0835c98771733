"""Homes that were copied or restored: both go on, and nothing that either did is lost."""

from __future__ import annotations

import shutil

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


async def test_a_copied_home_that_wrote_on_becomes_another_life(start: Start) -> None:
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

    await two.stop()
    other = await start("copy")  # it writes before it meets anybody
    here = await other.client.jobs.create("count", {"steps": 3})
    await other.until(lambda s: s["state"] == "completed", f"/jobs/{here['id']}")
    two = await start("Phone")
    report = await other.until(lambda s: s["incarnation"] != life, "/mesh")
    (told,) = report["renewals"]
    assert (told["reason"], told["earlier"]["incarnation"]) == ("forked", life)
    assert "This home was copied, or put back to an earlier state" in told["text"]
    for device in (other, two):
        for job in (both, there, here):
            await device.until(lambda s: s["state"] == "completed", f"/jobs/{job['id']}")
    await other.level()
    for job in (both, there):
        assert await other.told(job["id"]) == await two.told(job["id"])
