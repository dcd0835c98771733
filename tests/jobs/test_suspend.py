"""A machine that slept: its clocks leapt, nobody was heard meanwhile, and no job is at fault."""

from __future__ import annotations

import asyncio
from pathlib import Path

from regend.clock import SystemClock
from tests.jobs.conftest import Engine, Start


class SleepingClock(SystemClock):
    """The clocks of a machine that counts the time it sleeps, as Windows does."""

    def __init__(self) -> None:
        self.slept_s = 0.0

    def wall_ms(self) -> int:
        return super().wall_ms() + int(self.slept_s * 1000)

    def monotonic_s(self) -> float:
        return super().monotonic_s() + self.slept_s


async def begun(engine: Engine, trace: Path, **options: object) -> str:
    job = await engine.submit("count", trace=str(trace), **options)
    async with asyncio.timeout(30):
        while not trace.exists():
            await asyncio.sleep(0.02)
    return job


async def test_a_sleep_of_a_day_is_no_silence_of_the_workers(start: Start, tmp_path: Path) -> None:
    clock = SleepingClock()
    engine = await start(clock=clock)
    job = await begun(engine, tmp_path / "t", steps=2, sleep_s=3.0)
    for _ in range(2):
        clock.slept_s += 24 * 3600
        await asyncio.sleep(1.2)  # the supervisor looks around meanwhile
    done = await engine.until(job, "completed")
    assert done["attempt"] == 1


async def test_a_worker_that_stays_silent_after_a_sleep_is_ended(
    start: Start, tmp_path: Path
) -> None:
    clock = SleepingClock()
    engine = await start(clock=clock, heartbeat_timeout_s=2.0)
    job = await engine.submit("silent", trace=str(tmp_path / "t"))
    async with asyncio.timeout(30):
        while not (tmp_path / "t.stopped").exists():
            await asyncio.sleep(0.02)
    clock.slept_s += 24 * 3600
    assert (await engine.until(job, "completed"))["attempt"] == 2


async def test_a_delayed_job_waits_no_longer_because_the_wall_clock_was_set_back(
    start: Start, tmp_path: Path
) -> None:
    clock = SleepingClock()
    engine = await start(clock=clock)
    job = await begun(engine, tmp_path / "t", steps=1, fail_at=0)
    clock.slept_s -= 24 * 3600
    assert (await engine.until(job, "completed"))["attempt"] == 2
