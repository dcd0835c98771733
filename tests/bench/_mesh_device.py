"""A host with a daemon and a client of it, for the mesh benchmark."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from itertools import count
from typing import Any

from regend.home import Home
from tests.sync.hosts import ROOT, Host

PORT = 17868
_WAIT_S = 120.0
_SETTINGS = """
[mesh]
name = "{name}"
port = {port}
loopback = {loopback}

[models]
discover = false

[jobs]
concurrency = 1

[limits]
requests_per_minute = 0
"""


class Device:
    """A host with a daemon and a client of it.

    Attributes:
        events: what its client saw, in order.
        told: the types of which its client is to tell; empty for all.
    """

    def __init__(self, name: str, home: Home, host: Host | None, port: int) -> None:
        self.name, self.home, self.host = name, home, host
        loopback = "false" if host else "true"
        settings = _SETTINGS.format(name=name, port=port, loopback=loopback)
        home.config_file.write_text(settings, encoding="utf-8")
        self.events: list[dict[str, Any]] = []
        self.told: set[str] = set()
        self._of_job: dict[str, list[dict[str, Any]]] = {}
        self._came = asyncio.Condition()
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._numbers = count(1)

    def command(self, *command: str) -> list[str]:
        """Return the command that runs `command` on this host."""
        return self.host.command(*command) if self.host else list(command)

    async def start(self) -> None:
        """Start the daemon and the client."""
        environment = {**os.environ, "REGEND_HOME": str(self.home.data_dir)}
        with (self.home.data_dir / "daemon.log").open("wb") as log:
            self._daemon = await asyncio.create_subprocess_exec(
                *self.command(sys.executable, "-m", "tests.bench._mesh_serve"),
                env={**environment, "PYTHONPATH": str(ROOT)},
                stderr=log,
            )
        async with asyncio.timeout(_WAIT_S):
            while not self.home.daemon_file.exists():
                await asyncio.sleep(0.05)
        self._client = await asyncio.create_subprocess_exec(
            *self.command(
                *(sys.executable, "-m", "tests.bench._mesh_client"),
                *(str(self.home.data_dir), *self.told),
            ),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=1 << 24,
        )
        assert self._client.stdout is not None
        await self._client.stdout.readline()
        self._reading = asyncio.create_task(self._read())

    async def close(self) -> None:
        """End both."""
        assert self._client.stdin is not None
        self._client.stdin.close()
        await self._client.wait()
        await self._reading
        self._daemon.terminate()
        await self._daemon.wait()

    async def call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        """Make a call; return what the client told of it."""
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        asked = {"call": number, "method": method, "path": path, "body": body}
        assert self._client.stdin is not None
        self._client.stdin.write(json.dumps(asked).encode() + b"\n")
        told: dict[str, Any] = await answer
        return told

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Make a call that must succeed; return its value."""
        told = await self.call(method, path, body)
        assert "error" not in told, told
        return told["value"]

    async def until(self, holds: Callable[[], Any]) -> Any:
        """Return what a look at the events returns, once that is something."""
        async with asyncio.timeout(_WAIT_S), self._came:
            await self._came.wait_for(holds)
        return holds()

    async def until_shown(self, path: str, holds: Callable[[Any], bool]) -> Any:
        """Return what a path shows once it is as it should be."""
        async with asyncio.timeout(_WAIT_S):
            while True:
                told = await self.call("GET", path)
                if "value" in told and holds(told["value"]):
                    return told["value"]
                await asyncio.sleep(0.05)

    def of(self, job: str, *types: str) -> list[dict[str, Any]]:
        """Return what the client saw of a job."""
        seen = self._of_job.get(job, [])
        return [event for event in seen if not types or event["event"] in types]

    def sent_bytes(self) -> int:
        """Return what this host has put on the network so far."""
        if self.host is None:
            return 0
        shown = json.loads(self.host.ip("-s", "-j", "link", "show", "dev", "eth0"))
        sent: int = shown[0]["stats64"]["tx"]["bytes"]
        return sent

    async def _read(self) -> None:
        assert self._client.stdout is not None
        while line := await self._client.stdout.readline():
            said = json.loads(line)
            if "answer" in said:
                self._answers.pop(said["answer"]).set_result(said)
                continue
            async with self._came:
                self.events.append(said)
                self._of_job.setdefault(said["job"], []).append(said)
                self._came.notify_all()
