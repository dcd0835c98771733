"""What a job that came from another device goes on with: all it needs, nothing that is over."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from regend import events
from regend.jobs import arrivals, commands, handover, journal, repository, settlement, wishes
from regend.jobs.folding import HERE
from regend.jobs.journal import Step
from regend.jobs.lifecycle import Outcome
from regend.store.blobs import later_references
from tests.jobs.test_lifecycle_machine import new_job
from tests.sync.replicas import Replica

DIGEST = "f" * 64


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Replica, Replica]]:
    one, two = Replica(tmp_path / "one"), Replica(tmp_path / "two")
    for device in (one, two):
        await device.join()
    yield one, two
    for device in (one, two):
        device.store.close()


def row(connection: sqlite3.Connection) -> sqlite3.Row:
    return repository.find(connection, None, "a")


async def give(one: Replica, two: Replica) -> None:
    """Let a job that no worker holds move to another device."""
    await one.store.write(lambda c: handover.ask_to_leave(c, row(c), two.log, 9))
    await one.meet(two)
    assert (await two.store.query(row))["remote"] == HERE


def work_until_it_waits(connection: sqlite3.Connection) -> None:
    repository.create(connection, new_job("a"), 1)
    claim = repository.claim(connection, "boot", 1)
    assert claim is not None
    for number in (1, 2, 3):
        step = Step(number, f"s{number}", "0" * 64, '"old"', 0, 1)
        journal.record_step(connection, claim.job, claim.fence, step, 1)
    waiting = {"reason": "code_changed", "choices": ["restart", "go_on"], "ordinal": 2}
    parked = Outcome("parked", waiting=waiting)
    settlement.settle_attempt(connection, claim.job, claim.fence, parked, 3, None, 1)


@pytest.mark.parametrize(("choice", "kept"), [("restart", 0), ("go_on", 1)])
async def test_steps_that_a_person_chose_to_run_again_are_replayed_nowhere(
    pair: tuple[Replica, Replica], choice: str, kept: int
) -> None:
    one, two = pair
    await one.store.write(work_until_it_waits)
    await one.meet(two)
    await one.store.write(lambda c: commands.resume(c, row(c), choice, 2))
    await give(one, two)
    number = (await two.store.query(row))["number"]
    assert await two.store.query(lambda c: journal.finished_steps(c, number)) == kept


async def test_steps_that_were_dropped_in_a_branch_that_gave_way_are_there_again(
    pair: tuple[Replica, Replica],
) -> None:
    """Both on the device that dropped them, and where the other is told of it later."""
    one, two = pair

    def steps(connection: sqlite3.Connection) -> list[tuple[int, str]]:
        return [(s.ordinal, s.result) for s in journal.steps(connection, row(connection)["number"])]

    def begin_again(connection: sqlite3.Connection) -> None:
        commands.resume(connection, row(connection), "restart", 2)
        claim = repository.claim(connection, "boot", 3)
        assert claim is not None
        step = Step(1, "s1", "0" * 64, "@" + DIGEST, 0, 1)
        journal.record_step(connection, claim.job, claim.fence, step, 3)

    await one.store.write(work_until_it_waits)
    await one.meet(two)
    await one.store.write(begin_again)
    assert await one.store.query(steps) == [(1, "@" + DIGEST)]
    await two.store.write(lambda c: handover.take(c, row(c), 4))
    await one.meet(two)
    old = [(number, '"old"') for number in (1, 2, 3)]
    for device in (one, two):
        assert await device.store.query(steps) == old
        assert DIGEST in await device.store.query(later_references), "it may hold again"
    await two.store.write(lambda c: commands.resume(c, row(c), "go_on", 5))
    await one.meet(two)
    for device in (one, two):
        assert await device.store.query(steps) == old[:1]


@pytest.mark.parametrize("state", ["created", "paused"])
async def test_a_job_that_came_runs_once_its_payloads_are_here(
    pair: tuple[Replica, Replica], state: str
) -> None:
    one, two = pair
    job = replace(new_job("a"), input="@" + DIGEST)
    await one.store.write(lambda c: repository.create(c, job, 1))
    if state == "paused":
        await one.store.write(lambda c: commands.pause(c, row(c), 1))
    await one.meet(two)
    await give(one, two)
    if state == "paused":
        await two.store.write(lambda c: commands.resume(c, row(c), None, 4))
    await two.store.write(repository.release_all_held)
    await two.store.write(lambda c: repository.release_held(c, row(c)["number"]))
    assert await two.store.write(lambda c: repository.claim(c, "boot", 5)) is None
    await two.store.write(lambda c: arrivals.blob_came(c, DIGEST))
    for number in await two.store.query(handover.held_back):
        await two.store.write(lambda c, n=number: handover.let_go(c, n))  # type: ignore[misc]
    if state == "created":
        assert await two.store.query(handover.held_back) == []
    await two.store.write(repository.release_all_held)
    assert await two.store.write(lambda c: repository.claim(c, "boot", 5)) is not None


@pytest.mark.parametrize("effect_first", [False, True])
async def test_an_effects_large_receipt_is_asked_for(
    tmp_path: Path, pair: tuple[Replica, Replica], effect_first: bool
) -> None:
    """Also where it is told of, by a later holder, before the job itself is known."""
    one, two = pair

    def act(connection: sqlite3.Connection) -> None:
        claim = repository.claim(connection, "boot", 1)
        assert claim is not None
        meant = journal.Effect(1, "pay", "key", "0" * 64, "intended", None)
        journal.intend(connection, claim.job, claim.fence, meant, 1)
        journal.settle_effect(connection, claim.job, claim.fence, 1, "done", "@" + DIGEST, 2)

    await one.store.write(lambda c: repository.create(c, new_job("a"), 1))
    await one.meet(two)
    await give(one, two)
    await two.store.write(act)
    three = Replica(tmp_path / "three")
    await three.join()
    for giver in (two, one) if effect_first else (one, two):
        place = (await giver.vector())[giver.log]
        await three.take(await giver.frames(giver.log, 0, place.seq))
    number = (await three.store.query(row))["number"]
    assert await three.store.query(lambda c: arrivals.wanted_of(c, number)) == [DIGEST]
    three.store.close()


async def test_two_jobs_that_need_one_payload_both_wait_for_it(
    pair: tuple[Replica, Replica],
) -> None:
    one, two = pair
    for name in ("a", "b"):
        job = replace(new_job(name), input="@" + DIGEST)
        await one.store.write(lambda c, job=job: repository.create(c, job, 1))  # type: ignore[misc]
    await one.meet(two)
    for number in (1, 2):
        waits = await two.store.query(lambda c, n=number: arrivals.wanted_of(c, n))  # type: ignore[misc]
        assert waits == [DIGEST]
    await two.store.write(lambda c: arrivals.blob_came(c, DIGEST))
    assert not await two.store.query(lambda c: c.execute("SELECT 1 FROM wanted_blobs").fetchall())


@pytest.mark.parametrize(
    ("command", "state"), [("cancel", "cancelled"), ("pause", "paused"), (None, "created")]
)
async def test_a_running_job_that_is_taken_ends_its_attempt_as_was_wished(
    pair: tuple[Replica, Replica], command: str | None, state: str
) -> None:
    one, two = pair
    await one.store.write(lambda c: repository.create(c, new_job("a"), 1))
    await one.store.write(lambda c: repository.claim(c, "boot", 1))
    if command is not None:
        await one.store.write(lambda c: getattr(commands, command)(c, row(c), 2))
    await one.meet(two)
    await two.store.write(lambda c: handover.take(c, row(c), 3))
    await one.meet(two)
    for device in (one, two):
        assert (await device.store.query(row))["state"] == state
        assert (await device.store.query(row))["error"] is None


async def test_a_job_that_was_cancelled_here_and_is_then_taken_here_stays_cancelled(
    pair: tuple[Replica, Replica],
) -> None:
    """What `mesh.moving` does for a takeover by force."""
    one, two = pair
    await one.store.write(lambda c: repository.create(c, new_job("a"), 1))
    await one.meet(two)
    await two.store.write(lambda c: wishes.wish(c, row(c), "cancel", None, 2))
    await two.store.write(lambda c: handover.take(c, row(c), 3))
    await two.store.write(lambda c: wishes.carry_out(c, "a", 3))
    await one.meet(two)
    for device in (one, two):
        assert (await device.store.query(row))["state"] == "cancelled"


async def test_who_asked_for_a_job_that_ended_does_not_get_it_when_it_is_tried_again(
    pair: tuple[Replica, Replica],
) -> None:
    one, two = pair

    def fail_once(connection: sqlite3.Connection) -> None:
        claim = repository.claim(connection, "boot", 1)
        assert claim is not None
        handover.ask_to_leave(connection, row(connection), two.log, 2)
        failed = Outcome("failed", error={"code": "x", "message": "x", "retryable": False})
        settlement.settle_attempt(connection, claim.job, claim.fence, failed, 3, None, 3)
        commands.retry(connection, row(connection), 4)
        claim = repository.claim(connection, "boot", 5)
        assert claim is not None
        settlement.settle_attempt(connection, 1, claim.fence, Outcome("released"), 3, None, 6)

    await one.store.write(lambda c: repository.create(c, new_job("a"), 1))
    await one.store.write(fail_once)
    assert (await one.store.query(row))["remote"] == HERE


@pytest.mark.parametrize(
    ("command", "before", "state"),
    [
        ("pause", "created", "paused"),
        ("resume", "paused", "created"),
        ("retry", "failed", "created"),
    ],
)
async def test_what_was_asked_before_the_job_came_is_done_once_it_is_here(
    tmp_path: Path, command: str, before: str, state: str
) -> None:
    """The wish of the third comes to the second before the job does, and is kept for it."""
    one, two, three = [Replica(tmp_path / name) for name in ("one", "two", "three")]
    for device in (one, two, three):
        await device.join()

    def prepare(connection: sqlite3.Connection) -> None:
        repository.create(connection, new_job("a"), 1)
        if before == "paused":
            commands.pause(connection, row(connection), 1)
        if before == "failed":
            claim = repository.claim(connection, "boot", 1)
            assert claim is not None
            failed = Outcome("failed", error={"code": "x", "message": "x", "retryable": False})
            settlement.settle_attempt(connection, claim.job, claim.fence, failed, 3, None, 3)

    await one.store.write(prepare)
    await one.meet(three)
    await three.store.write(lambda c: wishes.wish(c, row(c), command, None, 2))
    said = await three.frames(three.log, 0, 1)
    await two.take(said)
    await one.meet(two)
    if before == "failed":
        await one.store.write(lambda c: commands.retry(c, row(c), 3))
    await give(one, two)
    for device in (one, three):
        await two.meet(device)
    for device in (one, two, three):
        shown = await device.store.query(row)
        assert shown["state"] == state
        became = await device.store.query(lambda c: wishes.became(c, row(c)["number"], "a"))
        assert became == {"wish": "done"}
        device.store.close()


async def test_what_was_overtaken_is_said_and_what_was_done_is_not_done_again(
    pair: tuple[Replica, Replica],
) -> None:
    one, two = pair
    await one.store.write(lambda c: repository.create(c, new_job("a"), 1))
    await one.meet(two)
    await two.store.write(lambda c: wishes.wish(c, row(c), "pause", None, 2))
    await one.meet(two)
    assert (await one.store.query(row))["state"] == "paused"
    await one.store.write(lambda c: commands.resume(c, row(c), None, 3))
    await give(one, two)
    assert (await two.store.query(row))["state"] == "created", "it was paused once already"

    await one.store.write(lambda c: wishes.wish(c, row(c), "pause", None, 4))
    await two.store.write(lambda c: commands.cancel(c, row(c), 5))
    await one.meet(two)
    for device in (one, two):
        assert (await device.store.query(row))["state"] == "cancelled"
        told = await device.store.query(
            lambda c: c.execute(
                "SELECT data ->> 'became', data ->> 'message' FROM events WHERE type = ?",
                (events.JOB_WISHED,),
            ).fetchall()
        )
        assert [became for became, _ in told] == ["done", "overtaken"]
        assert "cancelled" in told[1][1]


async def test_what_a_wish_makes_needless_is_thrown_away(pair: tuple[Replica, Replica]) -> None:
    one, two = pair

    def work(connection: sqlite3.Connection) -> None:
        repository.create(connection, new_job("a"), 1)
        claim = repository.claim(connection, "boot", 1)
        assert claim is not None
        place = journal.Checkpoint(1, 5, "{}", DIGEST)
        journal.record_checkpoint(connection, claim.job, claim.fence, place, 1)
        released = Outcome("released")
        settlement.settle_attempt(connection, claim.job, claim.fence, released, 3, None, 2)

    await one.store.write(work)
    await one.meet(two)
    await two.store.write(lambda c: wishes.wish(c, row(c), "cancel", None, 3))
    await one.take(await two.frames_for(one))
    assert (await one.store.query(row))["state"] == "cancelled"
    assert one.done.unneeded == [DIGEST]
