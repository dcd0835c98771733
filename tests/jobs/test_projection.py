"""The row that a history makes is the row that the engine wrote, whatever happened to the job."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regend import events
from regend.jobs import commands, repository
from regend.jobs.lifecycle import STATES
from regend.jobs.projection import NO_HISTORY, Shape, after, next_history
from regend.jsontext import dumps
from tests.jobs.conftest import USER, Engine, Start

NAMES = [one.name for one in fields(Shape)]


async def assert_told_by_its_history(engine: Engine, job: str) -> None:
    def read(connection: Any) -> tuple[Any, ...]:
        row = repository.find(connection, None, job)
        told = connection.execute(
            "SELECT type, at, data FROM events WHERE job = ? ORDER BY job_seq", (row["number"],)
        ).fetchall()
        return row, told

    row, told = await engine.store.query(read)
    shape = Shape(device=row["owner_device"])
    for type_name, at, data in told:
        shape = after(shape, type_name, at, data, row["result"])
    assert {n: getattr(shape, n) for n in NAMES} == {n: row[n] for n in NAMES}


async def test_of_jobs_that_end_well_or_not(engine: Engine, tmp_path: Path) -> None:
    trace = str(tmp_path / "trace")
    jobs = {
        await engine.submit("count", steps=3): "completed",
        await engine.submit("count", steps=2, fail_at=1, trace=trace): "completed",
        await engine.submit("count", steps=2, always_fail_at=1): "failed",
        await engine.submit("count", steps=2, raise_at=1): "failed",
        await engine.submit("count", steps=2, die_at=1, trace=f"{trace}2"): "completed",
        await engine.submit("chatter", size=20, chunks=30): "completed",
        await engine.submit("pay", ledger=str(tmp_path / "ledger")): "completed",
    }
    for job, state in jobs.items():
        await engine.until(job, state)
        await assert_told_by_its_history(engine, job)


async def test_of_a_job_that_kills_its_workers_and_is_tried_again(engine: Engine) -> None:
    job = await engine.submit("count", steps=2, always_die_at=1)
    await engine.until(job, "failed")
    await assert_told_by_its_history(engine, job)
    await engine.jobs.retry(USER, job)
    await assert_told_by_its_history(engine, job)
    await engine.until(job, "failed")
    await assert_told_by_its_history(engine, job)


async def test_of_a_job_that_asks_and_goes_on(engine: Engine) -> None:
    job = await engine.submit("approve", to="bank")
    await engine.until(job, "waiting")
    await assert_told_by_its_history(engine, job)
    (question,) = await engine.jobs.approvals(USER)
    said = {"decision": "approve", "action_hash": question["action_hash"]}
    await engine.jobs.decide(USER, question["id"], **said)
    await assert_told_by_its_history(engine, job)
    await engine.until(job, "completed")
    await assert_told_by_its_history(engine, job)


async def test_of_a_job_that_is_paused_resumed_and_cancelled(engine: Engine) -> None:
    job = await engine.submit("count", steps=100, sleep_s=0.05)
    await engine.until(job, "running")
    await engine.jobs.pause(USER, job)
    await assert_told_by_its_history(engine, job)
    await engine.until(job, "paused")
    await assert_told_by_its_history(engine, job)
    await engine.jobs.resume(USER, job, None)
    await engine.until(job, "running")
    await assert_told_by_its_history(engine, job)
    await engine.jobs.cancel(USER, job)
    await engine.until(job, "cancelled")
    await assert_told_by_its_history(engine, job)


@pytest.mark.parametrize("command", ["pause", "cancel"])
async def test_of_a_job_that_failed_once_and_is_stopped_before_its_next_attempt(
    engine: Engine, tmp_path: Path, command: str
) -> None:
    job = await engine.submit("count", steps=2, fail_at=1, trace=str(tmp_path / "trace"))
    while (await engine.jobs.show(USER, job))["error"] is None:
        await engine.store.bell.wait(0.05)

    def stop(connection: Any) -> None:
        row = repository.find(connection, None, job)
        getattr(commands, command)(connection, row, 5)

    await engine.store.write(stop)
    await assert_told_by_its_history(engine, job)


async def test_of_a_job_that_lived_through_a_restart(start: Start) -> None:
    first = await start()
    job = await first.submit("count", steps=20, sleep_s=0.1)
    await first.until(job, "running")
    await first.close()
    second = await start()
    await assert_told_by_its_history(second, job)
    await second.until(job, "completed")
    await assert_told_by_its_history(second, job)


def test_an_event_that_nothing_is_made_of_changes_only_the_time() -> None:
    shape = Shape(state="running", progress=5.0, step="s")
    for type_name in (events.JOB_STEP, events.MODEL_CHUNK, "newer:kind:v9"):
        assert after(shape, type_name, 9, "{}") == Shape(
            state="running", progress=5.0, step="s", updated_at=9
        )


def test_progress_never_goes_back_and_an_end_stays_on_record() -> None:
    shape = Shape()
    for percent in (50, 20, 60, 10):
        shape = after(shape, events.JOB_PROGRESS, 1, dumps({"progress": percent, "step": "s"}))
    assert shape.progress == 60
    done = after(shape, events.JOB_COMPLETED, 7, '{"result":1}', "1")
    assert (done.state, done.progress, done.finished_at, done.result) == ("completed", 100, 7, "1")
    failed = after(shape, events.JOB_FAILED, 7, '{"error":{"code":"x"}}')
    again = after(failed, events.JOB_STATE, 9, '{"from":"failed","to":"created"}')
    assert (again.error, again.finished_at, again.state) == (None, None, "created")


@given(st.lists(st.tuples(st.sampled_from(sorted(events.EVENT_TYPES)), st.text(max_size=9))))
@settings(deadline=None)
def test_histories_that_differ_have_other_hashes(told: list[tuple[str, str]]) -> None:
    def of(happened: list[tuple[str, str]]) -> bytes:
        history = NO_HISTORY
        for place, (type_name, text) in enumerate(happened, 1):
            history = next_history(history, place, type_name, 5, text)
        return history

    assert of(told) == of(list(told))
    seen = {of(told), of([*told, (events.JOB_STEP, "")]), of([*told, (events.JOB_STEP, "x")])}
    assert len(seen) == 3
    if len(told) > 1 and told[0] != told[-1]:
        assert of(told[::-1]) != of(told) or told[::-1] == told


def test_every_state_can_be_told() -> None:
    for state in STATES:
        data = dumps({"from": "created", "to": state})
        assert after(Shape(), events.JOB_STATE, 1, data).state == state
