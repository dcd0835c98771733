"""The power fails around a grant: a job is never run by two devices, and never by none.

Two real stores live through a takeover. At every commit, just before and just after, the files of
both are copied as they lie on the disk. From each copy the devices start again and go on.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from regend.errors import RegendError
from regend.home import Home
from regend.jobs import handover, journal, repository, settlement
from regend.jobs.folding import HERE
from regend.jobs.journal import Step
from regend.jobs.lifecycle import Outcome
from regend.jobs.mirror import collect
from regend.store import Store
from regend.store.writer import Probe, no_probe
from tests.jobs.test_lifecycle_machine import MAX_DEATHS, new_job
from tests.sync.replicas import CLOCK, Replica

JOB = "a-job"
STEPS = 3


@dataclass
class Power:
    """Copies the homes of all devices at each point of any of them, while it is on."""

    root: Path
    images: list[Path] = field(default_factory=list)
    on: bool = False

    def probe(self, who: str) -> Probe:
        def take(point: str) -> None:
            if self.on and point.startswith("commit:"):
                image = self.root / f"image-{len(self.images):03d}-{who}-{point[7:]}"
                # What maps the log in memory is made anew after a crash.
                ignored = shutil.ignore_patterns("*-shm", "*.lock")
                shutil.copytree(self.root / "homes", image, ignore=ignored)
                self.images.append(image)

        return take


class Runner:
    """A device that works on its jobs one write at a time, as its supervisor and worker would."""

    def __init__(self, root: Path, name: str, probe: Probe = no_probe) -> None:
        self.name = name
        self.replica = Replica(root, Store(Home.at(root / name), probe))
        self.boot = f"boot of {name}"
        self.fence: int | None = None

    async def begin(self, before: Runner | None) -> None:
        """Join, or go on after a restart as the device that it was."""
        if before is None:
            await self.replica.join()
            return
        self.boot += " again"
        self.replica.log = before.replica.log
        self.replica.signing_key = before.replica.signing_key
        store = self.replica.store
        store.before_commit(lambda c: collect(c, CLOCK.wall_ms()))

        def recover(connection: sqlite3.Connection) -> None:
            handover.stay(connection)
            at_ms = CLOCK.wall_ms()
            settlement.requeue_orphans(connection, self.boot, 99, MAX_DEATHS, at_ms)
            repository.release_all_held(connection)

        await store.write(recover)

    async def row(self) -> sqlite3.Row | None:
        with contextlib.suppress(RegendError):
            return await self.replica.store.query(lambda c: repository.find(c, None, JOB))
        return None

    async def holds(self) -> bool:
        row = await self.row()
        return row is not None and row["remote"] == HERE

    async def claim(self) -> None:
        at_ms = CLOCK.wall_ms()
        store = self.replica.store
        for job in await store.query(handover.held_back):
            await store.write(lambda c, job=job: handover.let_go(c, job))  # type: ignore[misc]
        claim = await store.write(lambda c: repository.claim(c, self.boot, at_ms))
        self.fence = self.fence if claim is None else claim.fence

    async def step(self) -> None:
        def write(connection: sqlite3.Connection) -> None:
            assert self.fence is not None
            ordinal = journal.finished_steps(connection, 1) + 1
            step = Step(ordinal, f"step-{ordinal}", "0" * 64, f'"{self.name}"', 0, 1)
            journal.record_step(connection, 1, self.fence, step, CLOCK.wall_ms())

        await self.replica.store.write(write)

    async def settle(self, outcome: Outcome) -> None:
        def write(connection: sqlite3.Connection) -> None:
            assert self.fence is not None
            at_ms = CLOCK.wall_ms()
            settlement.settle_attempt(connection, 1, self.fence, outcome, MAX_DEATHS, "1", at_ms)

        await self.replica.store.write(write)
        self.fence = None

    async def ask(self, holder: Runner) -> None:
        """Ask another device for the job."""

        def write(connection: sqlite3.Connection) -> bool:
            row = repository.find(connection, None, JOB)
            return handover.ask_to_leave(connection, row, self.replica.log, CLOCK.wall_ms())

        with contextlib.suppress(RegendError):
            await holder.replica.store.write(write)

    async def work_to_the_end(self) -> None:
        """Do what is left of the job, if it is this device's."""
        await self.claim()
        if self.fence is None:
            return
        store = self.replica.store
        while await store.query(lambda c: journal.finished_steps(c, 1)) < STEPS:
            await self.step()
        await self.settle(Outcome("completed", result="1"))


