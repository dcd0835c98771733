"""How long a job of B's own takes while B takes in all that A did before they met.

A's home gets its history first: jobs of three steps, in transactions as a daemon makes them. Then
short jobs are run on B, one after another, without A and while all of A's changes come in. The
client at B follows every job, as the web pages do.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import AsyncExitStack
from functools import partial
from typing import NamedTuple

from regend import events
from regend.home import Home
from regend.jobs import mirror
from regend.store import Store
from tests.bench._mesh_device import PORT, Device
from tests.bench.jobs import CLOCK, begin, complete, record
from tests.sync.hosts import Host

_SHORT = {"type": "nap", "input": {"steps": 1, "sleep_s": 0}}
_PAUSE_S = 0.05
_AT_A_TIME = 64


class Took(NamedTuple):
    """Milliseconds from the submission of a job."""

    committed: float
    seen: float
    completed: float


async def measure(
    homes: list[Home], hosts: tuple[Host | None, Host | None], changes: int, jobs: int
) -> None:
    """Measure and print."""
    a, b = Device("A", homes[0], hosts[0], PORT), Device("B", homes[1], hosts[1], PORT + 1)
    b.told = {events.JOB_CREATED, events.JOB_COMPLETED}
    await a.start()
    await a.ask("POST", "/devices/invite", {})  # begins a mesh
    await a.close()
    written = await _write(homes[0], changes)
    async with AsyncExitStack() as running:
        for device in (a, b):
            await device.start()
            running.push_async_callback(device.close)
        alone = [await _run(b) for _ in range(jobs)][jobs // 5 :]  # the first ones warm up
        invite = await a.ask("POST", "/devices/invite", {})
        address = f"{a.host.address if a.host else '127.0.0.1'}:{invite['port']}"
        started = time.monotonic()
        await b.ask("POST", "/devices/join", {"code": invite["code"], "address": address})
        beside: list[Took] = []
        while not await _has_all(b):
            beside += [await _run(b) for _ in range(5)]
        took_s = time.monotonic() - started
    print(f"{written:,} changes of A were taken in within {took_s:.1f} s")
    for name in Took._fields:
        ours, bare = ([getattr(one, name) for one in many] for many in (beside, alone))
        ratios = [_place(ours, at) / _place(bare, at) for at in (0.5, 0.95)]
        print(
            f"a job of B's own, until it is {name}, {len(ours)} jobs meanwhile: {_told(ours)}; "
            f"{len(bare)} without A: {_told(bare)}; ratio {ratios[0]:.1f} and {ratios[1]:.1f}"
        )


async def _write(home: Home, changes: int) -> int:
    """Let a home have so many changes in its log; return how many there are."""
    store = Store(home)
    store.before_commit(lambda c: mirror.collect(c, CLOCK.wall_ms()))

    def count(connection: sqlite3.Connection) -> int:
        return int(connection.execute("SELECT max(seq) FROM logs").fetchone()[0])

    async def run() -> None:
        while await store.query(count) < changes:
            claim = await begin(store)
            for ordinal in range(1, 4):
                await record(store, claim, ordinal, str(claim.job))
            await store.write(partial(complete, claim=claim))

    await asyncio.gather(*(run() for _ in range(_AT_A_TIME)))
    found = await store.query(count)
    store.close()
    return found


async def _run(device: Device) -> Took:
    await asyncio.sleep(_PAUSE_S)
    told = await device.call("POST", "/jobs", _SHORT)
    job, asked_ns = told["value"]["id"], told["asked_ns"]
    over = await device.until(lambda: device.of(job, events.JOB_COMPLETED))
    seen = device.of(job, events.JOB_CREATED)
    moments = (told["came_ns"], seen[0]["came_ns"], over[0]["came_ns"])
    return Took(*((moment - asked_ns) / 1e6 for moment in moments))


async def _has_all(device: Device) -> bool:
    """Tell whether a device has what the other said that it has."""
    shown = await device.ask("GET", "/devices")
    return any(
        one["reachable"] and not one["this"] and one["ahead"] == 0 for one in shown["devices"]
    )


def _place(took_ms: list[float], at: float) -> float:
    return sorted(took_ms)[int(len(took_ms) * at)]


def _told(took_ms: list[float]) -> str:
    return f"p50 {_place(took_ms, 0.5):.1f} ms, p95 {_place(took_ms, 0.95):.1f} ms"
