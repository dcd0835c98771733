"""What a daemon tells its clients of the other devices, as they come, go and catch up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from regend.sync import presence
from tests.mesh.conftest import Device, Start, pair


async def told(device: Device, after_seq: int = 0) -> list[dict[str, Any]]:
    shown = await device.call("GET", "/devices/events", after_seq=after_seq, limit=1000)
    events: list[dict[str, Any]] = shown["events"]
    return events


async def until_told(device: Device, type_name: str, after_seq: int = 0, **said: Any) -> Any:
    """Return the first event of a type that says this, once it is told."""
    async with asyncio.timeout(30):
        while True:
            for event in await told(device, after_seq):
                data = {name: event["data"].get(name) for name in said}
                if event["type"] == type_name and data == said:
                    return event
            await asyncio.sleep(0.05)


async def test_a_newcomer_is_online_and_its_first_sync_comes_to_its_end(start: Start) -> None:
    one, two = await start("Laptop"), await start("Phone")
    jobs = [await one.client.jobs.create("count", {"steps": 3}) for _ in range(3)]
    for job in jobs:
        await one.until(lambda s: s["state"] == "completed", f"/jobs/{job['id']}")
    await pair(one, two)
    online = await until_told(two, "device:online:v1", name="Laptop", way="lan")
    assert online["job_id"] is None and online["job_seq"] is None
    done = await until_told(two, "sync:progress:v1", name="Laptop", done=True)
    data = done["data"]
    assert (data["behind"], data["ahead"], data["payloads"]) == (0, 0, 0)
    assert data["total"] >= 6 and data["received_bytes"] > 1000
    assert data["device"] == (await one.call("GET", "/mesh"))["device"]
    mirrored = await until_told(one, "sync:progress:v1", name="Phone", done=True)
    assert mirrored["data"]["sent_bytes"] > 1000
    # They are each home's own: what one was told is not told to the other.
    assert {e["data"]["name"] for e in await told(one)} == {"Phone"}
    await one.level()


async def test_a_device_that_goes_and_comes_back_is_told_once_each(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "_HOLD_FIRST_S", 0.3)
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    online = await until_told(one, "device:online:v1")
    await two.away()
    offline = await until_told(one, "device:offline:v1", online["seq"], name="Phone")
    await two.back()
    back = await until_told(one, "device:online:v1", offline["seq"], name="Phone")
    await until_told(one, "sync:progress:v1", back["seq"], done=True)
    types = [e["type"] for e in await told(one) if e["type"] != "sync:progress:v1"]
    assert types == ["device:online:v1", "device:offline:v1", "device:online:v1"]


async def test_a_device_that_left_while_the_daemon_was_down_is_told_after_its_start(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "_HOLD_FIRST_S", 0.3)
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    online = await until_told(one, "device:online:v1")
    await one.stop()
    await two.stop()
    one = await start("Laptop")
    offline = await until_told(one, "device:offline:v1", online["seq"])
    assert offline["data"]["name"] == "Phone"
