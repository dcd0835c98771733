"""Server-sent events of one job."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from regend.jobs import history
from tests.api.conftest import API, Running
from tests.api.log import Log


@pytest.fixture
def log(running: Running) -> Log:
    return Log(running.store)


async def open_stream(running: Running, job: str, **headers: str) -> aiohttp.ClientResponse:
    return await running.session.get(
        f"{running.url}{API}/jobs/{job}/events",
        headers={
            "Authorization": f"Bearer {running.token}",
            "Accept": "text/event-stream",
            **headers,
        },
    )


async def records(response: aiohttp.ClientResponse) -> list[dict[str, Any]]:
    """Return the records of a stream that ends, without comments."""
    async with asyncio.timeout(30):
        text = (await response.read()).decode()
    found = []
    for record in text.split("\n\n"):
        lines = [line.partition(": ") for line in record.splitlines() if line[:1] != ":"]
        if lines:
            found.append({name: value for name, _, value in lines})
    return found


async def test_a_job_streams_to_its_end_and_then_tells_to_come_no_more(running: Running) -> None:
    job = await running.submit("count", steps=5, sleep_s=0.05)
    response = await open_stream(running, job)
    assert response.status == 200
    assert response.headers["Content-Type"].startswith("text/event-stream")
    found = await records(response)
    page = (await running.call("GET", f"{API}/jobs/{job}/events")).json["events"]
    assert [int(record["id"]) for record in found] == [event["seq"] for event in page]
    assert [record["event"] for record in found] == [event["type"] for event in page]
    assert found[-1]["event"] == "job:completed:v1"
    over = await open_stream(running, job, **{"Last-Event-ID": found[-1]["id"]})
    assert over.status == 204


@pytest.mark.parametrize("by_header", [True, False])
async def test_a_reader_goes_on_after_the_last_it_had(
    running: Running, log: Log, by_header: bool
) -> None:
    job, other = await log.job(), await log.job()
    for _ in range(5):
        await log.append(job)
        await log.append(other)
    await log.end(job)
    mine = [e["seq"] for e in await log.all() if e["job_id"] == job.id]
    if by_header:
        response = await open_stream(running, job.id, **{"Last-Event-ID": str(mine[2])})
        found = [int(record["id"]) for record in await records(response)]
    else:
        answer = await running.call(
            "GET",
            f"{API}/jobs/{job.id}/events?after_seq={mine[2]}",
            headers={"Accept": "text/event-stream"},
        )
        found = [int(line[4:]) for line in answer.body.decode().split("\n") if line[:3] == "id:"]
    assert found == mine[3:]


@pytest.mark.parametrize("position", ["x", "-1", "1.5", "9" * 30, "१"])
async def test_a_position_that_is_none_is_refused(
    running: Running, log: Log, position: str
) -> None:
    job = await log.job()
    response = await open_stream(running, job.id, **{"Last-Event-ID": position})
    assert response.status == 400


async def test_a_quiet_stream_is_kept_alive_though_others_are_loud(
    running: Running, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regend.api.sse.HEARTBEAT_COMMENT_S", 0.3)
    quiet, loud = await log.job(), await log.job()
    response = await open_stream(running, quiet.id)
    stop = asyncio.Event()

    async def shout() -> None:
        while not stop.is_set():
            await log.append(loud)
            await asyncio.sleep(0.02)

    shouting = asyncio.create_task(shout())
    text = b""
    async with asyncio.timeout(20):
        while text.count(b": still here\n\n") < 3:
            text += await response.content.readany()
    stop.set()
    await shouting
    assert text.count(b"event: ") == 1
    response.close()


async def test_a_failed_job_that_is_tried_again_goes_on_in_the_same_stream(
    running: Running, log: Log
) -> None:
    job = await log.job()
    await log.append(job)

    def fail(connection: Any) -> None:
        history.append(connection, job.number, history.Draft("job:failed:v1", "{}"), 0)

    await running.store.write(fail)
    response = await open_stream(running, job.id)
    await log.append(job)
    await log.end(job)
    found = [record["event"] for record in await records(response)]
    assert found[-3:] == ["job:failed:v1", "model:chunk:v1", "job:completed:v1"]
