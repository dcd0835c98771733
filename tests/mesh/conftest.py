"""Daemons on one machine that meet over loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from regend.agents import AGENTS
from regend.client import Client
from regend.clock import Clock
from regend.config import (
    Config,
    JobsConfig,
    LimitsConfig,
    MeshConfig,
    ModelsConfig,
    ServerConfig,
)
from regend.daemon import Daemon
from regend.errors import NotFound
from regend.home import Home
from regend.jobs.inputs import INPUT_TYPES
from tests.embedded_model import embedded_model_home
from tests.jobs.conftest import PROGRAMS, TYPES

_ROOT = Path(__file__).parents[2]
_WAIT_S = 30.0


@dataclass
class Reached:
    """A running daemon as its client sees it."""

    name: str
    home: Home
    client: Client

    async def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Make a call to the daemon; raise what it refuses with."""
        return await self.client.request(method, f"/api/v1{path}", body=body, query=query)

    async def events(self, job: str) -> list[dict[str, Any]]:
        """Return a job's whole history."""
        shown = await self.call("GET", f"/jobs/{job}/events", limit=1000)
        events: list[dict[str, Any]] = shown["events"]
        return events

    async def told(self, job: str) -> list[tuple[Any, ...]]:
        """Return what a job's history says, which is the same on all devices."""
        events = await self.events(job)
        return [(e["job_seq"], e["type"], e["at"], e["data"]) for e in events]

    async def until(self, holds: Callable[[Any], bool], path: str) -> Any:
        """Return what a path shows once it is there and as it should be."""
        async with asyncio.timeout(_WAIT_S):
            while True:
                try:
                    if holds(shown := await self.call("GET", path)):
                        return shown
                except NotFound:
                    pass
                await asyncio.sleep(0.05)

    async def linked(self, *names: str) -> None:
        """Return once these devices are reached."""

        def reached(shown: Any) -> bool:
            here = {one["name"] for one in shown["devices"] if one["reachable"]}
            return here >= set(names)

        await self.until(reached, "/devices")

    async def level(self) -> list[dict[str, Any]]:
        """Return the devices once all that are reached have the same state."""

        def equal(shown: Any) -> bool:
            return all(one["state"] == "equal" for one in shown["devices"] if one["reachable"])

        shown = await self.until(equal, "/devices")
        devices: list[dict[str, Any]] = shown["devices"]
        return devices


@dataclass
class Device(Reached):
    """A daemon that runs in the test's process."""

    daemon: Daemon

    async def stop(self) -> None:
        """End the daemon."""
        await self.client.close()
        await self.daemon.stop()

    async def away(self) -> None:
        """Cut this device off: its links break, and it reaches nobody and is not reached."""
        network = self.daemon._mesh.network
        assert network is not None
        await network.links.cut()  # first: who loses a link dials at once
        await network._server.stop()
        await network.links.cut()

    async def back(self) -> None:
        """Let this device be reached again, at the same port."""
        network = self.daemon._mesh.network
        assert network is not None and network.port is not None
        await network._server.start(network.port)
        network.links.start()


Start = Callable[..., Awaitable[Device]]


def daemon_of(
    home: Home, name: str, *, model: bool = False, clock: Clock | None = None, **mesh: Any
) -> Daemon:
    """Return a daemon that meets others over loopback and runs the tests' programs."""
    config = Config(
        server=ServerConfig(port=0),
        jobs=JobsConfig(concurrency=2),
        models=ModelsConfig(discover=False, threads=1, slots=1),
        limits=LimitsConfig(research_per_minute=0, requests_per_minute=0),
        mesh=MeshConfig(name=name, port=0, loopback=True, **mesh),
    )
    if model:
        embedded_model_home(home)
    agents = AGENTS | {one: f"agent_of_{one}" for one in PROGRAMS}
    return Daemon(home, config, clock=clock, agents=agents, types=INPUT_TYPES | TYPES)


def client_of(home: Home, url: str) -> Client:
    return Client(url, home.token_file.read_text(encoding="utf-8").strip())


@pytest.fixture
async def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Return a function that starts a daemon by name; it ends with the test."""
    folder = tmp_path / "agents"
    folder.mkdir()
    for name in PROGRAMS:
        line = f"from tests.jobs.programs import {name} as run\n"
        (folder / f"agent_of_{name}.py").write_text(line, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", f"{_ROOT}:{folder}")
    running: list[Device] = []

    async def run(name: str, **options: Any) -> Device:
        home = Home.at(tmp_path / name)
        daemon = await asyncio.to_thread(daemon_of, home, name, **options)
        client = client_of(home, await daemon.start())
        device = Device(name, home, client, daemon)
        running.append(device)
        return device

    yield run
    # All at once: each says goodbye to the network, which takes a while.
    await asyncio.gather(*(device.stop() for device in running))


class Pace:
    """Lets jobs go on slowly until they are told to hurry."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "pace"
        self._file.write_text("0.1", encoding="utf-8")

    async def job(self, device: Reached, steps: int = 500) -> str:
        """Begin a job on a device; return its id."""
        asked = {"steps": steps, "pace": str(self._file)}
        return str((await device.client.jobs.create("count", asked))["id"])

    def hurry(self) -> None:
        """Let every job go on without a pause."""
        self._file.write_text("0", encoding="utf-8")


@pytest.fixture
def pace(tmp_path: Path) -> Pace:
    return Pace(tmp_path)


async def join(inviter: Reached, other: Reached) -> None:
    """Let a device join the mesh of one, at its address."""
    shown = await inviter.call("POST", "/devices/invite", {})
    address = f"127.0.0.1:{shown['port']}"
    await other.call("POST", "/devices/join", {"code": shown["code"], "address": address})


async def pair(inviter: Reached, *others: Reached) -> None:
    """Let devices join the mesh of one."""
    for other in others:
        await join(inviter, other)
    for one in (inviter, *others):
        await one.linked(*(other.name for other in (inviter, *others)))


__all__ = ["Device", "Pace", "Reached", "Start", "client_of", "daemon_of", "join", "pair"]
