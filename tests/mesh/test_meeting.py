"""Devices meet, see each other's jobs, and jobs move between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from regend.sync import words
from tests.mesh.conftest import Start, pair


async def test_two_devices_that_paired_see_the_same(start: Start) -> None:
    one, two = await start("Laptop"), await start("रसोई")
    before = await one.client.jobs.create("count", {"steps": 2})
    await pair(one, two)
    after = await two.client.jobs.create("count", {"steps": 2})
    for device in (one, two):
        for job in (before, after):
            await device.until(lambda shown: shown["state"] == "completed", f"/jobs/{job['id']}")
    assert await one.level() and await two.level()
    for job in (before, after):
        assert await one.told(job["id"]) == await two.told(job["id"])


async def test_the_link_of_the_picture_is_taken_for_the_code(start: Start) -> None:
    one, two = await start("Laptop"), await start("Phone")
    shown = await one.call("POST", "/devices/invite", {})
    link = words.link(shown["code"], [f"127.0.0.1:{shown['port']}"])
    await two.call("POST", "/devices/join", {"code": link})
    await one.linked("Phone")


async def test_a_job_is_taken_over_while_it_runs(start: Start, tmp_path: Path) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    trace = tmp_path / "trace"
    job = await one.client.jobs.create("count", {"steps": 8, "sleep_s": 0.3, "trace": str(trace)})
    path = f"/jobs/{job['id']}"
    await two.until(lambda _shown: trace.exists() and len(trace.read_text()) > 4, path)
    taken = await two.call("POST", f"{path}/takeover", {})
    assert taken["device"] == (await two.call("GET", "/mesh"))["device"]
    for device in (one, two):
        shown = await device.until(lambda shown: shown["state"] == "completed", path)
        assert shown["device"] == taken["device"]
    assert trace.read_text().split() == [str(n) for n in range(8)]
    assert await one.level() and await two.level()


async def test_a_device_that_is_away_is_told_to_have_had_the_same_state(start: Start) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    await one.client.jobs.create("count", {"steps": 1})
    await one.level()
    await two.stop()

    def is_so(shown: Any) -> bool:
        away = [row for row in shown["devices"] if not row["this"] and not row["reachable"]]
        return [row["state"] for row in away] == ["equal"]

    await one.until(is_so, "/devices")
    await one.stop()
    one = await start("Laptop")
    await one.until(is_so, "/devices")
