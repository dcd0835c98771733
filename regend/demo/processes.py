"""Starting, finding and killing the processes of the demonstration."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regend.errors import Failed
from regend.home import Home

_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 10.0


@dataclass
class DaemonProcess:
    """A daemon of the demonstration.

    Attributes:
        process: the running `regend serve`.
        started_in_s: from its start until it answered.
    """

    process: asyncio.subprocess.Process
    started_in_s: float

    @property
    def pid(self) -> int:
        """The operating system's id."""
        return self.process.pid

    def kill(self) -> None:
        """Kill it without warning, as a power cut would."""
        self.process.kill()

    async def stop(self) -> None:
        """Ask it to end, and make sure."""
        if self.process.returncode is not None:
            return
        self.process.terminate()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()


async def start_daemon(home: Home) -> DaemonProcess:
    """Start a daemon on the home and return once it answers.

    Raises:
        Failed: it did not start; the message holds the end of its log.
    """
    began = time.monotonic()
    log = home.data_dir / "daemon.log"
    with log.open("ab") as sink:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "regend",
            "serve",
            "--port",
            "0",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env={**os.environ, "REGEND_HOME": str(home.data_dir)},
        )
    while time.monotonic() - began < _START_TIMEOUT_S:
        if _told_pid(home.daemon_file) == process.pid:
            return DaemonProcess(process, time.monotonic() - began)
        if process.returncode is not None:
            break
        await asyncio.sleep(0.02)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    raise Failed("demo_daemon", f"The daemon did not start: {' '.join(lines[-3:])}")


def find_workers(daemon_pid: int, job_id: str) -> list[int]:
    """Return the processes that run this job; where the system does not tell, all workers.

    Raises:
        Failed: the system lists no processes.
    """
    listed = _listed_by_kernel() if sys.platform == "linux" else _listed_by_ps()
    workers = {
        pid: arguments
        for pid, parent, arguments in listed
        if parent == daemon_pid and "regend worker" in arguments
    }
    ours = [pid for pid, arguments in workers.items() if job_id in arguments]
    return ours or list(workers)


def _listed_by_kernel() -> Iterator[tuple[int, int, str]]:
    """Yield each process, its parent and its arguments: small Linux images have no `ps`."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # The name stands in brackets and may hold anything; state and parent follow it.
            parent = (folder / "stat").read_bytes().rpartition(b")")[2].split()[1]
            arguments = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it ended meanwhile
        yield int(folder.name), int(parent), os.fsdecode(arguments.replace(b"\0", b" "))


def _listed_by_ps() -> Iterator[tuple[int, int, str]]:
    command = ["ps", "-axo", "pid=,ppid=,args="]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failed("demo_ps", f"Worker processes cannot be found: {error}.") from error
    for line in told.splitlines():
        pid, parent, arguments = line.split(None, 2)
        yield int(pid), int(parent), arguments


def _told_pid(file: Path) -> int | None:
    """Return the process that `daemon.json` names."""
    try:
        return int(json.loads(file.read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError):
        return None
