"""A job is given away in the moment in which a third device takes it by force."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations

import pytest

from regend.jobs import handover, journal, orphans, repository, settlement
from regend.jobs.folding import HERE
from regend.jobs.journal import Step
from regend.jobs.lifecycle import Outcome
from regend.store import changelog
from tests.jobs.test_lifecycle_machine import new_job
from tests.sync.agreement import assert_agreement
from tests.sync.pocket import Device

Way = tuple[int, int]  # from which device to which

OWNER, FORCER, ASKER = 0, 1, 2
WAYS: tuple[Way, ...] = ((OWNER, FORCER), (OWNER, ASKER), (FORCER, OWNER), (FORCER, ASKER))


@pytest.fixture(scope="module")
def begun() -> list[Device]:
    """Return three devices that know a job which the first runs, one step into it."""
    devices = [Device(number, at_ms=1000) for number in range(3)]
    for device in devices:
        with device.transaction() as c:
            changelog.begin(c, device.log)
    owner = devices[OWNER]
    with owner.transaction() as c:
        repository.create(c, replace(new_job("a"), device=owner.log.device.hex()), 1)
    claim(owner)
    step(owner)
    for other in devices[1:]:
        deliver(owner, other)
    return devices


@pytest.fixture
def devices(begun: list[Device]) -> Iterator[list[Device]]:
    made = [device.copied() for device in begun]
    made[OWNER].holds = dict(begun[OWNER].holds)
    yield made
    for device in made:
        device.connection.close()


def claim(device: Device) -> None:
    """Let a device run the job if it may."""
    with device.transaction() as c:
        claimed = repository.claim(c, "boot", device.at_ms)
    if claimed is not None:
        device.holds[claimed.job] = claimed.fence


def step(device: Device) -> bool:
    """Let the attempt of a device do its next step; False where it may not any more."""
    if not device.holds:
        return False
    ((job, fence),) = device.holds.items()
    try:
        with device.transaction() as c:
            ordinal = journal.finished_steps(c, job) + 1
            done = Step(ordinal, f"s{ordinal}", "0" * 64, f'"{device.number}"', 0, 1)
            journal.record_step(c, job, fence, done, device.at_ms)
    except repository.Fenced:
        device.holds.clear()
        return False
    return True


def ask(devices: list[Device]) -> None:
    """Let the third device ask the first for the job, whose worker is to stop then."""
    owner = devices[OWNER]
    with owner.transaction() as c:
        row = repository.find(c, None, "a")
        assert not handover.ask_to_leave(c, row, devices[ASKER].log, owner.at_ms)


def stop_worker(owner: Device) -> None:
    """Let the worker that was asked stop; the job is given then, if it still is to."""
    ((job, fence),) = owner.holds.items()
    owner.holds.clear()
    try:
        with owner.transaction() as c:
            released = Outcome("released")
            settlement.settle_attempt(c, job, fence, released, 3, None, owner.at_ms)
    except repository.Fenced:
        pass


def force(device: Device) -> None:
    with device.transaction() as c:
        handover.take(c, repository.find(c, None, "a"), device.at_ms)
    claim(device)


def deliver(giver: Device, taker: Device) -> None:
    for blobs in giver.frames_for(taker).values():
        giver.give(taker, blobs)


def go_on(devices: list[Device]) -> None:
    """Let whoever believes to run the job work on."""
    for device in devices:
        device.at_ms += 1
        claim(device)
        step(device)


def meet(devices: list[Device]) -> None:
    for _ in range(3):
        for giver in devices:
            for taker in devices:
                if giver is not taker:
                    deliver(giver, taker)


def kinds(device: Device) -> list[str]:
    return [one["kind"] for one in orphans.told(device.connection, "a", bytes.hex)]


@pytest.mark.parametrize("order", list(permutations(WAYS)), ids=str)
def test_all_agree_who_runs_it_and_are_told_that_two_did(
    devices: list[Device], order: tuple[Way, ...]
) -> None:
    ask(devices)
    stop_worker(devices[OWNER])  # given to the third
    force(devices[FORCER])
    assert step(devices[FORCER])
    for giver, taker in order:
        deliver(devices[giver], devices[taker])
        go_on(devices)
    meet(devices)
    assert_agreement(devices)
    go_on(devices)
    meet(devices)
    assert_agreement(devices)
    running = [one for one in devices if one.jobs()["a"]["remote"] == HERE]
    assert running == [devices[ASKER]], "what its device gave counts before what was taken"
    assert not step(devices[FORCER]) and not step(devices[OWNER])
    for device in devices:
        assert "contested" in kinds(device) and {"twice", "beside"} & set(kinds(device))


@pytest.mark.parametrize("asked_first", [True, False])
def test_who_knows_that_a_job_was_taken_gives_it_to_nobody(
    devices: list[Device], asked_first: bool
) -> None:
    """Also where it was asked before, and its worker stops only now."""
    owner, forcer, _ = devices
    if asked_first:
        ask(devices)
    force(forcer)
    deliver(forcer, owner)
    if not asked_first:
        with pytest.raises(Exception, match="another device"):
            ask(devices)
    stop_worker(owner)
    meet(devices)
    go_on(devices)
    meet(devices)
    assert_agreement(devices)
    assert [one.jobs()["a"]["remote"] == HERE for one in devices] == [False, True, False]
    assert all("contested" not in kinds(one) for one in devices)
