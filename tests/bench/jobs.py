"""How fast jobs are made durable, beside a bare SQLite with the same group commit.

Run as `python -m tests.bench jobs [--seconds S] [--pairs N] [--workers N] [--jobs N]`.

Checkpoints: each of N workers records a step with a result of 1,000 characters, waits until it is
durable, and goes on. The ceiling does a fenced UPDATE and two INSERTs on plain tables, with the
same SAVEPOINT and COMMIT; the two alternate, and the median of the pairs' ratios counts.

Jobs: created, claimed, three steps that each keep a number, completed, each transaction
acknowledged before the next; through store, repository and journal alone, in turn with other
engines that do the same, and then with real worker processes. Other engines run where
`REGEND_YARDSTICKS_PYTHON` names a Python that has them.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from regend.clock import SystemClock, new_id
from regend.config import Config, JobsConfig
from regend.home import Home
from regend.jobs import journal, repository, settlement
from regend.jobs.journal import Step
from regend.jobs.lifecycle import Outcome
from regend.jobs.repository import Claim, NewJob
from regend.store import Store
from tests.bench._bare import BareWriter
from tests.jobs.conftest import USER, Engine

_RESULT = '"' + "x" * 998 + '"'
_PEERS = {"dbos": (200, 30.0), "huey": (1000, 5.0)}  # jobs to run, and the ratio to reach
CLOCK = SystemClock()


def main(argv: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench jobs")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--workers", type=int, default=32)
    parser.add_argument("--jobs", type=int, default=4000)
    parser.add_argument(
        "--in-flight", type=int, default=128, help="jobs at a time, without workers"
    )
    options = parser.parse_args(argv)
    asyncio.run(_measure(options))


async def _measure(options: argparse.Namespace) -> None:
    await _compare_checkpoints(options.pairs, options.workers, options.seconds)
    await _compare_with_peers(options.pairs, options.jobs, options.in_flight)
    print(f"jobs of three steps, real workers: {await _rate_with_workers(40):.1f} a second")


async def _compare_checkpoints(pairs: int, workers: int, seconds: float) -> None:
    ratios: list[float] = []
    ours: list[float] = []
    bare: list[float] = []
    for number in range(pairs):
        order: list[tuple[list[float], Callable[..., Awaitable[float]]]] = [
            (bare, _bare_checkpoints),
            (ours, _checkpoints),
        ]
        for rates, measure in order if number % 2 else reversed(order):
            with tempfile.TemporaryDirectory() as folder:
                rates.append(await measure(Path(folder), workers, seconds))
        ratios.append(ours[-1] / bare[-1])
    print(
        f"durable checkpoints, {workers} workers, FULL: {statistics.median(ours):,.0f} a second; "
        f"bare sqlite3: {statistics.median(bare):,.0f}; "
        f"median of {pairs} ratios {statistics.median(ratios):.0%} (at least 70 %)"
    )


async def _bare_checkpoints(folder: Path, workers: int, seconds: float) -> float:
    writer = BareWriter(folder / "bare.db")
    insert = "INSERT INTO job VALUES (?, 'running', 1, 0)"
    for job in range(workers):
        await writer.write(lambda c, job=job: c.execute(insert, (job,)).rowcount)  # type: ignore[misc]
    data = _RESULT.encode()

    def write(connection: sqlite3.Connection, job: int, step: int) -> int | None:
        changed = connection.execute(
            "UPDATE job SET touched = ? WHERE number = ? AND fence = 1 AND state = 'running'",
            (time.time(), job),
        ).rowcount
        assert changed == 1
        connection.execute("INSERT INTO checkpoint VALUES (?, ?, 1, ?)", (job, step, data))
        return connection.execute(
            "INSERT INTO event (job, type, at, data) VALUES (?, 'checkpoint', ?, ?)",
            (job, time.time(), b"{}"),
        ).lastrowid

    async def run(job: int, until_s: float) -> int:
        step = 0
        while time.perf_counter() < until_s:
            await writer.write(partial(write, job=job, step=step))
            step += 1
        return step

    try:
        return await _rate(run, workers, seconds)
    finally:
        writer.close()


async def _checkpoints(folder: Path, workers: int, seconds: float) -> float:
    store = Store(Home.at(folder))
    claims = [await begin(store) for _ in range(workers)]

    async def run(index: int, until_s: float) -> int:
        ordinal = 0
        while time.perf_counter() < until_s:
            ordinal += 1
            await record(store, claims[index], ordinal)
        return ordinal

    try:
        return await _rate(run, workers, seconds)
    finally:
        store.close()


async def _rate(run: Callable[[int, float], Awaitable[int]], workers: int, seconds: float) -> float:
    started = time.perf_counter()
    done = await asyncio.gather(*(run(index, started + seconds) for index in range(workers)))
    return sum(done) / (time.perf_counter() - started)


async def _rate_of_jobs(count: int, workers: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Home.at(Path(folder)))
        left = iter(range(count))

        async def run() -> None:
            for _ in left:
                claim = await begin(store)
                for ordinal in range(1, 4):
                    await record(store, claim, ordinal, str(claim.job))
                await store.write(partial(complete, claim=claim))

        started = time.perf_counter()
        await asyncio.gather(*(run() for _ in range(workers)))
        rate = count / (time.perf_counter() - started)
        query = "SELECT count(*) FROM jobs WHERE state = 'completed'"
        assert await store.query(lambda c: c.execute(query).fetchone()[0]) == count
        store.close()
        return rate


async def begin(store: Store) -> Claim:
    """Submit a job and claim one, in two transactions, as a daemon does."""
    new = NewJob(
        id=new_id(CLOCK),
        user="owner",
        type="chat",
        title="A job",
        input='{"prompt":"x"}',
        model="none",
        priority=0,
        max_attempts=3,
        seed=1,
        device="this",
    )
    await store.write(lambda c: repository.create(c, new, CLOCK.wall_ms()))
    claim = await store.write(lambda c: repository.claim(c, "boot", CLOCK.wall_ms()))
    assert claim is not None
    return claim


async def record(store: Store, claim: Claim, ordinal: int, result: str = _RESULT) -> None:
    step = Step(ordinal, "step", "0" * 64, result, 0, 1)
    await store.write(
        lambda c: journal.record_step(c, claim.job, claim.fence, step, CLOCK.wall_ms())
    )


def complete(connection: sqlite3.Connection, claim: Claim) -> None:
    outcome = Outcome("completed", result="1")
    settlement.settle_attempt(connection, claim.job, claim.fence, outcome, 3, "1", CLOCK.wall_ms())


async def _compare_with_peers(pairs: int, count: int, in_flight: int) -> None:
    """Measure the own rate, and in turn with it those of other engines where there are some."""
    python = os.environ.get("REGEND_YARDSTICKS_PYTHON")
    if not python:
        print("other engines: not run; REGEND_YARDSTICKS_PYTHON names no Python that has them")
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in _PEERS if python}
    for _ in range(pairs):
        ours.append(await _rate_of_jobs(count, in_flight))
        for name, rates in theirs.items():
            rates.append(_rate_of_peer(str(python), name))
    print(
        f"jobs of three steps, store and journal, {in_flight} at a time: "
        f"{statistics.median(ours):,.0f} a second"
    )
    for name, rates in theirs.items():
        ratio = statistics.median(own / peer for own, peer in zip(ours, rates, strict=True))
        print(
            f"{name}: {statistics.median(rates):,.1f} a second; median of {pairs} ratios "
            f"{ratio:.1f} (at least {_PEERS[name][1]:.0f})"
        )


def _rate_of_peer(python: str, name: str) -> float:
    script = str(Path(__file__).with_name("_peers.py"))
    with tempfile.TemporaryDirectory() as folder:
        command = [python, script, name, str(_PEERS[name][0]), folder]
        child = subprocess.run(command, capture_output=True, text=True, timeout=600)
    if child.returncode or not child.stdout.strip():
        raise SystemExit(f"{name} does not run: {child.stderr.strip().splitlines()[-1:]}")
    return float(child.stdout.split()[-1])


async def _rate_with_workers(count: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        config = Config(jobs=JobsConfig(concurrency=max(2, os.cpu_count() or 2)))
        engine = Engine(Home.at(Path(folder)), config)
        jobs = [await engine.submit("count", steps=3) for _ in range(count)]
        started = time.perf_counter()
        engine.supervisor.start()
        for job in jobs:
            await engine.until(job, "completed", timeout_s=300)
        rate = count / (time.perf_counter() - started)
        assert len((await engine.jobs.page(USER, state="completed", limit=1000))["jobs"]) == count
        await engine.close()
        return rate
