"""Who leaves for another mesh brings along what only the old one could read or judge, in words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from regend import events
from regend.mesh.leaving import leave
from regend.store.change import LogId
from tests.bench.jobs import begin, record
from tests.mesh.conftest import Device, Pace, Start, pair
from tests.sync.houses import Household
from tests.sync.persons import mesh
from tests.sync.replicas import CLOCK


async def leave_for(device: Device, other: Device) -> None:
    """Let a device leave its mesh for another's."""
    shown = await other.call("POST", "/devices/invite", {})
    body = {"code": shown["code"], "address": f"127.0.0.1:{shown['port']}", "leave": True}
    await device.call("POST", "/devices/join", body)
    await device.linked(other.name)
    await other.linked(device.name)


async def of_type(device: Device, job: str, type_name: str) -> list[dict[str, Any]]:
    return [one["data"] for one in await device.events(job) if one["type"] == type_name]


async def test_what_ran_twice_is_told_in_the_next_mesh_with_all_that_was_kept(
    start: Start,
) -> None:
    one, two, three = await start("Laptop"), await start("Phone"), await start("Tablet")
    await pair(one, two)
    job = (await one.client.jobs.create("count", {"steps": 5, "sleep_s": 0.2}))["id"]
    path = f"/jobs/{job}"
    await two.until(lambda shown: len(shown["steps"]) >= 2, f"{path}/steps")
    await one.away()
    await two.call("POST", f"{path}/takeover", {"force": True})
    for device in (one, two):
        await device.until(lambda shown: shown["state"] == "completed", path)
    await one.back()
    told = (await two.until(lambda shown: len(shown.get("account", [])) == 2, path))["account"]
    await two.level()
    query = "SELECT place, type FROM strays ORDER BY branch, place"
    kept = await two.daemon._store.query(lambda c: c.execute(query).fetchall())
    assert kept

    await leave_for(two, three)
    for device in (two, three):
        shown = await device.until(lambda shown: "account" in shown, path)
        assert shown["account"] == told and shown["state"] == "completed"
        recorded = await of_type(device, job, events.JOB_BESIDE)
        brought = [(e["place"], e["type"]) for one in recorded for e in one["events"]]
        assert brought == kept
        assert {e["device"] for one in recorded for e in one["events"]} == {"Laptop"}
    assert {row["state"] for row in await two.level()} == {"equal"}


async def test_what_people_asked_is_judged_or_told_before_the_mesh_is_left(
    start: Start, pace: Pace
) -> None:
    one, two, three = await start("Laptop"), await start("Phone"), await start("Tablet")
    await pair(one, two)
    jobs = [await pace.job(one) for _ in range(2)]
    cancelled, paused = jobs
    for job in jobs:
        await two.until(lambda shown: shown["state"] == "running", f"/jobs/{job}")
    await one.call("POST", f"/jobs/{paused}/pause", {})
    await two.until(lambda shown: shown["state"] == "paused", f"/jobs/{paused}")
    await one.away()
    await two.call("POST", f"/jobs/{cancelled}/cancel", {})
    await two.call("POST", f"/jobs/{paused}/resume", {})
    await leave_for(two, three)
    for device in (two, three):
        await device.until(lambda shown: shown["state"] == "cancelled", f"/jobs/{cancelled}")
        (done,) = await of_type(device, cancelled, events.JOB_WISHED)
        assert (done["command"], done["became"]) == ("cancel", "done")
        shown = await device.until(lambda shown: shown["state"] == "paused", f"/jobs/{paused}")
        (late,) = await of_type(device, paused, events.JOB_WISHED)
        assert (late["command"], late["became"]) == ("resume", "overtaken")
        assert "left the mesh" in late["message"] and shown["state"] == "paused"
    pace.hurry()
    await one.call("POST", f"/jobs/{cancelled}/cancel", {})


async def test_the_other_history_of_a_log_comes_along(tmp_path: Path) -> None:
    roster = mesh("one", "two")
    old = await Household(tmp_path, roster, "one").join()
    claim = await begin(old.store)
    await old.close()
    shutil.copytree(tmp_path / "one", tmp_path / "copy" / "one")
    copies = [
        await Household(folder, roster, "one").join() for folder in (tmp_path, tmp_path / "copy")
    ]
    two = await Household(tmp_path, roster, "two").join()
    for copy, result in zip(copies, ('"this"', '"that"'), strict=True):
        await record(copy.store, claim, 1, result)
        if copy is copies[1]:
            other = await begin(copy.store)
        await two.house.take((await copy.house.frames(copy.log, 0))[1])
    assert await two.store.query(lambda c: c.execute("SELECT count(*) FROM parked").fetchone()[0])

    after, log = mesh("two", "three"), LogId(two.identity.id, b"new life")
    await two.store.write(
        lambda c: leave(c, roster, after, log, two.house.read_stored, CLOCK.wall_ms())
    )
    rows = await two.store.query(
        lambda c: c.execute("SELECT number, state FROM jobs ORDER BY number").fetchall()
    )
    assert [state for _, state in rows] == ["paused", "paused"] and other is not None
    data = await two.store.query(
        lambda c: c.execute(
            "SELECT data FROM events WHERE type = ?", (events.JOB_BESIDE,)
        ).fetchall()
    )
    (recorded,) = (json.loads(row[0]) for row in data)
    (step,) = [one for one in recorded["events"] if one["type"] == events.JOB_STEP]
    assert '"that"' in step["extra"] and step["device"] == "one"
    assert "Step 1 ran twice, each time on one" in recorded["account"][0]["text"]
    for device in (*copies, two):
        await device.close()
