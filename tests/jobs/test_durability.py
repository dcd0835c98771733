"""What a job keeps through deaths, cancels, clocks and disks that come at the wrong moment."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from regend.clock import SystemClock
from regend.errors import BadInput, Busy, Conflict, Failed
from regend.jobs import repository
from regend.jobs.supervisor import Supervisor
from regend.store import Store
from regend.store.blobs import reference, references
from tests.jobs.conftest import USER, Engine, Start

DAY_MS = 24 * 3600 * 1000


def happened(ledger: Path) -> int:
    return len(ledger.read_text(encoding="utf-8").split())


class JumpingClock(SystemClock):
    """A machine whose wall clock is set while it runs."""

    def __init__(self) -> None:
        self.jump_ms = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.jump_ms


async def test_an_effect_whose_receipt_is_nothing_is_not_repeated_after_a_death(
    engine: Engine, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    job = await engine.submit("fragile_effect", ledger=str(ledger), after_receipt=1)
    done = await engine.until(job, "completed")
    assert done["attempt"] == 2
    assert happened(ledger) == 1


async def test_a_large_receipt_outlives_the_worker_and_the_sweep(
    engine: Engine, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    job = await engine.submit(
        "fragile_effect", ledger=str(ledger), after_receipt=1, receipt_characters=100_000
    )
    done = await engine.until(job, "completed")
    assert (done["attempt"], happened(ledger)) == (2, 1)
    assert done["result"] == {"receipt": "x" * 100_000}
    (receipt,) = await engine.store.query(
        lambda c: c.execute("SELECT receipt FROM effects").fetchone()
    )
    assert reference(receipt) in await engine.store.query(references)


async def test_a_receipt_that_clients_cannot_be_shown_fails_the_job_and_leaves_a_question(
    engine: Engine, tmp_path: Path
) -> None:
    job = await engine.submit("fragile_effect", ledger=str(tmp_path / "ledger"), odd_receipt=True)
    failed = await engine.until(job, "failed")
    assert (failed["attempt"], failed["error"]["code"]) == (1, "json_value")
    await engine.jobs.retry(USER, job)
    assert (await engine.until(job, "waiting"))["waiting"]["reason"] == "effect_unknown"
    assert happened(tmp_path / "ledger") == 1


async def test_the_word_to_repeat_an_effect_holds_once(engine: Engine, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    job = await engine.submit("fragile_effect", ledger=str(ledger), before_receipt=2)
    for count in (1, 2):
        waiting = await engine.until(job, "waiting")
        assert waiting["waiting"]["reason"] == "effect_unknown"
        assert happened(ledger) == count
        with pytest.raises(BadInput):
            await engine.jobs.resume(USER, job, "maybe")
        await engine.jobs.resume(USER, job, "again")
        await engine.until(job, "created", "running", "completed")
    await engine.until(job, "completed")
    assert happened(ledger) == 3


async def test_a_job_that_is_paused_does_not_go_on_by_an_answer(start: Start) -> None:
    engine = await start()
    job = await engine.submit("approve", to="asha")
    await engine.until(job, "waiting")
    (asked,) = await engine.jobs.approvals(USER)
    await engine.jobs.pause(USER, job)
    answer = {"decision": "approve", "action_hash": asked["action_hash"]}
    assert (await engine.jobs.decide(USER, asked["id"], **answer))["state"] == "paused"
    await engine.jobs.resume(USER, job)
    assert (await engine.until(job, "completed"))["result"] == {"agreed": True}


async def test_an_answer_to_another_question_does_not_wake_a_job(engine: Engine) -> None:
    job = await engine.submit("approve", to="asha")
    await engine.until(job, "waiting")
    (asked,) = await engine.jobs.approvals(USER)

    def ask_otherwise(connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT INTO approvals (id, job, ordinal, action, action_hash, preview, state, "
            "requested_at) SELECT 'earlier', job, 99, action, 'hash', preview, state, 0 "
            "FROM approvals"
        )

    await engine.store.write(ask_otherwise)
    answer = {"decision": "approve", "action_hash": "hash"}
    assert (await engine.jobs.decide(USER, "earlier", **answer))["state"] == "waiting"
    answer["action_hash"] = asked["action_hash"]
    await engine.jobs.decide(USER, asked["id"], **answer)
    assert (await engine.until(job, "completed"))["attempt"] == 2


async def test_there_is_nothing_to_decide_about_a_cancelled_job(engine: Engine) -> None:
    job = await engine.submit("approve", to="asha")
    await engine.until(job, "waiting")
    (asked,) = await engine.jobs.approvals(USER)
    await engine.jobs.cancel(USER, job)
    with pytest.raises(Conflict):
        await engine.jobs.decide(USER, asked["id"], "approve", asked["action_hash"])
    events = await engine.events(job)
    assert events[-1]["type"] == "job:cancelled:v1"


async def test_a_cancel_at_any_moment_ends_the_job_and_all_its_processes(
    engine: Engine, tmp_path: Path
) -> None:
    jobs = []
    for number in range(8):
        job = await engine.submit("stubborn", pids=str(tmp_path / f"pids-{number}"))
        await asyncio.sleep(0.15 * (number % 4))
        await engine.jobs.cancel(USER, job)
        jobs.append(job)
    for job in jobs:
        await engine.until(job, "cancelled", timeout_s=20)
    assert engine.supervisor.running == 0


async def test_commands_that_race_leave_a_job_in_a_state_that_somebody_asked_for(
    engine: Engine, tmp_path: Path
) -> None:
    async def try_all(job: str, order: list[str]) -> None:
        for name in order:
            try:
                await getattr(engine.jobs, name)(USER, job)
            except Conflict:
                continue

    jobs = []
    for number in range(6):
        trace = tmp_path / f"trace-{number}"
        jobs.append(await engine.submit("count", steps=3, sleep_s=0.05, trace=str(trace)))
    names = ["pause", "resume", "pause", "resume"]
    orders = [names[n % 3 :] + (["cancel"] if n % 2 else []) + names[: n % 3] for n in range(6)]
    await asyncio.gather(*(try_all(job, order) for job, order in zip(jobs, orders, strict=True)))
    for number, job in enumerate(jobs):
        shown = await engine.until(job, "completed", "paused", "cancelled", timeout_s=60)
        if shown["state"] == "paused":
            await engine.jobs.resume(USER, job)
            await engine.until(job, "completed", "cancelled")
        trace = tmp_path / f"trace-{number}"  # a job cancelled in the queue ran no step at all
        ran = [int(n) for n in trace.read_text().split()] if trace.exists() else []
        assert ran == sorted(set(ran))


@pytest.mark.parametrize("jump_ms", [-DAY_MS, 365 * DAY_MS])
async def test_a_clock_that_is_set_expires_nothing_and_disorders_nothing(
    start: Start, tmp_path: Path, jump_ms: int
) -> None:
    clock = JumpingClock()
    engine = await start(clock=clock, heartbeat_timeout_s=5.0)
    before = await engine.submit("count", steps=5, sleep_s=0.2, trace=str(tmp_path / "a"))
    while not (tmp_path / "a").exists():
        await asyncio.sleep(0.02)
    clock.jump_ms = jump_ms
    after = await engine.submit("count", steps=1, trace=str(tmp_path / "b"))
    assert (await engine.until(before, "completed"))["attempt"] == 1
    assert (await engine.until(after, "completed"))["attempt"] == 1
    page = await engine.jobs.page(USER)
    assert [job["id"] for job in page["jobs"]] == [after, before]
    for job in (before, after):
        events = await engine.events(job)
        assert [e["job_seq"] for e in events] == list(range(1, len(events) + 1))
        seqs = [e["seq"] for e in events]
        assert seqs == sorted(seqs)


async def test_a_store_that_refuses_for_a_while_costs_no_job(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await start()
    refusing = False
    write = Store.write

    async def refuse(store: Store, operation: Any) -> Any:
        if refusing:
            raise Busy("disk_full", "The disk refused the write.")
        return await write(store, operation)

    monkeypatch.setattr(Store, "write", refuse)
    jobs = [
        await engine.submit("count", steps=3, sleep_s=0.1, trace=str(tmp_path / f"t{n}"), **fault)
        for n, fault in enumerate(({}, {"fail_at": 1}, {"die_at": 1}, {"fail_at": 2}))
    ]
    for _ in range(6):
        await asyncio.sleep(0.4)
        refusing = not refusing
    refusing = False
    for job in jobs:
        done = await engine.until(job, "completed", timeout_s=60)
        assert done["result"] == {"total": 3}


async def test_a_database_that_refuses_until_it_is_mended_leaves_no_job_without_an_owner(
    engine: Engine, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    job = await engine.submit("count", steps=1, sleep_s=0.5, die_at=0, trace=str(trace))
    while not trace.exists():
        await asyncio.sleep(0.02)
    database = engine.store._writer._connection
    database.execute("PRAGMA query_only = 1")
    while engine.supervisor.running:
        await asyncio.sleep(0.02)
    for _ in range(5):
        with pytest.raises(Failed) as refused:
            await engine.store.write(repository.release_all_held)
        assert refused.value.code == "database_refused"
        await asyncio.sleep(0.1)
    assert (await engine.jobs.show(USER, job))["state"] == "running"
    database.execute("PRAGMA query_only = 0")
    assert (await engine.until(job, "completed"))["attempt"] == 2


async def test_a_machine_that_can_start_no_worker_costs_no_job(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0
    start_worker = Supervisor._start_worker

    def fail(supervisor: Supervisor) -> Any:
        nonlocal tries
        tries += 1
        if tries <= 4:
            future = asyncio.get_running_loop().create_future()
            future.set_exception(BlockingIOError(11, "Resource temporarily unavailable"))
            return future
        return start_worker(supervisor)

    monkeypatch.setattr(Supervisor, "_start_worker", fail)
    engine = await start()
    job = await engine.submit("count", steps=1)
    assert (await engine.until(job, "completed"))["attempt"] == 1


async def test_a_step_that_said_too_much_before_it_died_is_said_again_in_bounded_memory(
    engine: Engine, tmp_path: Path
) -> None:
    marker = tmp_path / "died"
    job = await engine.submit("chatter", chunks=400, size=30_000, die_after=str(marker))
    done = await engine.until(job, "completed", timeout_s=90)
    assert done["attempt"] == 2
    events = [e for e in await engine.events(job) if e["type"] == "model:chunk:v1"]
    shown = sum(len(e["data"]["text"]) for e in events)
    assert shown >= 400 * 30_000


async def test_an_id_that_is_no_text_of_ours_is_simply_not_found(engine: Engine) -> None:
    for odd in ("\ud800", "\x00", "नमस्ते", "%", "x" * 100_000):
        with pytest.raises(Exception) as refused:
            await engine.jobs.show(USER, odd)
        assert getattr(refused.value, "code", None) == "job_not_found"
        assert not isinstance(refused.value, sqlite3.Error)
