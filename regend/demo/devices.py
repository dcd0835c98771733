"""The two devices of `regend demo --mesh`: homes of their own, daemons, and what they show."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from regend.client import Client
from regend.demo.processes import DaemonProcess, start_daemon
from regend.errors import Failed, NotFound
from regend.home import Home
from regend.limits import MAX_PAGE_LENGTH

_API = "/api/v1"
_LOOK_AGAIN_S = 0.05
_SETTINGS = """\
[mesh]
name = "{name}"
port = {port}
loopback = true  # the other device is on this machine

[models]
discover = false
"""


class Device:
    """A home, the daemon on it while one runs, and a client of it.

    Args:
        name: in the mesh.
        folder: in which its home is made.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.home = Home.at(folder / name.lower())
        self.home.make()
        settings = _SETTINGS.format(name=name, port=_free_port())
        self.home.config_file.write_text(settings, encoding="utf-8")
        self.client = Client(home=self.home)
        self._daemon: DaemonProcess | None = None

    async def start(self) -> float:
        """Start its daemon; return after how many seconds it answered.

        Raises:
            Failed: it did not start.
        """
        self._daemon = await start_daemon(self.home)
        return self._daemon.started_in_s

    async def switch_off(self) -> int:
        """Kill its daemon without warning, as a dead battery would; return what process it was."""
        assert self._daemon is not None
        self._daemon.kill()
        await self._daemon.process.wait()
        return self._daemon.pid

    async def close(self) -> None:
        """End what of it runs."""
        await self.client.close()
        if self._daemon is not None:
            await self._daemon.stop()

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Make a call below `/api/v1`.

        Raises:
            RegendError: what the daemon refused with.
        """
        return await self.client.request(method, _API + path, body=body)

    async def until(self, holds: Callable[[Any], bool], path: str, wait_s: float, what: str) -> Any:
        """Return what a path shows as soon as it is there and as it should be.

        Raises:
            Failed: it did not come to that; `what` says to what.
        """
        try:
            async with asyncio.timeout(wait_s):
                while True:
                    try:
                        if holds(shown := await self.call("GET", path)):
                            return shown
                    except NotFound:
                        pass
                    await asyncio.sleep(_LOOK_AGAIN_S)
        except TimeoutError as error:
            message = f"{self.name} waited {wait_s:.0f} s in vain until {what}."
            raise Failed("demo_slow", message, hint="Run it again: regend demo --mesh") from error

    async def history(self, job_id: str) -> list[dict[str, Any]]:
        """Return what a job's events are here, all of them."""
        found: list[dict[str, Any]] = []
        while True:
            query = {"after_seq": str(found[-1]["seq"] if found else 0), "limit": _WHOLE_PAGE}
            path = f"{_API}/jobs/{job_id}/events"
            page = (await self.client.request("GET", path, query=query))["events"]
            if not page:
                return found
            found += page


_WHOLE_PAGE = str(MAX_PAGE_LENGTH)


def share_models(source: Path, target: Path) -> None:
    """Let one folder have the model files of another, without a second copy where that works."""
    target.mkdir(parents=True, exist_ok=True)
    if not source.is_dir():
        return
    for file in source.iterdir():
        other = target / file.name
        if not file.is_file() or other.exists():
            continue
        try:
            os.link(file, other)
        except OSError:
            shutil.copy2(file, other)


def _free_port() -> int:
    """Return a port of its own: that of the person's own daemon may be taken."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
