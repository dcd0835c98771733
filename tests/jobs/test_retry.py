"""How long a failed attempt waits, and how many run at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.jobs.retry import BASE_S, CAP_S, delay_s
from tests.jobs.conftest import Engine, Start

CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 10_000), CHANCE)
def test_a_wait_is_spread_over_the_upper_half_of_its_bound(tries: int, chance: float) -> None:
    full = min(CAP_S, BASE_S * 2 ** min(tries - 1, 20))
    assert delay_s(tries, chance) == pytest.approx(full / 2 + chance * full / 2)


@pytest.mark.parametrize("tries", [0, -1])
def test_a_count_that_is_none_waits_like_the_first(tries: int) -> None:
    assert delay_s(tries, 0.5) == delay_s(1, 0.5)


async def overlaps(engine: Engine, count: int, folder: Path) -> int:
    """Run jobs and return how many of them ran at the same time, by the events of their states."""
    jobs = [
        await engine.submit("count", steps=2, sleep_s=0.05, trace=str(folder / f"{n}"))
        for n in range(count)
    ]
    for job in jobs:
        await engine.until(job, "completed", timeout_s=60)
    running, most = set(), 0
    for stored in await engine.all_events():
        event = stored.event
        if event.type == "job:state:v1" and '"to":"running"' in event.data:
            running.add(event.job_id)
        elif event.type == "job:completed:v1":
            running.remove(event.job_id)
        most = max(most, len(running))
    return most


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_as_many_jobs_run_at_a_time_as_may_and_no_more(
    start: Start, tmp_path: Path, concurrency: int
) -> None:
    engine = await start(concurrency=concurrency)
    assert await overlaps(engine, 9, tmp_path) == concurrency
