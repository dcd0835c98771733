"""What goes by itself: old chunks and payloads that nothing refers to; and what stays for ever."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regend import maintenance
from regend.clock import SystemClock
from regend.config import EventsConfig
from regend.jobs import history, keys
from regend.maintenance import Maintenance
from tests.jobs.conftest import USER, Engine


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maintenance, "_REFERENCES_SETTLE_S", 0.0)
    monkeypatch.setattr(maintenance, "_PAGE", 3)


def upkeep(engine: Engine, keep_days: float) -> Maintenance:
    return Maintenance(engine.store, SystemClock(), EventsConfig(keep_chunks_days=keep_days))


async def chunks(engine: Engine, job: str) -> list[dict[str, Any]]:
    return [event for event in await engine.events(job) if event["type"] == "model:chunk:v1"]


async def test_old_chunks_go_and_what_happened_stays(engine: Engine) -> None:
    ended = await engine.submit("chatter", chunks=40, size=20_000)
    await engine.until(ended, "completed")
    waiting = await engine.submit("approve", to="asha")
    await engine.until(waiting, "waiting")
    before = await engine.events(ended)
    await upkeep(engine, keep_days=1.0).run_once()
    assert await engine.events(ended) == before
    await upkeep(engine, keep_days=-1.0).run_once()
    after = await engine.events(ended)
    assert after == [e for e in before if e["type"] != "model:chunk:v1"]
    floor = await engine.store.query(history.floor)
    assert floor == max(e["seq"] for e in before if e["type"] == "model:chunk:v1")
    assert (await engine.jobs.show(USER, waiting))["state"] == "waiting"


async def test_what_a_cancelled_job_wrote_stays_for_it_stands_nowhere_else(engine: Engine) -> None:
    job = await engine.submit("chatter", chunks=5000, size=2000)
    while not (before := await chunks(engine, job)):
        await engine.store.bell.wait(0.2)
    await engine.jobs.cancel(USER, job)
    await engine.until(job, "cancelled")
    before = await chunks(engine, job)
    await upkeep(engine, keep_days=-1.0).run_once()
    assert await chunks(engine, job) == before


async def test_payloads_without_a_reference_go_and_all_others_stay(engine: Engine) -> None:
    large = "अ" * 50_000
    job = await engine.submit("count", steps=1, ballast=large)
    await engine.until(job, "completed")
    forgotten = engine.store.blobs.put(b"never referred to")
    for folder in engine.home.blobs_dir.iterdir():
        for blob in folder.iterdir():
            os.utime(blob, (1, 1))
    keeper = upkeep(engine, keep_days=1.0)
    await keeper.run_once()
    assert keeper.fault() is None
    assert not engine.store.blobs.path(forgotten).exists()
    assert (await engine.jobs.show(USER, job))["input"]["ballast"] == large


async def test_keys_of_old_commands_go_and_so_do_more_than_are_kept(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    day_ms, now_ms = 24 * 3600 * 1000, SystemClock().wall_ms()

    def first(age_days: int, name: str) -> Callable[[sqlite3.Connection], bool]:
        return lambda c: keys.is_first(c, USER, name, "hash", now_ms - age_days * day_ms)

    for number in range(20):
        assert await engine.store.write(first(20 - number, f"{number}"))
    await upkeep(engine, keep_days=1.0).run_once()
    kept = [number for number in range(20) if not await engine.store.write(first(0, f"{number}"))]
    assert kept == list(range(14, 20)), "a week's"
    monkeypatch.setattr(keys, "COMMAND_KEYS", 5)
    await upkeep(engine, keep_days=1.0).run_once()
    rows = await engine.store.query(lambda c: c.execute("SELECT key FROM command_keys").fetchall())
    assert len(rows) == 5


async def test_a_history_is_paged_without_gap_from_any_cursor(
    engine: Engine, tmp_path: Path
) -> None:
    jobs = [await engine.submit("count", steps=8, trace=str(tmp_path / f"t{n}")) for n in range(3)]
    for job in jobs:
        await engine.until(job, "completed")
    newest = await engine.store.query(history.newest_seq)
    for job in jobs:
        whole = [e.seq for e in await engine.jobs.events(USER, job, 0, 1000)]
        for cursor in range(newest + 2):
            page = [e.seq for e in await engine.jobs.events(USER, job, cursor, 1000)]
            assert page == [seq for seq in whole if seq > cursor]
        paged: list[int] = []
        while page := [
            e.seq for e in await engine.jobs.events(USER, job, paged[-1] if paged else 0, 2)
        ]:
            paged += page
        assert paged == whole
