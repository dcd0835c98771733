"""What people are told of a job that two devices ran at once, on both of them alike."""

from __future__ import annotations

from pathlib import Path

from tests.mesh.conftest import Start, pair


async def test_steps_that_ran_twice_are_told_on_both_devices(start: Start, tmp_path: Path) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    trace = tmp_path / "trace"
    job = await one.client.jobs.create("count", {"steps": 6, "sleep_s": 0.3, "trace": str(trace)})
    path = f"/jobs/{job['id']}"
    await two.until(lambda shown: len(shown["steps"]) >= 2, f"{path}/steps")
    assert "account" not in await two.call("GET", path)
    await one.away()
    await two.call("POST", f"{path}/takeover", {"force": True})
    for device in (one, two):
        await device.until(lambda shown: shown["state"] == "completed", path)
    assert "account" not in await one.call("GET", path)  # it knows of nothing yet
    await one.back()
    shown = await one.until(lambda shown: "account" in shown, path)
    await one.level()
    shown = await one.call("GET", path)
    assert shown["account"] == (await two.call("GET", path))["account"]
    forced, twice = shown["account"]
    (done,) = forced["steps"]
    assert done >= 2 and forced["text"] == (
        f"Phone took the job over without a word from Laptop, after step {done}."
    )
    first = done + 1
    assert twice["text"] == (
        f"Steps {first}–6 ran twice, on Laptop and Phone; Phone's are the ones that count."
    )
    ran = trace.read_text(encoding="utf-8").split()
    assert {n + 1 for n in range(6) if ran.count(str(n)) == 2} == set(twice["steps"])
    listed = await one.call("GET", "/jobs")
    assert [row["contested"] for row in listed["jobs"]] == [False]


async def test_a_job_that_two_took_over_at_once_is_flagged(start: Start) -> None:
    one, two, three = await start("Laptop"), await start("Phone"), await start("Radio")
    await pair(one, two, three)
    job = await one.client.jobs.create("count", {"steps": 60, "sleep_s": 0.2})
    path = f"/jobs/{job['id']}"
    for device in (two, three):
        await device.until(lambda shown: shown["state"] == "running", path)
        await device.away()
    for device in (two, three):
        await device.call("POST", f"{path}/takeover", {"force": True})
    for device in (two, three):
        await device.back()
    for device in (one, two, three):
        (row,) = (await device.until(lambda s: s["jobs"][0]["contested"], "/jobs"))["jobs"]
        assert row["id"] == job["id"]
    await two.call("POST", f"{path}/cancel", {})
    told = set()
    for device in (one, two, three):
        await device.until(lambda shown: shown["state"] == "cancelled", path)
        await device.level()
        contested = (await device.call("GET", path))["account"][0]
        assert contested["kind"] == "contested" and contested["counts"] in contested["devices"]
        told.add(contested["text"])
    (text,) = told
    assert "took the job over at the same time" in text and "Phone" in text and "Radio" in text
