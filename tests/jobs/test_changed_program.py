"""A program that changed between two runs: each way on does what it says, none goes alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from regend.errors import BadInput
from regend.jsontext import digest, dumps
from regend.worker.generation import GeneratingRuntime
from regend.worker.runtime import Parked
from tests.jobs.conftest import USER, Engine, Start


async def changed(start: Start, folder: Path) -> tuple[Engine, str]:
    """Return an engine in which a job waits, because its second step has another name now."""
    name, go = folder / "name", folder / "go"
    name.write_text("second", encoding="utf-8")
    engine = await start()
    job = await engine.submit("versions", name_file=str(name), go_file=str(go))
    while len(await engine.jobs.steps(USER, job)) < 2:
        await asyncio.sleep(0.02)
    await engine.close()
    name.write_text("renamed", encoding="utf-8")
    go.touch()
    again = await start()
    waiting = (await again.until(job, "waiting"))["waiting"]
    assert waiting["reason"] == "code_changed"
    assert {"go_on", "restart"} <= set(waiting["choices"])
    assert "second" in waiting["message"] and "renamed" in waiting["message"]
    return again, job


async def names(engine: Engine, job: str) -> list[str]:
    return [step["name"] for step in await engine.jobs.steps(USER, job)]


async def began(engine: Engine, job: str) -> str:
    """Return when the first step of a job ran."""
    (first, *_) = await engine.jobs.steps(USER, job)
    moment: str = first["started_at"]
    return moment


async def test_going_on_keeps_the_steps_before_the_change(start: Start, tmp_path: Path) -> None:
    engine, job = await changed(start, tmp_path)
    before = await began(engine, job)
    await engine.jobs.resume(USER, job, "go_on")
    await engine.until(job, "completed")
    assert await names(engine, job) == ["first", "renamed", "wait"]
    assert await began(engine, job) == before


async def test_restarting_runs_everything_again(start: Start, tmp_path: Path) -> None:
    engine, job = await changed(start, tmp_path)
    before = await began(engine, job)
    await engine.jobs.resume(USER, job, "restart")
    done = await engine.until(job, "completed")
    assert done["result"] == {"first": "kept", "second": "renamed"}
    assert await names(engine, job) == ["first", "renamed", "wait"]
    assert await began(engine, job) > before


async def test_a_fork_goes_on_from_before_the_change_and_leaves_the_old_job_alone(
    start: Start, tmp_path: Path
) -> None:
    engine, job = await changed(start, tmp_path)
    fork = (await engine.jobs.fork(USER, job, 1))["id"]
    await engine.until(fork, "completed")
    assert await names(engine, fork) == ["first", "renamed", "wait"]
    assert (await engine.jobs.show(USER, job))["state"] == "waiting"
    assert await names(engine, job) == ["first", "second"]


async def test_without_a_choice_it_goes_on_waiting_also_over_a_restart(
    start: Start, tmp_path: Path
) -> None:
    engine, job = await changed(start, tmp_path)
    for choice in (None, "done", ""):
        with pytest.raises(BadInput):
            await engine.jobs.resume(USER, job, choice)
    await engine.close()
    again = await start()
    assert (await again.jobs.show(USER, job))["state"] == "waiting"


@pytest.mark.parametrize(("penalty", "is_known"), [(None, True), (1.0, True), (1.3, False)])
def test_a_reply_is_taken_from_the_record_only_if_it_is_asked_for_alike(
    penalty: float | None, is_known: bool
) -> None:
    messages = [{"role": "user", "content": "What is a tide?"}]
    recorded = digest(["reply", messages, 9, None, None, []])
    reply = dumps({"text": "Water.", "finish_reason": "stop", "usage": {}})
    begin = {
        **{"input": "{}", "job_id": "j", "model": "", "seed": 1, "attempt": 2},
        "steps": [[1, "reply", recorded, reply]],
        "shown": {"ordinal": 2, "text": "", "tokens": 0},
    }
    unused: Any = SimpleNamespace(stop_reason=None)  # nothing is said before the step is known
    context = GeneratingRuntime(unused, begin)
    asked: dict[str, Any] = {"messages": messages, "max_tokens": 9, "repeat_penalty": penalty}
    if is_known:
        assert context.generate("reply", **asked).text == "Water."
    else:
        with pytest.raises(Parked):
            context.generate("reply", **asked)
