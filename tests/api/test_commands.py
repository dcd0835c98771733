"""Commands under an idempotency key: carried out once, whatever is lost and sent again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.conftest import API, Answer, Running, Start
from tests.api.rawstream import RawStream

JOBS = f"{API}/jobs"


async def steer(running: Running, job: str, verb: str, key: str, **body: Any) -> Answer:
    path = f"{JOBS}/{job}/{verb}"
    return await running.call("POST", path, as_json=body, headers={"Idempotency-Key": key})


async def paused(running: Running, **options: Any) -> str:
    """Return a job that is paused before it ran."""
    busy = await running.submit("count", sleep_s=30)
    await running.until(busy, "running")
    job = await running.submit("count", **options)
    assert (await running.call("POST", f"{JOBS}/{job}/pause")).json["state"] == "paused"
    await running.call("POST", f"{JOBS}/{busy}/cancel")
    return job


async def test_a_resume_sent_again_after_the_job_is_done_is_answered_and_not_refused(
    start: Start,
) -> None:
    running = await start(concurrency=1)
    job = await paused(running, steps=1)
    resume = {"job_id": job, "idempotency_key": "k"}
    async with RawStream(running) as stream:
        await stream.greet()
        assert (await stream.ask("resume", **resume))["job"]["state"] == "created"
        await running.until(job, "completed")
        again = await stream.ask("resume", **resume)
        assert (again["ok"], again["job"]["state"]) == (True, "completed")
    assert (await steer(running, job, "resume", "k")).json["state"] == "completed"
    assert (await steer(running, job, "resume", "another")).status == 409


async def test_a_command_sent_again_does_not_undo_what_came_after_it(start: Start) -> None:
    running = await start(concurrency=1)
    job = await paused(running)
    assert (await steer(running, job, "resume", "r")).status == 202
    assert (await steer(running, job, "pause", "p")).json["state"] == "paused"
    assert (await steer(running, job, "resume", "r")).json["state"] == "paused"
    assert (await steer(running, job, "resume", "r2")).json["state"] in ("created", "running")
    await running.until(job, "completed")
    assert (await steer(running, job, "pause", "p")).json["state"] == "completed"


async def test_keys_are_remembered_over_a_restart(start: Start) -> None:
    running = await start(concurrency=1)
    job = await paused(running)
    assert (await steer(running, job, "resume", "r")).status == 202
    await running.until(job, "completed")
    await running.daemon.stop()
    running = await start(concurrency=1)
    assert (await steer(running, job, "resume", "r")).json["state"] == "completed"


async def test_a_failed_job_is_tried_again_once_under_a_key(running: Running) -> None:
    job = await running.submit("count", always_fail_at=0)
    await running.until(job, "failed")
    assert (await steer(running, job, "retry", "t")).status == 202
    first = (await running.until(job, "failed"))["attempt"]
    again = await steer(running, job, "retry", "t")
    assert (again.json["state"], again.json["attempt"]) == ("failed", first)


async def test_a_key_stands_for_one_command_on_one_job(start: Start) -> None:
    running = await start(concurrency=1)
    job, other = await paused(running), await running.submit("count")
    assert (await steer(running, job, "resume", "k")).status == 202
    for which, verb, body in (
        (job, "pause", {}),
        (other, "resume", {}),
        (job, "resume", {"choice": "again"}),
    ):
        clash = await steer(running, which, verb, "k", **body)
        assert (clash.status, clash.error["code"]) == (409, "idempotency_conflict"), verb
    assert (await steer(running, job[:24], "resume", "k")).status == 202, "a prefix means the same"
    stranger = await running.user("stranger")
    theirs = await running.submit("count", token=stranger)
    asked = await running.call(
        "POST", f"{JOBS}/{theirs}/cancel", token=stranger, headers={"Idempotency-Key": "k"}
    )
    assert asked.status == 202


async def test_a_refused_command_leaves_its_key_free(start: Start) -> None:
    running = await start(concurrency=1)
    job = await running.submit("approve", to="x")
    await running.until(job, "waiting")
    assert (await steer(running, job, "retry", "k")).status == 409
    assert (await steer(running, job, "cancel", "k")).json["state"] == "cancelled"


@pytest.mark.parametrize("key", ["", "x" * 256])
@pytest.mark.parametrize("verb", ["cancel", "pause", "resume", "retry", "fork"])
async def test_a_key_that_is_none_is_refused(running: Running, verb: str, key: str) -> None:
    job = await running.submit("approve", to="x")
    refused = await steer(running, job, verb, key)
    assert (refused.status, refused.error["code"]) == (400, "idempotency_key")
    assert (await running.call("GET", JOBS)).json["jobs"][0]["id"] == job, "nothing was forked"


async def test_a_model_is_pulled_once_under_a_key(running: Running) -> None:
    headers = {"Idempotency-Key": "p"}
    pulls = [
        await running.call(
            "POST", f"{API}/models/pull", as_json={"name": "smollm2-135m"}, headers=headers
        )
        for _ in range(2)
    ]
    assert [pull.status for pull in pulls] == [202, 202]
    assert pulls[0].json["id"] == pulls[1].json["id"]
    await running.call("POST", f"{JOBS}/{pulls[0].json['id']}/cancel")
