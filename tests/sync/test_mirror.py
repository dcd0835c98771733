"""Jobs as other devices see them: the same rows, the same history, whatever came first."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from regend.config import Config, JobsConfig
from regend.errors import Conflict
from regend.home import Home
from regend.jobs import repository
from regend.mesh.moving import Moves
from regend.store import Store
from regend.sync.frame import parse
from tests.jobs.conftest import USER, Engine
from tests.sync.replicas import CLOCK, Replica

_SAME = (
    *("id", "type", "title", "state", "desired", "progress", "step", "attempt", "result"),
    *("error", "waiting", "created_at", "updated_at", "finished_at", "owner_device", "input"),
)


async def _able(type_name: str, model: str) -> None:
    """Let every job run."""


class Device:
    """An engine and its replica."""

    def __init__(self, folder: Path, number: int) -> None:
        config = Config(jobs=JobsConfig(concurrency=2))
        self.engine = Engine(Home.at(folder / f"device-{number}"), config, boot=f"boot-{number}")
        self.replica = Replica(folder, self.engine.store)
        self.moves = Moves(
            self.engine.store,
            CLOCK,
            self.engine.supervisor,
            self.replica.log,
            lambda _device: None,
            lambda: None,
            lambda device: device.hex(),
            _able,
        )

    @property
    def store(self) -> Store:
        return self.engine.store

    async def history(self, job: str) -> list[tuple[Any, ...]]:
        events = await self.engine.events(job)
        return [(e["job_seq"], e["type"], e["at"], e["data"]) for e in events]

    async def shown(self, job: str) -> dict[str, Any]:
        shown = await self.engine.jobs.show(USER, job)
        return {name: shown[name] for name in _SAME}


@pytest.fixture
async def devices(tmp_path: Path) -> AsyncIterator[list[Device]]:
    made = [Device(tmp_path, number) for number in range(3)]
    for one in made:
        await one.replica.join()
        one.engine.supervisor.start()
    yield made
    for one in made:
        await one.moves.stop()
        await one.engine.close()


async def same_everywhere(devices: list[Device], job: str) -> None:
    first = devices[0]
    for other in devices[1:]:
        assert await other.history(job) == await first.history(job)
        assert await other.shown(job) == await first.shown(job)


async def test_a_job_is_seen_on_another_device_as_it_is(devices: list[Device]) -> None:
    one, two, three = devices
    jobs = [await one.engine.submit("count", steps=3)]
    jobs.append(await one.engine.submit("count", steps=2, always_fail_at=1, trace=os.devnull))
    jobs.append(await one.engine.submit("approve", to="bank"))
    jobs.append(await one.engine.submit("count", steps=1, note="क्या हुआ" * 5000))
    states = ["completed", "failed", "waiting", "completed"]
    for job, state in zip(jobs, states, strict=True):
        await one.engine.until(job, state)
    await one.replica.meet(two.replica)
    await two.replica.meet(three.replica)
    for job in jobs[:3]:
        await same_everywhere(devices, job)
    waiting = (await two.engine.jobs.show(USER, jobs[3]))["omitted"]
    assert waiting == ["input"], "a payload that is not here yet is named"


async def test_a_question_whose_preview_is_not_here_yet_hides_no_other(
    devices: list[Device],
) -> None:
    one, two, _ = devices
    for to in ("bank", "x" * 40_000):
        await one.engine.until(await one.engine.submit("approve", to=to), "waiting")
    await one.replica.meet(two.replica)
    small, large = await two.engine.jobs.approvals(USER)
    assert small["preview"] == {"to": "bank"} and "omitted" not in small
    assert large["preview"] is None and large["omitted"] == ["preview"]


async def test_what_was_before_the_mesh_is_told_too(tmp_path: Path) -> None:
    one, two = Device(tmp_path, 0), Device(tmp_path, 1)
    one.engine.supervisor.start()
    job = await one.engine.submit("count", steps=3)
    await one.engine.until(job, "completed")
    await one.replica.join()
    await two.replica.join()
    await one.replica.meet(two.replica)
    await same_everywhere([one, two], job)
    for device in (one, two):
        await device.engine.close()


async def test_a_job_that_is_given_goes_on_there_and_nowhere_else(
    devices: list[Device], tmp_path: Path
) -> None:
    one, two, three = devices
    trace = tmp_path / "trace"
    job = await one.engine.submit("count", steps=6, sleep_s=0.2, trace=str(trace))
    await one.engine.until(job, "running")
    while not trace.exists() or len(trace.read_text().split()) < 3:
        await one.store.bell.wait(0.05)
    await one.replica.meet(two.replica)
    assert not await one.moves._give(job, two.replica.log)
    while not (await one.store.query(lambda c: repository.find(c, None, job)))["remote"]:
        await one.store.bell.wait(0.1)
    with pytest.raises(Conflict, match="another device"):
        await one.moves._give(job, three.replica.log)
    await one.replica.meet(two.replica)
    await two.engine.until(job, "completed")
    assert trace.read_text().split() == [str(n) for n in range(6)], "each step ran once"
    await two.replica.meet(three.replica)
    await two.replica.meet(one.replica)
    await same_everywhere(devices, job)
    types = [event[1] for event in await two.history(job)]
    assert types.count("job:takeover:v1") == 1


async def test_a_forced_takeover_leaves_what_was_done_meanwhile_beside_the_history(
    devices: list[Device], tmp_path: Path
) -> None:
    one, two, three = devices
    trace = tmp_path / "trace"
    job = await one.engine.submit("count", steps=8, sleep_s=0.15, trace=str(trace))
    while not trace.exists() or len(trace.read_text().split()) < 3:
        await one.store.bell.wait(0.05)
    await one.replica.meet(two.replica)
    await two.moves._force(USER, job)
    await two.engine.until(job, "completed")
    await one.engine.until(job, "completed")  # nobody had told it
    assert len(trace.read_text().split()) > 8, "both ran"
    await one.replica.meet(two.replica)
    await two.replica.meet(three.replica)
    await same_everywhere(devices, job)
    for device in devices:
        beside = await device.store.query(
            lambda c: c.execute("SELECT count(*) FROM strays WHERE job_id = ?", (job,)).fetchone()
        )
        assert beside[0] > 0, "what the first device did past the base is kept"


async def test_a_device_that_lost_a_job_stops_before_its_next_step(
    devices: list[Device], tmp_path: Path
) -> None:
    one, two, _ = devices
    trace = tmp_path / "trace"
    job = await one.engine.submit("count", steps=50, sleep_s=0.2, trace=str(trace))
    while not trace.exists():
        await one.store.bell.wait(0.05)
    await one.replica.meet(two.replica)
    await two.moves._force(USER, job)
    await two.engine.jobs.cancel(USER, job)
    await two.engine.until(job, "cancelled")
    await two.replica.meet(one.replica)
    one.engine.supervisor.end_lost()
    while one.engine.supervisor.running:
        await one.store.bell.wait(0.05)
    await same_everywhere([one, two], job)


async def test_whatever_comes_first_the_history_is_the_same(
    devices: list[Device], tmp_path: Path
) -> None:
    one, two, three = devices
    job = await one.engine.submit("count", steps=4, sleep_s=0.1)
    await one.engine.until(job, "running")
    await one.replica.meet(two.replica)
    await two.moves._force(USER, job)
    await two.engine.until(job, "completed")
    await one.engine.until(job, "completed")
    await one.replica.meet(two.replica)
    frames = await one.replica.frames_for(three.replica)
    by_log: dict[Any, list[bytes]] = {}
    for blob in frames:
        by_log.setdefault(parse(blob).header.log, []).append(blob)
    assert len(by_log) == 2
    # The log of the second device first: its branch waits for what it stands on.
    order = sorted(by_log, key=lambda log: log != two.replica.log)
    for log in order:
        await three.replica.take(by_log[log])
    await same_everywhere(devices, job)


async def test_a_wish_reaches_the_device_that_runs_the_job(devices: list[Device]) -> None:
    one, two, _ = devices
    job = await one.engine.submit("count", steps=50, sleep_s=0.1)
    await one.engine.until(job, "running")
    await one.replica.meet(two.replica)
    asked = await two.engine.jobs.pause(USER, job)
    assert asked["state"] == "running", "it is not so before the device has done it"
    await two.replica.meet(one.replica)
    row = await one.store.query(lambda c: repository.find(c, None, job))
    assert row["desired"] == "pause"
    one.engine.supervisor.tell(row["number"], row["desired"])
    await one.engine.until(job, "paused")
    await one.replica.meet(two.replica)
    await two.engine.jobs.cancel(USER, job)
    await two.replica.meet(one.replica)
    await one.engine.until(job, "cancelled")
    await one.replica.meet(two.replica)
    await same_everywhere([one, two], job)


async def test_a_decision_made_on_another_device_lets_the_job_go_on(devices: list[Device]) -> None:
    one, two, _ = devices
    job = await one.engine.submit("approve", to="bank")
    await one.engine.until(job, "waiting")
    await one.replica.meet(two.replica)
    (question,) = await two.engine.jobs.approvals(USER)
    said = {"decision": "approve", "action_hash": question["action_hash"]}
    await two.engine.jobs.decide(USER, question["id"], **said)
    await two.replica.meet(one.replica)
    await one.engine.until(job, "completed")
    await one.replica.meet(two.replica)
    await same_everywhere([one, two], job)
