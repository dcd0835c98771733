"""Events about devices in the streams: who gets them, from where on, and that none is lost."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from regend.client import StreamEvent
from regend.events import DEVICE_OFFLINE, DEVICE_ONLINE
from tests.api.conftest import API, Running
from tests.api.log import Log
from tests.api.rawstream import RawStream

DEVICES = f"{API}/devices/events"


@pytest.fixture
def log(running: Running) -> Log:
    return Log(running.store)


async def open_stream(running: Running, **headers: str) -> aiohttp.ClientResponse:
    told = {"Authorization": f"Bearer {running.token}", "Accept": "text/event-stream", **headers}
    return await running.session.get(f"{running.url}{DEVICES}", headers=told)


async def taken(response: aiohttp.ClientResponse, count: int) -> list[dict[str, Any]]:
    """Return the next events of a stream of server-sent events."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(20):
        while len(found) < count:
            line = (await response.content.readline()).decode()
            if line.startswith("data: "):
                found.append(json.loads(line[6:]))
    return found


async def test_they_come_to_who_follows_everything_and_not_to_who_follows_single_jobs(
    running: Running, log: Log
) -> None:
    job = await log.job()
    async with RawStream(running) as everything, RawStream(running) as single:
        await everything.greet()
        await single.greet(jobs=[job.id])
        seq = await log.presence("phone")
        await log.append(job)
        await everything.until(seq + 1)
        await single.until(seq + 1)
        assert [e["job_id"] for e in everything.events] == [job.id, None, job.id]
        told = everything.events[1]
        assert (told["type"], told["job_seq"]) == ("device:online:v1", None)
        assert told["data"] == {"device": "phone", "name": "PHONE"}
        assert [e["job_id"] for e in single.events] == [job.id, job.id]


async def test_they_need_the_right_to_see_devices(running: Running, log: Log) -> None:
    jobs_only = await running.user("owner", "jobs:read")
    job = await log.job()
    async with RawStream(running, jobs_only) as stream:
        await stream.greet()
        await log.presence("phone")
        await log.append(job)
        await stream.until(3)
        assert [e["job_id"] for e in stream.events] == [job.id, job.id]
    assert (await running.call("GET", DEVICES, token=jobs_only)).status == 403


async def test_who_comes_back_gets_what_it_missed(running: Running, log: Log) -> None:
    first = await log.presence("phone")
    for number in range(30):
        await log.presence("phone", DEVICE_OFFLINE if number % 2 == 0 else DEVICE_ONLINE)
        await log.progress("phone", 30 - number)
    due = [event for event in await log.all(user=None) if event["seq"] > first]
    assert sum(event["type"] == "sync:progress:v1" for event in due) == 1
    async with RawStream(running) as stream:
        hello = await stream.greet(after_seq=first)
        assert hello["resumed"] and hello["gap"] is None
        await stream.until(due[-1]["seq"])
        # Of how far a sync was, what a newer one stands for may come too, or not.
        stale = [e for e in stream.events if e not in due]
        assert [e for e in stream.events if e in due] == due
        assert all(e["type"] == "sync:progress:v1" for e in stale)


async def test_the_library_of_clients_hands_them_out(running: Running, log: Log) -> None:
    await log.presence("phone")
    async with running.client().stream(after_seq=0) as stream, asyncio.timeout(20):
        item = await anext(aiter(stream))
    assert isinstance(item, StreamEvent) and item.type == "device:online:v1"
    assert item.job_id is None and item.job_seq is None and item.data["name"] == "PHONE"


async def test_server_sent_events_of_devices_resume(running: Running, log: Log) -> None:
    job = await log.job()
    first = await log.presence("phone")
    response = await open_stream(running)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    assert [event["seq"] for event in await taken(response, 1)] == [first]
    await log.append(job)
    second = await log.presence("phone", DEVICE_OFFLINE)
    assert [event["seq"] for event in await taken(response, 1)] == [second]
    response.close()
    third = await log.progress("phone", 3)
    again = await open_stream(running, **{"Last-Event-ID": str(first)})
    assert [event["seq"] for event in await taken(again, 2)] == [second, third]
    again.close()
    beyond = await open_stream(running, **{"Last-Event-ID": str(third + 1)})
    assert beyond.status == 400


async def test_the_list_of_devices_says_from_where_on_to_follow(running: Running, log: Log) -> None:
    await log.presence("phone")
    shown = (await running.call("GET", f"{API}/devices")).json
    after = await log.presence("phone", DEVICE_OFFLINE)
    page = (await running.call("GET", f"{DEVICES}?after_seq={shown['seq']}")).json
    assert [event["seq"] for event in page["events"]] == [after]
