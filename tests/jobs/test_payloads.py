"""Payloads too large for a row: off the loop on their way, and gone when nothing needs them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from regend.limits import INLINE_PAYLOAD_BYTES
from regend.store.blobs import Blobs
from tests.jobs.conftest import USER, Engine

LARGE = "अ" * 50_000


def files(engine: Engine) -> list[str]:
    return [file.name for file in engine.home.blobs_dir.rglob("*") if file.is_file()]


async def test_large_payloads_are_written_and_read_away_from_the_event_loop(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def watched(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            threads.append(threading.current_thread())
            return work(*arguments)

        return call

    for name in ("put", "get"):
        monkeypatch.setattr(Blobs, name, watched(getattr(Blobs, name)))
    job = await engine.submit("approve", to=LARGE)
    waiting = await engine.until(job, "waiting")
    assert waiting["input"]["to"] == LARGE
    (asked,) = await engine.jobs.approvals(USER)
    assert asked["preview"]["to"] == LARGE
    answer = {"decision": "approve", "action_hash": asked["action_hash"]}
    assert (await engine.jobs.decide(USER, asked["id"], **answer))["input"]["to"] == LARGE
    await engine.until(job, "completed")
    assert (await engine.jobs.fork(USER, job, 0))["input"]["to"] == LARGE
    assert len(threads) >= 8
    assert threading.current_thread() not in threads


async def test_a_large_result_of_a_step_is_named_as_omitted(engine: Engine) -> None:
    job = await engine.submit("lengthy", characters=INLINE_PAYLOAD_BYTES)
    await engine.until(job, "completed")
    short, long = await engine.jobs.steps(USER, job)
    assert short["result"] == "short" and "omitted" not in short
    assert (long["result"], long["omitted"]) == (None, ["result"])


@pytest.mark.parametrize(
    ("then", "state"), [("fail", "failed"), ("choose", "waiting"), ("stop", "paused")]
)
async def test_a_model_state_goes_with_the_place_that_it_was_saved_for(
    engine: Engine, then: str, state: str
) -> None:
    engine.home.slots_dir.mkdir(parents=True, exist_ok=True)
    (engine.home.slots_dir / "a.slot").write_bytes(b"the state of a model")
    job = await engine.submit("hostile", says="leave_place", then=then)
    if then == "stop":
        while not any(e["type"] == "job:checkpoint:v1" for e in await engine.events(job)):
            await engine.store.bell.wait(0.2)
        await engine.jobs.pause(USER, job)
    await engine.until(job, state)
    if then == "choose":
        assert len(files(engine)) == 1
        await engine.jobs.resume(USER, job, "go_on")
    if then == "stop":
        assert len(files(engine)) == 1
        await engine.jobs.cancel(USER, job)
    while files(engine):
        await engine.store.bell.wait(0.05)
