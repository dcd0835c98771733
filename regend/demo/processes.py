"""Starting, finding and killing the processes of the demonstration."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
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
        Failed: the system has no `ps`.
    """
    try:
        listed = subprocess.run(
            ["ps", "-axo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failed("demo_ps", f"Worker processes cannot be found: {error}.") from error
    workers: dict[int, str] = {}
    for line in listed.splitlines():
        pid, parent, arguments = line.split(None, 2)
        if int(parent) == daemon_pid and "regend worker" in arguments:
            workers[int(pid)] = arguments
    ours = [pid for pid, arguments in workers.items() if job_id in arguments]
    return ours or list(workers)


def _told_pid(file: Path) -> int | None:
    """Return the process that `daemon.json` names."""
    try:
        return int(json.loads(file.read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError):
        return None
