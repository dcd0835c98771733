"""Positions that a reader of one job cannot have from this history, or that are long past."""

from __future__ import annotations

import asyncio

import pytest

from regend.jobs import history
from tests.api.conftest import API, Answer, Running
from tests.api.log import Log


@pytest.fixture
def log(running: Running) -> Log:
    return Log(running.store)


async def streamed(running: Running, job: str, position: int) -> Answer:
    headers = {"Accept": "text/event-stream", "Last-Event-ID": str(position)}
    async with asyncio.timeout(20):
        return await running.call("GET", f"{API}/jobs/{job}/events", headers=headers)


def seqs(answer: Answer) -> list[int]:
    return [int(line[4:]) for line in answer.body.decode().split("\n") if line[:4] == "id: "]


@pytest.mark.parametrize("ended", [True, False])
async def test_a_position_from_the_future_is_refused_instead_of_waited_for(
    running: Running, log: Log, ended: bool
) -> None:
    job = await log.job()
    await log.append(job, 5)
    if ended:
        await log.end(job)
    newest = await running.store.query(history.newest_seq)
    for position in (newest + 1, 10**15):
        refused = await streamed(running, job.id, position)
        assert (refused.status, refused.error["code"]) == (400, "invalid_position")
        assert "beginning" in refused.error["hint"]
        page = await running.call("GET", f"{API}/jobs/{job.id}/events?after_seq={position}")
        assert page.json["events"] == []


async def test_a_position_after_the_jobs_own_end_but_of_this_history_is_taken(
    running: Running, log: Log
) -> None:
    job, other = await log.job(), await log.job()
    await log.end(job)
    await log.append(other, 5)
    newest = await running.store.query(history.newest_seq)
    assert (await streamed(running, job.id, newest)).status == 204


async def test_a_position_below_what_was_compacted_brings_all_that_is_kept(
    running: Running, log: Log
) -> None:
    job, other = await log.job(), await log.job()
    await log.append(job, 20)
    await log.end(job)
    await log.append(other, 3)
    floor = await log.compact()
    assert floor > 3
    kept = [event["seq"] for event in await log.all() if event["job_id"] == job.id]
    assert seqs(await streamed(running, job.id, 3)) == [seq for seq in kept if seq > 3]
    page = await running.call("GET", f"{API}/jobs/{job.id}/events?after_seq=3")
    assert [event["seq"] for event in page.json["events"]] == [seq for seq in kept if seq > 3]
