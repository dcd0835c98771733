"""A job that moves waits for what it needs of another device, and only as long as it may come."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from regend import services
from regend.mesh import moving
from tests.mesh.conftest import Device, Start, pair
from tests.mesh.test_generation import ASK


class Gate:
    """Lets a device get no payloads until it is opened."""

    def __init__(self, device: Device) -> None:
        network = device.daemon._mesh.network
        assert network is not None
        self._links = network.links
        self._ask = network.fetcher.ask
        network.fetcher.ask = self.ask  # type: ignore[method-assign, assignment]
        self.is_open = False

    async def ask(self, exchange: Any) -> None:
        if self.is_open:
            await self._ask(exchange)

    def open(self) -> None:
        self.is_open = True
        for exchange in self._links.exchanges:
            exchange.wake()


async def begun(one: Device, two: Device) -> str:
    """Return a job that one device writes and of which the other knows a saved place."""
    job = str((await one.client.jobs.create("chat", ASK))["id"])
    await two.until(lambda _: True, f"/jobs/{job}")
    while not any(e["type"] == "job:checkpoint:v1" for e in await two.events(job)):
        await asyncio.sleep(0.02)
    return job


@pytest.fixture(autouse=True)
def _no_end_of_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "BASE_WAIT_S", 3600.0)


async def test_a_job_that_was_given_runs_once_its_saved_state_has_come(start: Start) -> None:
    one, two = await start("Laptop", model=True), await start("Phone", model=True)
    await pair(one, two)
    gate = Gate(two)
    job = await begun(one, two)
    taken = await two.call("POST", f"/jobs/{job}/takeover", {})
    assert taken["state"] == "created"
    await asyncio.sleep(0.5)
    assert (await two.call("GET", f"/jobs/{job}"))["state"] == "created"
    gate.open()
    await two.until(lambda shown: shown["state"] == "completed", f"/jobs/{job}")
    resumed = [e["data"] for e in await two.events(job) if e["type"] == "job:resumed:v1"]
    assert [one["resume"] for one in resumed] == ["exact"]


async def test_a_job_that_was_taken_waits_for_nothing_that_nobody_can_send(start: Start) -> None:
    one, two = await start("Laptop", model=True), await start("Phone", model=True)
    await pair(one, two)
    Gate(two)
    job = await begun(one, two)
    await one.away()
    await two.until(lambda shown: not shown["devices"][0]["reachable"], "/devices")
    await two.call("POST", f"/jobs/{job}/takeover", {"force": True})
    await two.until(lambda shown: shown["state"] == "completed", f"/jobs/{job}")


async def test_a_job_that_was_taken_does_not_wait_for_a_device_that_has_not_its_state(
    start: Start,
) -> None:
    """What one can send is waited for, what nobody that is reached can send is not."""
    one, two, three = [await start(n, model=n != "Tablet") for n in ("Laptop", "Phone", "Tablet")]
    await pair(one, two, three)
    gates = [Gate(two), Gate(three)]
    job = await begun(one, two)
    await one.away()
    await two.until(lambda shown: not shown["devices"][0]["reachable"], "/devices")
    await two.call("POST", f"/jobs/{job}/takeover", {"force": True})
    await asyncio.sleep(0.5)
    assert (await two.call("GET", f"/jobs/{job}"))["state"] == "created", "it may be on the third"
    gates[0].open()
    await two.until(lambda shown: shown["state"] == "completed", f"/jobs/{job}")


async def research_that_moved(one: Device, two: Device, folder: Path) -> tuple[str, Gate]:
    """Return a job taken over before it began, about a document that has not come along."""
    await pair(one, two)
    gate = Gate(two)
    text = {"title": "Rent", "text": "The rent is due on the 5th of May.", "source": "note:Rent"}
    await one.call("POST", "/library", text)
    while not await two.daemon._store.query(
        lambda c: c.execute("SELECT 1 FROM shared_documents WHERE state = 'coming'").fetchall()
    ):
        await asyncio.sleep(0.02)
    pace = folder / "pace"
    pace.write_text("60")
    for _ in range(2):  # as many as run at once
        await one.client.jobs.create("count", {"steps": 9, "pace": str(pace)})
    asked = {"question": "When is the rent due?", "depth": "quick"}
    job = str((await one.client.jobs.create("research", asked))["id"])
    await two.until(lambda _: True, f"/jobs/{job}")
    await two.call("POST", f"/jobs/{job}/takeover", {})
    return job, gate


async def test_research_that_moved_waits_for_the_documents_that_its_owner_has(
    start: Start, tmp_path: Path
) -> None:
    one, two = await start("Laptop"), await start("Phone")
    job, gate = await research_that_moved(one, two, tmp_path)
    await two.until(lambda shown: shown["state"] == "running", f"/jobs/{job}")
    await asyncio.sleep(1)
    assert (await two.call("GET", f"/jobs/{job}"))["state"] == "running"
    gate.open()
    shown = await two.until(lambda shown: shown["state"] == "completed", f"/jobs/{job}")
    assert "5th of May" in shown["result"]["answer"] and shown["result"]["unreadable"] == []


async def test_research_that_moved_says_which_documents_have_not_come(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "DOCUMENTS_WAIT_S", 0.3)
    one, two = await start("Laptop"), await start("Phone")
    job, _ = await research_that_moved(one, two, tmp_path)
    shown = await two.until(lambda shown: shown["state"] == "completed", f"/jobs/{job}")
    (late,) = shown["result"]["unreadable"]
    assert late["source"] == "note:Rent" and "has not come yet" in late["reason"]
