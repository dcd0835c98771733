"""The log of the engine: each line about a job carries its id, and none carries its input."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from regend.logs import start_logging
from tests.jobs.conftest import Engine, Start

SECRET = "the recipe of my grandmother"


@pytest.fixture(autouse=True)
def _loggers() -> Iterator[None]:
    """Give the loggers back as they were."""
    names = ("regend", "asyncio")
    before = {name: logging.getLogger(name) for name in names}
    kept = {name: (one.handlers, one.level, one.propagate) for name, one in before.items()}
    yield
    for name, one in before.items():
        one.handlers, one.level, one.propagate = kept[name]


async def run_all(engine: Engine, folder: Path) -> list[str]:
    """Run a job that completes, one that fails, one that dies and one that is silent."""
    jobs = [
        await engine.submit("count", steps=1, secret=SECRET),
        await engine.submit("count", always_fail_at=0, secret=SECRET),
        await engine.submit("count", die_at=0, trace=str(folder / "t"), secret=SECRET),
        await engine.submit("silent", trace=str(folder / "s"), secret=SECRET),
        await engine.submit("hostile", says="call_broken", secret=SECRET),
    ]
    for job in jobs:
        await engine.until(job, "completed", "failed", timeout_s=60)
    return jobs


async def test_each_line_about_a_job_names_it_and_no_line_tells_its_input(
    start: Start, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start_logging("info", as_json=True)
    engine = await start(heartbeat_timeout_s=1.0)
    jobs = await run_all(engine, tmp_path)
    await engine.close()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    attempts = [line for line in lines if line["message"].startswith("attempt ")]
    assert {line["job_id"] for line in attempts} == set(jobs)
    silent = [line for line in lines if "silent" in line["message"]]
    assert {line["job_id"] for line in silent} == {jobs[3]}
    broken = [line for line in lines if "exception" in line and "broken service" in str(line)]
    assert {line["job_id"] for line in broken} == {jobs[4]}
    assert SECRET not in json.dumps(lines)
    for job in jobs:
        assert all(job not in line["message"] for line in lines), "an id is a field, not a text"
