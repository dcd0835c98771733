"""Jobs that use the model, through a whole daemon: worker, lease and host are the real ones."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from regend.client import Client, StreamEvent
from regend.client.records import Job
from regend.clock import SystemClock
from regend.config import ServerConfig
from regend.daemon import Daemon
from regend.errors import NotFound
from regend.home import Home
from regend.jsontext import digest
from regend.models.generation import GenerationRequest
from regend.models.pool import ModelPool
from tests.models.attempts import run_undisturbed
from tests.models.conftest import small_config

ROOT = str(Path(__file__).parents[2])
QUESTION = {"role": "user", "content": "Tell me a long story about a fox and the sea."}
LONG = {"messages": [QUESTION], "max_tokens": 120, "seed": 5}


@pytest.fixture
async def daemon(model_home: Home, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Daemon]:
    monkeypatch.setenv("PYTHONPATH", ROOT)  # for workers
    config = replace(small_config(), server=ServerConfig(port=0))
    daemon = Daemon(model_home, config)
    await daemon.start()
    yield daemon
    await daemon.stop()


@pytest.fixture
async def client(daemon: Daemon, model_home: Home) -> AsyncIterator[Client]:
    token = model_home.token_file.read_text().strip()
    async with Client(url=daemon.url, token=token) as client:
        yield client


async def until_over(client: Client, job: Job) -> Job:
    async with asyncio.timeout(60):
        while job["finished_at"] is None:
            await asyncio.sleep(0.05)
            job = await client.jobs.get(job["id"])
    assert job["state"] == "completed", job["error"]
    return job


async def advised_answer(home: Home) -> str:
    """Return the answer to `LONG` of a generation that is told what the model's makers advise."""
    pool = ModelPool(home, small_config(), SystemClock())
    seed = int(digest([LONG["seed"], 1])[:8], 16) >> 1
    advised = GenerationRequest(
        messages=[QUESTION],
        max_tokens=120,
        seed=seed,
        temperature=0.2,
        top_p=0.9,
        repeat_penalty=1.1,
    )
    _, result = await run_undisturbed(pool, advised)
    await pool.close()
    return result.text


async def test_a_silent_job_is_sampled_as_its_model_likes_and_a_kill_changes_no_token(
    client: Client, model_home: Home
) -> None:
    expected = await advised_answer(model_home)
    job = await client.jobs.create("chat", LONG)
    async with client.stream(jobs=[job["id"]], after_seq=0) as stream:
        async for event in stream:
            assert isinstance(event, StreamEvent)
            if event.type == "model:chunk:v1" and event.data["offset"] >= 40:
                (host,) = await client.models.running()
                os.kill(host["pid"], signal.SIGKILL)
                break
    ended = await until_over(client, job)
    assert ended["attempt"] == 1
    assert ended["result"] and ended["result"]["text"] == expected
    events = (await client.jobs.events(job["id"], limit=1000))["events"]
    assert [event.data["resume"] for event in events if event.type == "job:resumed:v1"] == ["exact"]


async def test_hosts_that_end_for_what_others_do_cost_a_job_no_attempt(
    daemon: Daemon, client: Client
) -> None:
    job = await client.jobs.create("chat", LONG)
    pids: set[int] = set()
    async with asyncio.timeout(60):
        while len(pids) < 4:
            for host in await client.models.running():
                if host["users"] == [job["id"]] and host["pid"] not in pids:
                    pids.add(host["pid"])
                    await daemon._services._pool.unload(host["name"])
            await asyncio.sleep(0.02)
    ended = await until_over(client, job)
    assert ended["attempt"] == 1


async def test_hosts_that_end_under_a_job_alone_cost_it_its_attempts(client: Client) -> None:
    job = await client.jobs.create("chat", LONG, max_attempts=1)
    pids: set[int] = set()
    async with asyncio.timeout(60):
        while job["finished_at"] is None:
            for host in await client.models.running():
                if host["users"] == [job["id"]] and host["pid"] not in pids:
                    pids.add(host["pid"])
                    os.kill(host["pid"], signal.SIGKILL)
            await asyncio.sleep(0.02)
            job = await client.jobs.get(job["id"])
    assert job["state"] == "failed" and job["error"] is not None
    assert job["error"]["code"] == "model_host_died"
    assert len(pids) >= 3  # those that die before they were asked anything cost nothing


async def test_the_step_says_that_the_model_writes_once_it_does(client: Client) -> None:
    job = await client.jobs.create("chat", {"prompt": "Say hello.", "max_tokens": 4})
    await until_over(client, job)
    events = (await client.jobs.events(job["id"]))["events"]
    steps = [event.data["step"] for event in events if event.type == "job:progress:v1"]
    assert steps == ["the model reads", "the model writes"]
    order = [event.type for event in events]
    second = len(order) - 1 - order[::-1].index("job:progress:v1")
    assert order[second + 1] == "model:chunk:v1"


@pytest.mark.parametrize(
    ("type_name", "given"),
    [("chat", {"prompt": "Hello"}), ("research", {"question": "What is due?"})],
)
async def test_a_model_that_nobody_knows_is_refused_before_there_is_a_job(
    client: Client, type_name: str, given: dict[str, Any]
) -> None:
    for name in ("smolm2-135m", "nowhere/llama3"):
        with pytest.raises(NotFound) as caught:
            await client.jobs.create(type_name, given, model=name)
        assert caught.value.code in ("model_unknown", "provider_unknown")
        assert caught.value.hint
    assert (await client.jobs.list())["jobs"] == []