async def live_through_a_takeover(power: Power) -> list[Runner]:
    """Begin a job on one device and end it on the other, with the power on."""
    homes = power.root / "homes"
    one, two = (Runner(homes, name, power.probe(name)) for name in ("one", "two"))
    for device in (one, two):
        await device.begin(None)
    await one.replica.store.write(lambda c: repository.create(c, new_job(JOB), CLOCK.wall_ms()))
    await one.replica.meet(two.replica)
    power.on = True
    await one.claim()
    await one.step()
    await one.replica.meet(two.replica)
    await two.ask(one)
    await one.settle(Outcome("released"))
    await one.replica.meet(two.replica)
    await two.work_to_the_end()
    await one.replica.meet(two.replica)
    power.on = False
    return [one, two]


async def go_on_from(image: Path, before: list[Runner], *, asks_again: bool) -> None:
    """Start again from what the disks held, and let the job come to its end."""
    devices = [Runner(image, one.name) for one in before]
    for device, was in zip(devices, before, strict=True):
        await device.begin(was)
    one, two = devices
    for _ in range(3):
        assert sum([await device.holds() for device in devices]) <= 1
        if asks_again:
            await two.ask(one)
        assert sum([await device.holds() for device in devices]) <= 1
        for device in devices:
            await device.work_to_the_end()
        await one.replica.meet(two.replica)
    histories = []
    for device in devices:
        row = await device.row()
        assert row is not None and row["state"] == "completed"
        histories.append(
            await device.replica.store.query(
                lambda c: c.execute(
                    "SELECT job_seq, type, at, data FROM events WHERE job > 0 ORDER BY job_seq"
                ).fetchall()
            )
        )
        strays = await device.replica.store.query(
            lambda c: c.execute("SELECT count(*) FROM strays").fetchone()
        )
        assert strays == (0,), "nothing was done twice"
    assert histories[0] == histories[1]
    kinds = [kind for _, kind, _, _ in histories[0]]
    assert kinds.count("job:completed:v1") == 1 and kinds.count("job:step:v1") == STEPS
    assert [place for place, *_ in histories[0]] == list(range(1, len(kinds) + 1))
    assert sum([await device.holds() for device in devices]) == 1
    for device in devices:
        device.replica.store.close()


@pytest.mark.parametrize("asks_again", [False, True])
async def test_a_job_is_run_by_one_device_wherever_the_power_fails(
    tmp_path: Path, asks_again: bool
) -> None:
    power = Power(tmp_path)
    before = await live_through_a_takeover(power)
    assert len(power.images) > 20
    assert {image.name.split("-", 2)[2] for image in power.images} == {
        f"{name}-{point}" for name in ("one", "two") for point in ("before", "after")
    }
    for image in power.images:
        await go_on_from(image, before, asks_again=asks_again)
    for device in before:
        device.replica.store.close()


async def test_a_device_that_did_not_fail_goes_on_while_the_other_starts_again(
    tmp_path: Path,
) -> None:
    """The grant is on its way, and the one who gave dies before it was sent: it is sent later."""
    homes = tmp_path / "homes"
    one, two = (Runner(homes, name) for name in ("one", "two"))
    for device in (one, two):
        await device.begin(None)
    await one.replica.store.write(lambda c: repository.create(c, new_job(JOB), CLOCK.wall_ms()))
    await one.replica.meet(two.replica)
    await one.claim()
    await one.step()
    await two.ask(one)
    await one.settle(Outcome("released"))
    one.replica.store.close()
    again = Runner(homes, "one")
    await again.begin(one)
    await again.work_to_the_end()
    assert not await again.holds() and not await two.holds()
    await again.replica.meet(two.replica)
    await two.work_to_the_end()
    await again.replica.meet(two.replica)
    row = await again.row()
    assert row is not None and (row["state"], row["remote"]) == ("completed", 1)
    for device in (again, two):
        device.replica.store.close()
