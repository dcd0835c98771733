"""How long a cancel takes: from the request until the job is cancelled and its worker is dead.

Run as `python -m tests.bench cancel [--times N]`.

Half of the jobs sleep in a step; the others ignore TERM and have a grandchild that does too. The
promise is 2 s, always; the ceiling is a bare `SIGKILL` of a sleeping Python and its `wait`.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from regend.config import Config, JobsConfig
from regend.home import Home
from regend.processes import is_alive
from tests.jobs.conftest import USER, Engine

_PROMISE_S = 2.0


def main(argv: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench cancel")
    parser.add_argument("--times", type=int, default=100)
    options = parser.parse_args(argv)
    bare = [_bare() for _ in range(20)]
    print(f"bare kill and wait: median {statistics.median(bare) * 1000:.1f} ms")
    asyncio.run(_measure(options.times))


def _bare() -> float:
    child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
    time.sleep(0.05)
    started = time.perf_counter()
    child.kill()
    child.wait()
    return time.perf_counter() - started


async def _measure(times: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(Home.at(Path(folder)), Config(jobs=JobsConfig(concurrency=2)))
        engine.supervisor.start()
        taken: dict[str, list[float]] = {"count": [], "stubborn": []}
        for number in range(times):
            kind = ("count", "stubborn")[number % 2]
            taken[kind].append(await _cancel(engine, kind, Path(folder) / f"mark-{number}"))
        await engine.close()
    for kind, name in (("count", "asleep in a step"), ("stubborn", "ignoring TERM, grandchild")):
        print(_line(name, taken[kind]))
    late = sum(seconds > _PROMISE_S for seconds in taken["count"] + taken["stubborn"])
    print(f"later than {_PROMISE_S:.0f} s: {late} of {times} (at most 0)")


async def _cancel(engine: Engine, kind: str, mark: Path) -> float:
    options = {"pids": str(mark)} if kind == "stubborn" else {"trace": str(mark), "sleep_s": 60}
    job = await engine.submit(kind, **options)
    while not mark.exists() or not mark.read_text(encoding="utf-8"):
        await asyncio.sleep(0.01)
    started = time.perf_counter()
    await engine.jobs.cancel(USER, job)
    await engine.until(job, "cancelled")
    taken = time.perf_counter() - started
    if kind == "stubborn":
        for pid in mark.read_text(encoding="utf-8").split():
            assert not is_alive(int(pid))
    return taken


def _line(name: str, seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p95 = ordered[int(len(ordered) * 0.95)]
    return (
        f"{name}: median {statistics.median(ordered):.2f} s, p95 {p95:.2f} s, "
        f"longest {ordered[-1]:.2f} s"
    )
