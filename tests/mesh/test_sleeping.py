"""A device falls asleep while it runs a job, another takes it by force, and the first wakes."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from regend.errors import Conflict
from tests.mesh.apart import apart
from tests.mesh.conftest import Reached, Start, pair

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be stopped there")

_STEPS = 60


def beside(device: Reached, job: str) -> list[tuple[Any, ...]]:
    """Return what a device keeps beside the history of a job."""
    connection = sqlite3.connect(f"file:{device.home.database}?mode=ro", uri=True)
    try:
        return connection.execute(
            "SELECT branch, place, previous, type, at, data FROM strays WHERE job_id = ? "
            "ORDER BY branch, place",
            (job,),
        ).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize("asked_first", [False, True], ids=["unasked", "asked"])
async def test_a_device_that_slept_through_a_takeover_stops_and_its_late_work_is_kept_beside(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked_first: bool
) -> None:
    trace, pace = tmp_path / "trace", tmp_path / "pace"

    def worked() -> list[int]:
        return [int(line) for line in trace.read_text().split()] if trace.exists() else []

    awake = await start("Phone")
    async with apart(tmp_path, "Laptop") as sleeper:
        await pair(awake, sleeper)
        pace.write_text("0.4")
        asked = {"steps": _STEPS, "trace": str(trace), "pace": str(pace)}
        job = (await sleeper.client.jobs.create("count", asked))["id"]
        path = f"/jobs/{job}"
        await awake.until(lambda shown: shown["progress"] is not None and len(worked()) >= 3, path)
        sleeper.sleep()
        before = len(worked())

        if asked_first:
            monkeypatch.setattr("regend.sync.calls.CALL_TIMEOUT_S", 1.0)
            with pytest.raises(Conflict, match="does not answer") as refused:
                await awake.call("POST", f"{path}/takeover", {})
            assert "--force" in refused.value.hint
        await awake.away()
        pace.write_text("0")
        await awake.call("POST", f"{path}/takeover", {"force": True})
        done = await awake.until(lambda shown: shown["state"] == "completed", path)
        assert sorted(set(worked())) == list(range(_STEPS))

        # It wakes where nobody tells it, and works on.
        pace.write_text("0.3")
        there = len(worked())
        sleeper.wake()
        async with asyncio.timeout(20):
            while len(worked()) < there + 3:
                await asyncio.sleep(0.02)
        await awake.back()
        shown = await sleeper.until(lambda shown: shown["state"] == "completed", path)
        assert shown["device"] == done["device"] and shown["result"] == done["result"]
        late = len(worked()) - there
        assert before + late < _STEPS, "it did not go on to the end"
        await asyncio.sleep(1.0)
        assert len(worked()) <= there + late + 1, "nor did it begin another step"

        await awake.linked("Laptop")
        await sleeper.linked("Phone")
        assert await awake.level() and await sleeper.level()
        assert await awake.told(job) == await sleeper.told(job)
        kept = beside(awake, job)
        assert any(row[3] == "job:step:v1" for row in kept), "what it did before it was told"
        assert kept == beside(sleeper, job)
        events = await awake.events(job)
        assert [e["job_seq"] for e in events] == list(range(1, len(events) + 1))
