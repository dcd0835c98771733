"""A device that is put out is told nothing more; what it did stays, and it may come back."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from regend.errors import BadInput, Conflict, NotFound
from tests.mesh.conftest import Device, Pace, Start, pair
from tests.mesh.test_notes import noted


async def done(device: Device, job: str) -> None:
    await device.until(lambda s: s["state"] == "completed", f"/jobs/{job}")


async def test_a_revoked_device_is_told_nothing_more_and_may_come_back(start: Start) -> None:
    one, two, three = await start("Laptop"), await start("Phone"), await start("Tablet")
    await pair(one, two, three)
    before = (await two.client.jobs.create("count", {"steps": 1}))["id"]
    for device in (one, three):
        await done(device, before)
    life = (await two.call("GET", "/mesh"))["incarnation"]
    await one.call("POST", "/devices/Phone/rename", {"name": "रसोई"})
    await two.linked("Laptop", "Tablet")
    await two.until(lambda s: "रसोई" in {d["name"] for d in s["devices"]}, "/devices")
    await one.call("DELETE", f"/devices/{quote('रसोई')}")
    await two.until(
        lambda s: not any(d["reachable"] and not d["this"] for d in s["devices"]), "/devices"
    )
    secret = (await one.client.jobs.create("count", {"steps": 1}))["id"]
    await done(three, secret)
    with pytest.raises(NotFound):
        await two.call("GET", f"/jobs/{secret}")
    assert (await two.call("GET", f"/jobs/{before}"))["state"] == "completed", (
        "what it had, it keeps"
    )

    shown = await three.call("POST", "/devices/invite", {})
    body = {"code": shown["code"], "address": f"127.0.0.1:{shown['port']}"}
    await two.call("POST", "/devices/join", {**body, "leave": True})
    await two.linked("Laptop", "Tablet")
    assert (await two.call("GET", "/mesh"))["incarnation"] != life, "its old log stays cut"
    await one.linked("रसोई", "Tablet")  # by the name that it had
    after = (await two.client.jobs.create("count", {"steps": 1}))["id"]
    for device in (one, two, three):
        for job in (before, secret, after):
            await done(device, job)
    assert await one.level() and await two.level()


async def test_what_a_revoked_device_wrote_past_its_cut_counts_nowhere(start: Start) -> None:
    one, two, three = await start("Laptop"), await start("Phone"), await start("Tablet")
    await pair(one, two, three)
    both = (await two.client.jobs.create("count", {"steps": 1}))["id"]
    for device in (one, three):
        await done(device, both)
    await one.level()
    slow = {"steps": 500, "sleep_s": 0.2}
    held = [(await two.client.jobs.create("count", slow))["id"] for _ in range(2)]
    for job in held:
        await two.call("POST", f"/jobs/{job}/pause", {})
        for device in (one, three):
            await device.until(lambda s: s["state"] == "paused", f"/jobs/{job}")
    await one.away()
    late = (await two.client.jobs.create("count", {"steps": 2}))["id"]
    theirs = (await one.client.jobs.create("count", {"steps": 50, "sleep_s": 0.2}))["id"]
    await done(three, late)
    await one.call("DELETE", "/devices/Phone")
    await one.back()
    one_id = (await one.call("GET", "/mesh"))["device"]
    await three.until(lambda s: any(d["revoked"] for d in s["devices"]), "/devices")
    await three.until(lambda s: all(j["id"] != late for j in s["jobs"]), "/jobs")
    for count in (2, 1):  # of those that it holds, which nobody else goes on with by itself
        note = await noted(one, "jobs_stranded")
        assert ("2 jobs" in note["text"]) == (count == 2) and "takeover" in note["hint"]
        assert note == await noted(three, "jobs_stranded")
        await one.call("POST", f"/jobs/{held[-count]}/takeover", {"force": True})
        await three.until(lambda s, id=one_id: s["device"] == id, f"/jobs/{held[-count]}")  # type: ignore[misc]
    await three.until(lambda s: not s["notes"], "/mesh")
    for job in (theirs, *held):
        await one.call("POST", f"/jobs/{job}/cancel", {})
        await three.until(lambda s: s["state"] == "cancelled", f"/jobs/{job}")
    assert await one.level() and await three.level()
    assert await one.told(both) == await three.told(both)


async def test_what_cannot_be_revoked_or_renamed_is_said(start: Start) -> None:
    one, two = await start("Laptop"), await start("Phone")
    with pytest.raises(Conflict, match="in no mesh"):
        await one.call("DELETE", "/devices/Phone")
    await pair(one, two)
    with pytest.raises(BadInput, match="cannot revoke itself"):
        await one.call("DELETE", "/devices/Laptop")
    with pytest.raises(NotFound, match="no device"):
        await one.call("DELETE", "/devices/Fridge")
    with pytest.raises(Conflict, match="called"):
        await one.call("POST", "/devices/Phone/rename", {"name": "laptop"})
    await one.call("POST", "/devices/Phone/rename", {"name": "रसोई"})
    await two.until(lambda s: "रसोई" in {d["name"] for d in s["devices"]}, "/devices")


async def test_a_device_of_one_mesh_joins_another_only_when_it_leaves(start: Start) -> None:
    one, two, three = await start("Laptop"), await start("Phone"), await start("Tablet")
    await pair(one, two)
    shown = await three.call("POST", "/devices/invite", {})
    body = {"code": shown["code"], "address": f"127.0.0.1:{shown['port']}"}
    with pytest.raises(Conflict, match="already in a mesh with “Laptop”"):
        await two.call("POST", "/devices/join", body)
    await two.call("POST", "/devices/join", {**body, "leave": True})
    await two.linked("Tablet")
    assert {d["name"] for d in (await two.call("GET", "/devices"))["devices"]} == {
        "Phone",
        "Tablet",
    }


async def test_who_leaves_for_another_mesh_brings_what_is_there_and_nothing_sealed_for_the_old(
    start: Start, pace: Pace
) -> None:
    one, two, three = await start("Laptop"), await start("Phone"), await start("Tablet")
    await pair(one, two)
    done = (await one.client.jobs.create("count", {"steps": 2}))["id"]
    running = await pace.job(one)
    own = (await two.client.jobs.create("count", {"steps": 2}))["id"]
    text = {"title": "Rent", "text": "The rent is due on the 5th.", "source": "note:Rent"}
    await one.call("POST", "/library", text)
    for job in (done, own):
        await two.until(lambda shown: shown["state"] == "completed", f"/jobs/{job}")
    await two.until(lambda shown: shown["state"] == "running", f"/jobs/{running}")
    await two.until(lambda shown: len(shown["documents"]) == 1, "/library")

    shown = await three.call("POST", "/devices/invite", {})
    body = {"code": shown["code"], "address": f"127.0.0.1:{shown['port']}", "leave": True}
    await two.call("POST", "/devices/join", body)
    await two.linked("Tablet")
    await three.linked("Phone")
    for device in (two, three):
        await device.until(lambda shown: len(shown["jobs"]) == 3, "/jobs")
        await device.until(lambda shown: len(shown["documents"]) == 1, "/library")
        for job, state in ((done, "completed"), (own, "completed"), (running, "paused")):
            await device.until(lambda s, w=state: s["state"] == w, f"/jobs/{job}")  # type: ignore[misc]
        assert [row["state"] for row in await device.level()] == ["equal", "equal"]
    for job in (done, own, running):
        assert await two.told(job) == await three.told(job)

    assert len(await two.daemon._mesh.network.house.vector()) <= 2  # type: ignore[union-attr]
    taken = await three.call("POST", f"/jobs/{running}/takeover", {})
    assert taken["state"] == "paused"
    pace.hurry()
    await three.call("POST", f"/jobs/{running}/resume", {})
    for device in (two, three):
        await device.until(lambda shown: shown["state"] == "completed", f"/jobs/{running}")
    await three.call(
        "DELETE", f"/library/{(await three.call('GET', '/library'))['documents'][0]['id']}"
    )
    await two.until(lambda shown: not shown["documents"], "/library")
    assert {row["state"] for row in await two.level()} == {"equal"}
