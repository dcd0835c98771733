"""How long a cancel takes: from the request until the job is cancelled and its worker is dead.

Run as `python -m tests.bench cancel [--times N]`.

Half of the jobs sleep in a step; the others ignore TERM and have a grandchild that does too. Then
come jobs of a real model in a real daemon, cancelled by HTTP while it writes, and while it reads a
long prompt. The promise is 2 s, always; the ceiling is a bare `SIGKILL` of a sleeping Python and
its `wait`.
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

from regend import events
from regend.client import Client, StreamEvent
from regend.config import Config, JobsConfig, LimitsConfig, ModelsConfig, ServerConfig
from regend.daemon import Daemon
from regend.home import Home
from regend.processes import is_alive
from tests.embedded_model import embedded_model_home
from tests.jobs.conftest import USER, Engine

_PROMISE_S = 2.0
_DECODING_P95_S = 0.4
_STORY = {"prompt": "Tell me a long story about a fox and the sea.", "max_tokens": 1500}
_LONG = {"prompt": "The fox went to the sea and came back again. " * 300, "max_tokens": 64}
_READING_S = 1.0  # after the step said that the model reads; the prompt takes several seconds


def main(argv: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench cancel")
    parser.add_argument("--times", type=int, default=100)
    options = parser.parse_args(argv)
    bare = [_bare() for _ in range(20)]
    print(f"bare kill and wait: median {statistics.median(bare) * 1000:.1f} ms")
    asyncio.run(_measure(options.times))
    with tempfile.TemporaryDirectory() as folder:
        home = embedded_model_home(Home.at(Path(folder)))
        asyncio.run(_measure_with_model(home, options.times // 5))


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


async def _measure_with_model(home: Home, times: int) -> None:
    config = Config(
        server=ServerConfig(port=0), models=ModelsConfig(discover=False), limits=LimitsConfig(0, 0)
    )
    daemon = Daemon(home, config)
    await daemon.start()
    async with Client(home=home) as client:
        writing = [await _cancel_writing(client) for _ in range(times)]
        reading = [await _cancel_reading(client) for _ in range(times)]
    await daemon.stop()
    print(_line("the model writes", writing) + f" (p95 at most {_DECODING_P95_S})")
    print(_line("the model reads", reading))
    late = sum(seconds > _PROMISE_S for seconds in writing + reading)
    print(f"later than {_PROMISE_S:.0f} s: {late} of {2 * times} (at most 0)")


async def _cancel_writing(client: Client) -> float:
    job = await client.jobs.create("chat", _STORY)
    return await _cancel_at(client, job["id"], events.MODEL_CHUNK, 0.0)


async def _cancel_reading(client: Client) -> float:
    job = await client.jobs.create("chat", _LONG)
    return await _cancel_at(client, job["id"], events.JOB_PROGRESS, _READING_S)


async def _cancel_at(client: Client, job_id: str, event_type: str, wait_s: float) -> float:
    """Cancel a job some time after its first event of a type; return how long its end took."""
    async with client.stream(jobs=[job_id], after_seq=0) as stream:
        started = 0.0
        async for item in stream:
            assert isinstance(item, StreamEvent)
            if item.type == event_type and not started:
                await asyncio.sleep(wait_s)
                started = time.perf_counter()
                await client.jobs.cancel(job_id)
            assert item.type not in (events.JOB_COMPLETED, events.JOB_FAILED), item.data
            if item.type == events.JOB_CANCELLED:
                return time.perf_counter() - started
    raise AssertionError("the stream ended before the job")


def _line(name: str, seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p95 = ordered[int(len(ordered) * 0.95)]
    return (
        f"{name}: median {statistics.median(ordered):.2f} s, p95 {p95:.2f} s, "
        f"longest {ordered[-1]:.2f} s"
    )
