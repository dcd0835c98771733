"""A daemon in a process of its own, which can be put to sleep as a laptop is when its lid closes.

Run as a module with a home and a name, it prints the daemon's address and serves until SIGTERM.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from regend.home import Home
from tests.mesh.conftest import Reached, client_of, daemon_of
from tests.network import keep_apart

_ROOT = Path(__file__).parents[2]


@dataclass
class Apart(Reached):
    """A daemon in another process."""

    process: asyncio.subprocess.Process

    def sleep(self) -> None:
        """Stop the daemon and everything that it started."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let all of it run on, as if no time had passed."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in (self.process.pid, *_descendants(self.process.pid)):
            os.kill(pid, number)


@asynccontextmanager
async def apart(folder: Path, name: str) -> AsyncIterator[Apart]:
    """Lend a daemon in a process of its own."""
    home = Home.at(folder / name)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.mesh.apart", str(home.data_dir), name),
        cwd=_ROOT,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    url = (await process.stdout.readline()).decode().strip()
    device = Apart(name, home, client_of(home, url), process)
    try:
        yield device
    finally:
        device.wake()
        await device.client.close()
        process.terminate()
        await process.wait()


def _descendants(pid: int) -> list[int]:
    """Return the processes that one started, and those that they did."""
    listed = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
    )
    started: dict[int, list[int]] = {}
    for line in listed.stdout.splitlines():
        child, parent = map(int, line.split())
        started.setdefault(parent, []).append(child)
    found = [pid]
    for one in found:
        found += started.get(one, [])
    return found[1:]


async def _serve(home: str, name: str) -> None:
    daemon = daemon_of(Home.at(Path(home)), name)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    print(await daemon.start(), flush=True)
    await ended.wait()
    await daemon.stop()


if __name__ == "__main__":
    keep_apart()
    asyncio.run(_serve(*sys.argv[1:]))
