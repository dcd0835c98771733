"""Jobs that are taken over in a bad moment, or without a part of them."""

from __future__ import annotations

import asyncio

import pytest

from regend.errors import Conflict, NotFound
from tests.mesh.conftest import Device, Start, pair
from tests.mesh.test_generation import ASK
from tests.mesh.test_payloads import Gate

LARGE = "x" * 40_000  # more than stays in a row


async def begun(one: Device, *others: Device, **options: object) -> str:
    """Return a job that the first runs and of which the others know it."""
    job = str((await one.client.jobs.create("count", options))["id"])
    for device in (one, *others):
        await device.until(lambda shown: shown["state"] == "running", f"/jobs/{job}")
    return job


async def test_of_two_devices_that_ask_at_once_one_gets_the_job_and_the_other_is_told(
    start: Start,
) -> None:
    one, two, three = await start("Laptop"), await start("Phone"), await start("Tablet")
    await pair(one, two, three)
    job = await begun(one, two, three, steps=4, sleep_s=0.5)
    path = f"/jobs/{job}/takeover"
    asked = [two.call("POST", path, {}), three.call("POST", path, {})]
    got, refused = sorted(
        await asyncio.gather(*asked, return_exceptions=True), key=lambda one: type(one) is not dict
    )
    assert isinstance(got, dict) and isinstance(refused, Conflict)
    assert refused.code == "job_elsewhere" and "took the job over" in refused.message
    for device in (one, two, three):
        shown = await device.until(lambda shown: shown["state"] == "completed", f"/jobs/{job}")
        assert shown["device"] == got["device"]
    assert await one.told(job) == await two.told(job) == await three.told(job)


async def test_a_job_that_was_taken_without_its_input_waits_for_it_and_says_so(
    start: Start,
) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    gate = Gate(two)
    job = await begun(one, two, steps=1, sleep_s=0.5, note=LARGE)
    await one.away()
    await two.call("POST", f"/jobs/{job}/takeover", {"force": True})
    await asyncio.sleep(0.3)
    shown = await two.call("GET", f"/jobs/{job}")
    assert (shown["state"], shown["omitted"]) == ("created", ["input"])
    assert shown["waiting"]["reason"] == "payload"
    await one.back()
    await two.linked("Laptop")
    gate.open()
    ended = await two.until(lambda shown: shown["state"] == "completed", f"/jobs/{job}")
    assert ended["waiting"] is None and ended["attempt"] == 2
    assert await two.level() and await one.told(job) == await two.told(job)


@pytest.mark.parametrize("content", [None, b"damaged"], ids=["lost", "damaged"])
async def test_a_payload_that_is_no_good_costs_no_attempt_and_comes_anew(
    start: Start, content: bytes | None
) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    job = await begun(one, two, steps=1, sleep_s=0.5, note=LARGE)
    column = await two.daemon._store.query(
        lambda c: c.execute("SELECT input FROM jobs").fetchone()[0]
    )
    file = two.daemon._store.blobs.path(column[1:])
    async with asyncio.timeout(20):
        while not file.exists():
            await asyncio.sleep(0.02)
    gate = Gate(two)
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    await two.call("POST", f"/jobs/{job}/takeover", {"force": True})
    await two.until(lambda shown: shown["jobs"][0]["waiting"] is not None, "/jobs")
    shown = await two.call("GET", f"/jobs/{job}")
    assert (shown["state"], shown["waiting"]["reason"]) == ("created", "payload")
    assert column[1:13] in shown["error"]["message"]
    gate.open()
    ended = await two.until(lambda shown: shown["state"] == "completed", f"/jobs/{job}")
    assert (ended["attempt"], ended["error"], ended["input"]["note"]) == (3, None, LARGE)


async def test_a_job_that_could_not_run_here_stays_where_it_is(start: Start) -> None:
    one, two = await start("Laptop", model=True), await start("Phone")
    await pair(one, two)
    chat = str((await one.client.jobs.create("chat", ASK))["id"])
    count = await begun(one, two, steps=2, sleep_s=0.5)
    await two.until(lambda _: True, f"/jobs/{chat}")
    two.daemon._agents = {"chat": two.daemon._agents["chat"]}
    for force in (False, True):
        with pytest.raises(NotFound) as missing:
            await two.call("POST", f"/jobs/{chat}/takeover", {"force": force})
        assert missing.value.code == "model_not_installed"
        assert "regend models pull" in missing.value.hint
        with pytest.raises(Conflict) as unknown:
            await two.call("POST", f"/jobs/{count}/takeover", {"force": force})
        assert unknown.value.code == "no_program" and unknown.value.hint
    for job in (chat, count):
        shown = await two.until(lambda shown: shown["state"] == "completed", f"/jobs/{job}")
        assert (shown["device"], shown["attempt"]) == (shown["owner_device"], 1)
