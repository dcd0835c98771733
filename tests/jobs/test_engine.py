"""The engine with real workers: what runs, what is kept, what a death costs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from regend.errors import BadInput, Conflict, NotFound, RegendError
from regend.processes import is_alive
from tests.jobs.conftest import USER, Engine, Start


def ran(trace: Path) -> list[int]:
    return [int(line) for line in trace.read_text(encoding="utf-8").split()]


async def test_a_job_runs_its_steps_in_order_and_completes(engine: Engine, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    job = await engine.submit("count", steps=4, trace=str(trace))
    done = await engine.until(job, "completed")
    assert done["result"] == {"total": 6}
    assert done["progress"] == 100
    assert ran(trace) == [0, 1, 2, 3]
    events = await engine.events(job)
    assert [e["job_seq"] for e in events] == list(range(1, len(events) + 1))
    assert [e["type"] for e in events] == [
        "job:created:v1",
        "job:state:v1",
        *["job:step:v1"] * 4,
        "job:completed:v1",
    ]
    assert done["last_seq"] == events[-1]["seq"]


async def test_a_finished_step_is_not_run_again_after_the_worker_was_killed(
    engine: Engine, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    job = await engine.submit("count", steps=4, die_at=2, trace=str(trace))
    done = await engine.until(job, "completed")
    assert done["attempt"] == 2
    assert ran(trace) == [0, 1, 2, 2, 3]


async def test_a_retryable_failure_is_tried_again_and_a_final_one_is_not(
    engine: Engine, tmp_path: Path
) -> None:
    flaky = await engine.submit("count", fail_at=1, trace=str(tmp_path / "a"))
    hopeless = await engine.submit("count", always_fail_at=1, trace=str(tmp_path / "b"))
    assert (await engine.until(flaky, "completed"))["attempt"] == 2
    failed = await engine.until(hopeless, "failed")
    assert failed["attempt"] == 1
    assert failed["error"]["code"] == "hopeless"


async def test_a_retry_of_a_job_that_goes_on_already_changes_nothing(
    start: Start, tmp_path: Path
) -> None:
    engine = await start(concurrency=1)
    running = await engine.submit("stubborn", pids=str(tmp_path / "pids"))
    queued = await engine.submit("count", steps=1)
    await engine.until(running, "running")
    for job in (running, queued):
        before = await engine.events(job)
        state = (await engine.jobs.show(USER, job))["state"]
        assert (await engine.jobs.retry(USER, job))["state"] == state
        assert await engine.events(job) == before
    await engine.jobs.cancel(USER, running)
    with pytest.raises(Conflict):
        await engine.jobs.retry(USER, running)
    await engine.until(queued, "completed")
    with pytest.raises(Conflict):
        await engine.jobs.retry(USER, queued)


async def test_a_job_that_kills_its_workers_fails_and_leaves_others_alone(
    engine: Engine, tmp_path: Path
) -> None:
    poison = await engine.submit("count", always_die_at=1, trace=str(tmp_path / "poison"))
    healthy = await engine.submit("count", steps=3, trace=str(tmp_path / "healthy"))
    failed = await engine.until(poison, "failed")
    assert failed["error"]["code"] == "worker_killed"
    assert failed["attempt"] == 3
    assert (await engine.until(healthy, "completed"))["attempt"] == 1
    assert ran(tmp_path / "poison") == [0, 1, 1, 1]


async def test_a_fault_of_the_program_fails_the_job_with_its_reason(
    engine: Engine, tmp_path: Path
) -> None:
    job = await engine.submit("count", raise_at=0, trace=str(tmp_path / "t"))
    failed = await engine.until(job, "failed")
    assert "a fault of the program" in failed["error"]["message"]


async def test_cancel_ends_a_worker_that_ignores_term_and_its_grandchildren(
    engine: Engine, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    job = await engine.submit("stubborn", pids=str(pids))
    while not pids.exists() or not pids.read_text(encoding="utf-8"):
        await asyncio.sleep(0.02)
    await engine.jobs.cancel(USER, job)
    cancelled = await engine.until(job, "cancelled", timeout_s=10)
    assert cancelled["finished_at"] is not None
    for pid in map(int, pids.read_text(encoding="utf-8").split()):
        assert not is_alive(pid)


async def test_cancel_of_a_queued_job_is_at_once_and_final(start: Start) -> None:
    engine = await start(concurrency=1)
    blocker = await engine.submit("count", steps=1, sleep_s=30)
    queued = await engine.submit("count", steps=1)
    await engine.until(blocker, "running")
    assert (await engine.jobs.cancel(USER, queued))["state"] == "cancelled"
    assert (await engine.jobs.cancel(USER, queued))["state"] == "cancelled"
    with pytest.raises(Conflict) as refused:
        await engine.jobs.retry(USER, queued)
    assert "failed" in refused.value.message
    await engine.jobs.cancel(USER, blocker)
    await engine.until(blocker, "cancelled")


async def test_pause_stops_at_the_next_step_and_resume_goes_on(
    engine: Engine, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    job = await engine.submit("count", steps=6, sleep_s=0.2, trace=str(trace))
    while not trace.exists():
        await asyncio.sleep(0.02)
    await engine.jobs.pause(USER, job)
    await engine.until(job, "paused")
    kept = len(await engine.jobs.steps(USER, job))
    assert 0 < kept < 6
    assert len(ran(trace)) == kept
    await engine.jobs.resume(USER, job)
    await engine.until(job, "completed")
    assert ran(trace) == [0, 1, 2, 3, 4, 5]


async def test_a_resume_before_the_pause_took_hold_keeps_the_job_running_to_its_end(
    engine: Engine, tmp_path: Path
) -> None:
    job = await engine.submit("count", steps=3, sleep_s=0.1, trace=str(tmp_path / "t"))
    await engine.until(job, "running")
    await engine.jobs.pause(USER, job)
    await engine.jobs.resume(USER, job)
    assert (await engine.until(job, "completed"))["result"] == {"total": 3}
    assert ran(tmp_path / "t") == [0, 1, 2]


async def test_jobs_of_a_daemon_that_vanished_go_on_in_the_next(
    start: Start, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    first = await start()
    job = await first.submit("count", steps=5, sleep_s=0.15, trace=str(trace))
    while not trace.exists() or len(ran(trace)) < 3:
        await asyncio.sleep(0.02)
    await first.close()
    second = await start()
    done = await second.until(job, "completed")
    assert done["result"] == {"total": 10}
    assert sorted(set(ran(trace))) == [0, 1, 2, 3, 4]
    finished = [s["ordinal"] for s in await second.jobs.steps(USER, job)]
    assert finished == [1, 2, 3, 4, 5]


async def test_priority_runs_first_and_equal_ones_in_order(start: Start, tmp_path: Path) -> None:
    engine = await start(concurrency=1)
    blocker = await engine.submit("count", steps=1, sleep_s=0.5)
    await engine.until(blocker, "running")
    order = {}
    for name, priority in (("low", -5), ("a", 0), ("b", 0), ("high", 9)):
        body = {"type": "count", "input": {"steps": 1}, "priority": priority, "title": name}
        order[name] = (await engine.jobs.submit(USER, body, None))["id"]
    for job in order.values():
        await engine.until(job, "completed")
    started = [
        stored.event.job_id
        for stored in await engine.all_events()
        if stored.event.type == "job:state:v1" and '"to":"running"' in stored.event.data
    ]
    assert started == [blocker, order["high"], order["a"], order["b"], order["low"]]


async def test_one_idempotency_key_makes_one_job_among_a_hundred_at_once(engine: Engine) -> None:
    body = {"type": "count", "input": {"steps": 1}}
    made = await asyncio.gather(*(engine.jobs.submit(USER, body, "key") for _ in range(100)))
    assert len({job["id"] for job in made}) == 1
    assert len((await engine.jobs.page(USER))["jobs"]) == 1
    with pytest.raises(Conflict):
        await engine.jobs.submit(USER, {"type": "count", "input": {"steps": 2}}, "key")
    other = await engine.jobs.submit("another", body, "key")
    assert other["id"] != made[0]["id"]


async def test_an_approval_parks_the_job_and_binds_the_answer_to_what_was_shown(
    start: Start,
) -> None:
    engine = await start()
    job = await engine.submit("approve", to="asha")
    waiting = await engine.until(job, "waiting")
    assert waiting["waiting"]["reason"] == "approval"
    await engine.close()
    again = await start()
    (asked,) = await again.jobs.approvals(USER)
    assert asked["preview"] == {"to": "asha"}
    with pytest.raises(Conflict):
        await again.jobs.decide(USER, asked["id"], "approve", "0" * 64)
    with pytest.raises(NotFound):
        await again.jobs.decide("another", asked["id"], "approve", asked["action_hash"])
    with pytest.raises(Conflict):
        await again.jobs.resume(USER, job)
    answer = {"decision": "deny", "action_hash": asked["action_hash"]}
    await again.jobs.decide(USER, asked["id"], **answer)
    assert (await again.until(job, "completed"))["result"] == {"agreed": False}
    with pytest.raises(Conflict):
        await again.jobs.decide(USER, asked["id"], "approve", asked["action_hash"])


async def test_an_effect_of_unknown_fate_waits_for_a_person(engine: Engine, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    job = await engine.submit("pay", ledger=str(ledger), die=True)
    waiting = await engine.until(job, "waiting")
    assert waiting["waiting"]["reason"] == "effect_unknown"
    with pytest.raises(BadInput):
        await engine.jobs.resume(USER, job)
    await engine.jobs.resume(USER, job, "done")
    await engine.until(job, "completed")
    assert len(ledger.read_text(encoding="utf-8").split()) == 1


async def test_an_effect_whose_other_side_can_be_asked_is_not_repeated(
    engine: Engine, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    job = await engine.submit("pay", ledger=str(ledger), die=True, asks=True)
    done = await engine.until(job, "completed")
    (key,) = ledger.read_text(encoding="utf-8").split()
    assert done["result"] == {"receipt": {"key": key}}


async def test_a_changed_program_waits_with_the_choices(start: Start, tmp_path: Path) -> None:
    name, go = tmp_path / "name", tmp_path / "go"
    name.write_text("second", encoding="utf-8")
    engine = await start()
    job = await engine.submit("versions", name_file=str(name), go_file=str(go))
    while len(await engine.jobs.steps(USER, job)) < 2:
        await asyncio.sleep(0.02)
    await engine.close()
    name.write_text("renamed", encoding="utf-8")
    go.touch()
    again = await start()
    waiting = await again.until(job, "waiting")
    assert waiting["waiting"]["reason"] == "code_changed"
    await again.jobs.resume(USER, job, "go_on")
    done = await again.until(job, "completed")
    assert done["result"] == {"first": "kept", "second": "renamed"}


async def test_a_fork_shares_the_steps_up_to_a_checkpoint(engine: Engine, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    job = await engine.submit("count", steps=4, trace=str(trace))
    await engine.until(job, "completed")
    forked = await engine.jobs.fork(USER, job, 2)
    done = await engine.until(forked["id"], "completed")
    assert done["parent_id"] == job
    assert done["result"] == {"total": 6}
    assert ran(trace) == [0, 1, 2, 3, 2, 3]
    with pytest.raises(BadInput):
        await engine.jobs.fork(USER, job, 9)


async def test_a_silent_worker_loses_its_job_and_its_late_writes_are_refused(
    start: Start, tmp_path: Path
) -> None:
    engine = await start(heartbeat_timeout_s=1.0)
    job = await engine.submit("silent", trace=str(tmp_path / "t"))
    done = await engine.until(job, "completed")
    assert done["attempt"] == 2


async def test_another_users_job_does_not_exist(engine: Engine) -> None:
    job = await engine.submit("count", steps=1)
    with pytest.raises(NotFound):
        await engine.jobs.show("another", job)
    with pytest.raises(NotFound):
        await engine.jobs.cancel("another", job)


async def test_an_id_may_be_shortened_until_it_is_ambiguous(engine: Engine) -> None:
    first = await engine.submit("count", steps=1)
    assert (await engine.jobs.show(USER, first[:30]))["id"] == first
    await engine.submit("count", steps=1)
    with pytest.raises(Conflict):
        await engine.jobs.show(USER, first[:6])
    for nothing in ("", "zzz", first + "0", "%"):
        with pytest.raises(RegendError):
            await engine.jobs.show(USER, nothing)


async def test_text_of_many_chunks_is_joined_and_complete(engine: Engine) -> None:
    job = await engine.submit("chatter", chunks=3000, size=7, text="अब")
    await engine.until(job, "completed")
    events = await engine.events(job)
    chunks = [e["data"] for e in events if e["type"] == "model:chunk:v1"]
    assert "".join(c["text"] for c in chunks) == "अब" * 7 * 3000
    assert len(chunks) < 300
    assert sum(c["tokens"] for c in chunks) == 3000
