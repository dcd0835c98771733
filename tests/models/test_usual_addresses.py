"""Servers that people run are found where they listen by themselves, and jobs can use them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from regend.client import Client
from regend.client.records import Job
from regend.clock import SystemClock
from regend.config import Config, JobsConfig, ModelsConfig, ProviderConfig, ServerConfig
from regend.daemon import Daemon
from regend.home import Home
from regend.models.providers import Providers
from tests.models.test_providers import Scripted

USUAL = {"ollama": 11434, "lmstudio": 1234, "llamacpp": 8080, "vllm": 8000}
ROOT = str(Path(__file__).parents[2])


async def models(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "llama3", "object": "model"}]})


async def embeddings(request: web.Request) -> web.Response:
    count = len((await request.json())["input"])
    rows = [{"object": "embedding", "index": i, "embedding": [0.5, i]} for i in range(count)]
    return web.json_response({"object": "list", "data": rows})


@contextlib.asynccontextmanager
async def listening(port: int, scripted: Scripted) -> AsyncIterator[int]:
    application = web.Application()
    application.add_routes(
        [
            web.get("/v1/models", models),
            web.post("/v1/chat/completions", scripted.answer),
            web.post("/v1/embeddings", embeddings),
        ]
    )
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def test_servers_are_looked_for_at_the_ports_that_are_theirs() -> None:
    """A port that this machine uses otherwise cannot be tried; never are all four taken."""
    found_at = set()
    async with contextlib.AsyncExitStack() as servers:
        for name, port in USUAL.items():
            with contextlib.suppress(OSError):
                await servers.enter_async_context(listening(port, Scripted()))
                found_at.add(name)
        providers = Providers(ModelsConfig(), SystemClock())
        listed = {row["name"] for row in await providers.listing()}
    assert found_at
    assert listed >= {f"{name}/llama3" for name in found_at}


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """A client of a daemon that knows one server, `mine`, and no model of its own."""
    monkeypatch.setenv("PYTHONPATH", ROOT)
    home = Home.at(tmp_path / "home")
    async with listening(0, Scripted("नम", "स्ते", " world")) as port:
        mine = ProviderConfig("mine", f"http://127.0.0.1:{port}")
        config = Config(
            server=ServerConfig(port=0),
            jobs=JobsConfig(concurrency=1),
            models=replace(ModelsConfig(), discover=False, providers=(mine,)),
        )
        daemon = Daemon(home, config)
        url = await daemon.start()
        async with Client(url=url, token=home.token_file.read_text().strip()) as client:
            yield client
        await daemon.stop()


async def until_over(client: Client, job: Job) -> Job:
    async with asyncio.timeout(60):
        while job["finished_at"] is None:
            await asyncio.sleep(0.05)
            job = await client.jobs.get(job["id"])
    return job


async def test_a_job_is_written_by_a_connected_server_and_streams(client: Client) -> None:
    assert [one["name"] for one in await client.models.list() if one["installed"]] == [
        "mine/llama3"
    ]
    job = await client.jobs.create("chat", {"prompt": "Say hello."}, model="mine/llama3")
    done = await until_over(client, job)
    assert done["state"] == "completed", done["error"]
    assert done["result"] is not None and done["result"]["text"] == "नमस्ते world"
    page = await client.jobs.events(job["id"])
    chunks = [event.data for event in page["events"] if event.type == "model:chunk:v1"]
    assert "".join(chunk["text"] for chunk in chunks) == "नमस्ते world"


async def test_embeddings_come_from_a_server_that_makes_them(client: Client) -> None:
    body = {"model": "mine/llama3", "input": ["one", "दो"]}
    answer = await client.request("POST", "/v1/embeddings", body=body)
    assert [row["embedding"] for row in answer["data"]] == [[0.5, 0], [0.5, 1]]
