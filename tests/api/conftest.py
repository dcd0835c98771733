"""A whole daemon in this process, on a free port and a home of its own, and callers of it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from regend.agents import AGENTS
from regend.client import Client
from regend.clock import SystemClock
from regend.config import Config, JobsConfig, LimitsConfig, ModelsConfig, ServerConfig
from regend.daemon import Daemon
from regend.home import Home
from regend.jobs.inputs import INPUT_TYPES, InputType
from regend.store import Store

API = "/api/v1"
REAL = SystemClock()
PROGRAMS = ("count", "approve", "chatter", "returns")


TYPES = INPUT_TYPES | {name: InputType({}, lambda _v: "A test") for name in PROGRAMS}


class SettableClock:
    """The machine's clock, and a jump that a test asks for."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def wall_ms(self) -> int:
        return REAL.wall_ms() + int(self.ahead_s * 1000)

    def monotonic_s(self) -> float:
        return REAL.monotonic_s() + self.ahead_s


@dataclass
class Answer:
    """What a call came to."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error, after a look at its shape."""
        error: dict[str, Any] = self.json["error"]
        assert {"code", "message", "hint", "retryable", "request_id"} <= set(error)
        assert error["message"] and "Traceback" not in self.body.decode()
        assert self.headers["X-Request-Id"] == error["request_id"]
        assert self.headers["Content-Type"].startswith("application/json")
        return error


@dataclass
class Running:
    """A daemon under test, and who calls it."""

    daemon: Daemon
    home: Home
    clock: SettableClock
    session: aiohttp.ClientSession
    url: str = ""
    token: str = ""
    clients: list[Client] = field(default_factory=list)

    @property
    def store(self) -> Store:
        """For tests that write history themselves."""
        return self.daemon._store

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def call(
        self, method: str, path: str, *, token: str | None = "", as_json: Any = None, **more: Any
    ) -> Answer:
        """Make a call as the owner, as who holds `token`, or, with None, as nobody."""
        headers = dict(more.pop("headers", {}))
        bearer = self.token if token == "" else token
        if bearer is not None:
            headers.setdefault("Authorization", f"Bearer {bearer}")
        if as_json is not None:
            more["data"] = json.dumps(as_json).encode()
            headers.setdefault("Content-Type", "application/json")
        if isinstance(more.get("data"), bytes):
            more["data"] = BytesIO(more["data"])  # aiohttp warns of large bodies in one piece
        async with self.session.request(
            method, self.url + path, headers=headers, allow_redirects=False, **more
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def user(self, name: str, *scopes: str, expires_s: float | None = None) -> str:
        """Return a token for a user."""
        token, _ = await self.daemon._access.create(name, list(scopes or "*"), expires_s, "test")
        return token

    async def submit(self, type_name: str, token: str = "", **options: Any) -> str:
        """Hand a job of a test program in and return its id."""
        title = options.pop("title", None)
        body = {"type": type_name, "input": options, **({"title": title} if title else {})}
        answer = await self.call("POST", f"{API}/jobs", token=token, as_json=body)
        assert answer.status == 202, answer.body
        job: str = answer.json["id"]
        return job

    async def until(self, job: str, *states: str, token: str = "") -> dict[str, Any]:
        """Return the job once it is in one of the states."""
        async with asyncio.timeout(60):
            while True:
                shown = (await self.call("GET", f"{API}/jobs/{job}", token=token)).json
                if shown["state"] in states:
                    found: dict[str, Any] = shown
                    return found
                await asyncio.sleep(0.03)

    def client(self, token: str = "") -> Client:
        """Return a client of the library; it is closed with the test."""
        client = Client(self.url, token or self.token)
        self.clients.append(client)
        return client

    async def raw(self, request: bytes) -> bytes:
        """Send bytes on a connection of their own; return what comes until it is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        try:
            async with asyncio.timeout(20):
                return await reader.read()
        finally:
            writer.close()


Start = Callable[..., Awaitable[Running]]


@pytest.fixture
async def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Start]:
    """Return a function that starts a daemon on the test's home; it ends with the test."""
    folder = tmp_path / "agents"
    folder.mkdir()
    for name in PROGRAMS:
        line = f"from tests.jobs.programs import {name} as run\n"
        (folder / f"agent_of_{name}.py").write_text(line, encoding="utf-8")
    paths = [str(Path(__file__).parents[2]), str(folder)]
    monkeypatch.setenv("PYTHONPATH", ":".join(paths))
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    running: list[Running] = []

    async def run(**settings: Any) -> Running:
        limits = settings.pop("limits", LimitsConfig(research_per_minute=0, requests_per_minute=0))
        config = Config(
            server=ServerConfig(port=0),
            jobs=JobsConfig(concurrency=settings.pop("concurrency", 2)),
            models=ModelsConfig(discover=False),
            limits=limits,
        )
        home = Home.at(tmp_path / "home")
        agents = AGENTS | {name: f"agent_of_{name}" for name in PROGRAMS}
        clock = SettableClock()
        daemon = Daemon(home, replace(config, **settings), clock=clock, agents=agents, types=TYPES)
        one = Running(daemon, home, clock, aiohttp.ClientSession(auto_decompress=False))
        running.append(one)
        one.url = await daemon.start()
        one.token = home.token_file.read_text(encoding="utf-8").strip()
        return one

    yield run
    for one in running:
        for client in one.clients:
            await client.close()
        await one.session.close()
        await one.daemon.stop()


@pytest.fixture
async def running(start: Start) -> Running:
    return await start()
