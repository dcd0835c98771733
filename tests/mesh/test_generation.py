"""An answer that one device's model began is written on by another's, token by token."""

from __future__ import annotations

import asyncio

import pytest

from regend.jobs.journal import join_chunks
from tests.mesh.conftest import Device, Start, pair

ASK = {
    "prompt": "Tell me a long story about a fox and the sea.",
    "max_tokens": 192,
    "temperature": 0.8,
    "seed": 7,
}


async def text_of(device: Device, job: str) -> str:
    """Return what clients of a device were shown of a job's answer."""
    chunks = [e["data"] for e in await device.events(job) if e["type"] == "model:chunk:v1"]
    return join_chunks(chunks).text


@pytest.mark.parametrize("force", [False, True], ids=["granted", "forced"])
async def test_the_text_goes_on_at_the_same_token_on_another_device(
    start: Start, force: bool
) -> None:
    one, two = await start("Laptop", model=True), await start("Phone", model=True)
    await pair(one, two)
    undisturbed = await one.client.jobs.create("chat", ASK)
    done = await one.until(lambda j: j["state"] == "completed", f"/jobs/{undisturbed['id']}")
    job = (await one.client.jobs.create("chat", ASK))["id"]
    path = f"/jobs/{job}"
    await two.until(lambda _: True, path)
    while not any(e["type"] == "job:checkpoint:v1" for e in await two.events(job)):
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.3)
    if force:
        await one.away()
    await two.call("POST", f"{path}/takeover", {"force": force})
    shown = await two.until(lambda j: j["state"] == "completed", path)
    assert shown["result"]["text"] == done["result"]["text"]
    assert await text_of(two, job) == done["result"]["text"]
    resumed = [e["data"] for e in await two.events(job) if e["type"] == "job:resumed:v1"]
    assert [one["resume"] for one in resumed] == ["exact"]
    if force:
        await one.back()
    await one.until(lambda j: j["state"] == "completed" and j["device"] == shown["device"], path)
    assert await one.level() and await two.level()
    assert await one.told(job) == await two.told(job)
