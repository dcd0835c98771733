"""A job engine on a private home, with real workers and the programs of `programs.py`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from regend.clock import Clock, SystemClock
from regend.config import Config, JobsConfig
from regend.home import Home
from regend.jobs import history
from regend.jobs.attempt import Attempt
from regend.jobs.inputs import InputType
from regend.jobs.service import Jobs
from regend.jobs.supervisor import Supervisor
from regend.store import Store
from regend.store.writer import Probe, no_probe

PROGRAMS = (
    "count",
    "stubborn",
    "approve",
    "chatter",
    "pay",
    "versions",
    "silent",
    "hostile",
    "fragile_effect",
    "hoard",
    "lengthy",
)
USER = "owner"


TYPES = {name: InputType({}, lambda _v: "A test") for name in PROGRAMS}


async def _break(_attempt: Attempt, _arguments: dict[str, Any]) -> None:
    raise KeyError("a broken service")


class Engine:
    """Store, supervisor and service of one daemon run."""

    def __init__(
        self,
        home: Home,
        config: Config,
        probe: Probe = no_probe,
        boot: str = "boot",
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self.home = home
        self.closed = False
        self.store = Store(home, probe)
        root = str(Path(__file__).parents[2])
        self.supervisor = Supervisor(
            self.store,
            clock,
            config.jobs,
            boot=boot,
            programs={name: f"tests.jobs.programs:{name}" for name in PROGRAMS},
            services={"broken": _break},
            slots_dir=home.slots_dir,
            environment={**os.environ, "PYTHONPATH": root},
        )
        self.jobs = Jobs(self.store, clock, config, self.supervisor, "this-device", TYPES)

    async def submit(self, type_name: str, /, **options: Any) -> str:
        body = {"type": type_name, "input": options}
        job: str = (await self.jobs.submit(USER, body, None))["id"]
        return job

    async def until(self, job: str, *states: str, timeout_s: float = 30.0) -> dict[str, Any]:
        """Return the job once it is in one of the states."""
        async with asyncio.timeout(timeout_s):
            while True:
                shown = await self.jobs.show(USER, job)
                if shown["state"] in states:
                    return shown
                await self.store.bell.wait(0.2)

    async def events(self, job: str) -> list[dict[str, Any]]:
        return [e.to_dict() for e in await self.jobs.events(USER, job, 0, 1_000_000)]

    async def all_events(self) -> list[history.StoredEvent]:
        return await self.store.query(lambda c: history.after(c, 0, 1_000_000))

    async def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        await self.supervisor.stop()
        self.store.close()


Start = Callable[..., Awaitable[Engine]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    """Return a function that starts an engine on the test's home; all end with the test."""
    engines: list[Engine] = []

    async def run(clock: Clock | None = None, **settings: Any) -> Engine:
        config = Config(jobs=JobsConfig(**{"concurrency": 4, **settings}))
        boot = f"boot-{len(engines)}"
        engine = Engine(Home.at(tmp_path / "home"), config, boot=boot, clock=clock)
        engines.append(engine)
        engine.supervisor.start()
        return engine

    yield run
    for engine in engines:
        await engine.close()


@pytest.fixture
async def engine(start: Start) -> Engine:
    return await start()
