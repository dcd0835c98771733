"""Jobs that a model cannot serve: they fail with the reason, once, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from regend.client import Client
from regend.client.records import Job
from regend.config import ServerConfig
from regend.daemon import Daemon
from regend.home import Home
from tests.models.conftest import small_config

ROOT = str(Path(__file__).parents[2])


@contextlib.asynccontextmanager
async def serving(home: Home) -> AsyncIterator[Client]:
    """Run a daemon on a home and lend a client of it."""
    daemon = Daemon(home, replace(small_config(), server=ServerConfig(port=0)))
    url = await daemon.start()
    try:
        async with Client(url=url, token=home.token_file.read_text().strip()) as client:
            yield client
    finally:
        await daemon.stop()


@pytest.fixture(autouse=True)
def _for_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", ROOT)


async def ended(client: Client, job: Job) -> Job:
    async with asyncio.timeout(60):
        while job["finished_at"] is None:
            await asyncio.sleep(0.05)
            job = await client.jobs.get(job["id"])
    return job


async def test_a_prompt_over_the_context_fails_once_and_names_both_numbers(
    model_home: Home,
) -> None:
    async with serving(model_home) as client:
        long = await client.jobs.create("chat", {"prompt": "word " * 9000})
        failed = await ended(client, long)
        assert (failed["state"], failed["attempt"]) == ("failed", 1)
        error = failed["error"] or {}
        assert error["code"] == "context_overflow" and not error["retryable"]
        assert "4096" in error["message"] and "90" in error["message"] and error["hint"]
        assert not list(model_home.slots_dir.iterdir())
        (model,) = await client.models.running()
        assert model["busy_slots"] == 0
        short = await client.jobs.create("chat", {"prompt": "Say hello.", "max_tokens": 4})
        assert (await ended(client, short))["state"] == "completed"


async def test_a_model_that_is_not_here_yet_fails_the_job_with_how_to_get_it(
    tmp_path: Path,
) -> None:
    async with serving(Home.at(tmp_path / "bare")) as client:
        failed = await ended(client, await client.jobs.create("chat", {"prompt": "Say hello."}))
    error = failed["error"] or {}
    assert (failed["state"], failed["attempt"]) == ("failed", 1)
    assert error["code"] == "model_not_installed"
    assert "regend models pull smollm2-135m" in error["hint"]
