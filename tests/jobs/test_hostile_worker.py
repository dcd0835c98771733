"""A worker that lies, babbles or breaks: its job ends with a reason, everything else goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.jobs.conftest import USER, Engine


async def ended(engine: Engine, **options: Any) -> dict[str, Any]:
    job = await engine.submit("hostile", **options)
    return await engine.until(job, "failed", "completed", "waiting", timeout_s=60)


@pytest.mark.parametrize(
    "says",
    [
        "garbage",
        "huge_claim",
        "not_a_map",
        "unknown_op",
        "unknown_event",
        "engine_event",
        "step_without_fields",
        "step_no_json",
        "step_reference",
        "step_nan",
        "step_huge_ordinal",
        "step_long_name",
        "step_wrong_types",
        "chunk_without_text",
        "chunk_before_its_beginning",
        "chunk_of_no_step",
        "hits_no_list",
        "time_no_number",
        "checkpoint_nowhere",
        "progress_nan",
        "event_nan",
        "end_unknown",
        "end_orphaned",
        "end_released",
        "end_no_result",
        "end_result_no_json",
        "end_error_no_map",
        "end_parked_on_nothing",
        "end_parked_on_a_number",
        "invalid_utf8",
        "deep",
        "big_integer",
        "preview_no_json",
        "receipt_of_nothing",
        "half_a_frame",
    ],
)
async def test_what_a_worker_may_not_say_ends_its_job_with_a_reason(
    engine: Engine, says: str
) -> None:
    failed = await ended(engine, says=says)
    assert failed["state"] == "failed"
    assert failed["error"]["code"] in ("worker_killed", "frame_invalid", "attempt_broken")
    assert failed["error"]["message"]
    assert "Traceback" not in failed["error"]["message"]
    healthy = await engine.submit("count", steps=1)
    assert (await engine.until(healthy, "completed"))["attempt"] == 1


@pytest.mark.parametrize(
    "says", ["result_nan", "result_surrogate", "result_object", "event_surrogate"]
)
async def test_what_an_agent_returns_that_json_cannot_carry_fails_its_job_once_and_plainly(
    engine: Engine, says: str
) -> None:
    failed = await ended(engine, says=says)
    assert failed["state"] == "failed"
    assert failed["attempt"] == 1
    assert failed["error"]["code"] in ("json_value", "frame_invalid")


@pytest.mark.parametrize(
    "told", [{"state": "undone"}, {"receipt": "@" + "0" * 64}, {"receipt": None}, {"receipt": {}}]
)
async def test_what_cannot_have_become_of_an_effect_is_not_recorded(
    engine: Engine, told: dict[str, Any]
) -> None:
    failed = await ended(engine, says="lie_about_effect", told=told)
    assert (failed["state"], failed["error"]["code"]) == ("failed", "worker_killed")
    rows = await engine.store.query(
        lambda c: c.execute("SELECT state, receipt FROM effects").fetchall()
    )
    assert rows == [("intended", None)]


async def test_an_error_with_unsayable_text_is_said_all_the_same(engine: Engine) -> None:
    failed = await ended(engine, says="raise_surrogate")
    assert "\\udcff" in failed["error"]["message"]


async def test_text_with_nul_and_every_script_is_kept_without_loss(engine: Engine) -> None:
    done = await ended(engine, says="odd_text")
    assert done["result"] == {"text": "a\u0000b नमस्ते \U0001f600 \u2028", "big": 2**63 - 1}
    steps = await engine.jobs.steps(USER, done["id"])
    assert steps[0]["result"] == done["result"]["text"]


async def test_a_result_nested_deeply_is_kept_or_refused_but_never_in_the_way(
    engine: Engine,
) -> None:
    done = await ended(engine, says="nested", depth=90)
    assert done["state"] == "completed"
    assert len(await engine.jobs.steps(USER, done["id"])) == 1
    for depth in (500, 100_000):
        refused = await ended(engine, says="nested", depth=depth)
        assert (refused["state"], refused["attempt"]) == ("failed", 1)
        assert refused["error"]["code"] == "json_value"


async def test_a_saved_state_that_is_gone_does_not_hold_the_job_up(engine: Engine) -> None:
    for name in ("missing.slot", "..", "../../regend.db"):
        done = await ended(engine, says="checkpoint", slot_file=name)
        assert done["state"] == "completed"
    assert engine.home.database.exists()


async def test_a_service_that_breaks_ends_the_attempt_instead_of_hanging_it(engine: Engine) -> None:
    failed = await ended(engine, says="call_broken")
    assert failed["state"] == "failed"
    assert "broken service" in failed["error"]["message"]


async def test_a_worker_that_calls_without_end_is_read_no_further(engine: Engine) -> None:
    done = await ended(engine, says="call_flood")
    assert done["state"] == "completed"


async def test_a_grandchild_that_left_the_group_does_not_hold_up_a_cancel(
    engine: Engine, tmp_path: Path
) -> None:
    pids = tmp_path / "pid"
    job = await engine.submit("hostile", says="escape", pids=str(pids))
    while not pids.exists() or not pids.read_text(encoding="utf-8"):
        await asyncio.sleep(0.02)
    await engine.jobs.cancel(USER, job)
    await engine.until(job, "cancelled", timeout_s=10)
