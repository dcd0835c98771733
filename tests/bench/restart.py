"""How long a daemon takes to answer again on a home full of interrupted jobs.

Run as `python -m tests.bench restart [--jobs N]`.

N jobs are running and N are queued when their daemon vanishes. Measured: from the start of the next
one until `/health` and until a page of jobs is answered, and until every interrupted job is queued
again. The ceiling is a daemon on an empty home. Nothing may be lost, and nothing twice.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from regend.clock import SystemClock, new_id
from regend.home import Home
from regend.jobs import repository
from regend.jobs.repository import NewJob
from regend.store import Store
from tests.crash.house import House

_CLOCK = SystemClock()


def main(argv: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench restart")
    parser.add_argument("--jobs", type=int, default=10_000, help="running, and as many queued")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryDirectory() as full:
        health, page = _start(House(Path(empty)))[:2]
        print(f"an empty home: health after {health:.2f} s, a page of jobs after {page:.2f} s")
        house = House(Path(full))
        asyncio.run(_fill(house.home, options.jobs))
        health, page, queued = _start(house, options.jobs)
        print(
            f"{options.jobs:,} running and {options.jobs:,} queued: health after {health:.2f} s, "
            f"a page of jobs after {page:.2f} s (at most 2), all queued again after {queued:.2f} s"
        )
        _judge(house, options.jobs)


async def _fill(home: Home, count: int) -> None:
    store = Store(home)

    async def make(number: int) -> None:
        new = NewJob(
            id=new_id(_CLOCK),
            user="owner",
            type="count",
            title=f"Job {number}",
            input='{"steps":1,"sleep_s":5}',
            model="none",
            priority=0,
            max_attempts=3,
            seed=1,
            device="this",
            idempotency_key=str(number),
            request_hash="",
        )
        await store.write(lambda c: repository.create(c, new, _CLOCK.wall_ms()))

    for first in range(0, 2 * count, 5000):
        await asyncio.gather(*(make(n) for n in range(first, min(first + 5000, 2 * count))))
    for _ in range(0, count, 5000):
        await asyncio.gather(
            *(
                store.write(lambda c: repository.claim(c, "earlier boot", _CLOCK.wall_ms()))
                for _ in range(min(5000, count))
            )
        )
    store.close()


def _start(house: House, running: int = 0) -> tuple[float, float, float]:
    """Return the seconds until health, until a page of jobs, and until all are queued again."""
    started = time.perf_counter()
    house.start()
    _health(house.home)
    health = time.perf_counter() - started
    house.call("GET", "/jobs?limit=50")
    page = time.perf_counter() - started
    query = "SELECT count(*) FROM jobs WHERE state = 'running' AND boot = 'earlier boot'"
    while running and house.rows(query) != [(0,)]:
        time.sleep(0.02)
    queued = time.perf_counter() - started
    house.stop()
    return health, page, queued


def _health(home: Home) -> None:
    address = urlsplit(json.loads(home.daemon_file.read_text(encoding="utf-8"))["url"]).netloc
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request("GET", "/health")
    assert connection.getresponse().status == 200
    connection.close()


def _judge(house: House, count: int) -> None:
    keys = Counter(row[0] for row in house.rows("SELECT idempotency_key FROM jobs"))
    assert len(keys) == 2 * count, "jobs were lost"
    assert set(keys.values()) == {1}, "jobs came twice"
    gaps = house.rows(
        "SELECT count(*) FROM jobs WHERE job_seq <> "
        "(SELECT count(*) FROM events WHERE job = number)"
    )
    states = dict(house.rows("SELECT state, count(*) FROM jobs GROUP BY 1"))
    print(f"jobs after: {states}; lost 0, twice 0, histories with a gap: {gaps[0][0]}")
