"""Worker processes: started ahead, spoken to in frames, ended with their whole process group.

A worker dies with its daemon, and so does what it started: its standard input ends, and on Linux
the kernel ends the whole group besides. One warm worker waits, so that a job does not pay for
starting Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from regend.environment import for_child
from regend.jobs.frames import Frame, FrameReader, encode
from regend.lifeline import Lifeline
from regend.limits import KIB, MAX_WORKER_STDERR_BYTES
from regend.processes import kill_group, terminate_group

_READ_BYTES = 256 * KIB
_DEATH_POLL_S = 0.005
_LAST_WORDS_S = 0.5


class WorkerProcess:
    """One worker, from its start to its confirmed death."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: Lifeline) -> None:
        self._process = process
        self._lifeline = lifeline
        self._stderr = bytearray()
        self._stderr_task = asyncio.create_task(self._keep_stderr())

    @staticmethod
    async def start(environment: Mapping[str, str]) -> WorkerProcess:
        """Start a worker that waits for its `begin`; of the environment it gets what it needs."""
        lifeline = Lifeline()
        process = await lifeline.start(
            sys.executable,
            "-P",  # the folder that the daemon was started in has no say in what is imported
            "-m",
            "regend",
            "worker",
            WAITING,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=for_child(environment),
        )
        return WorkerProcess(process, lifeline)

    @property
    def pid(self) -> int:
        """The operating system's id of the worker."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether its death has not been seen yet."""
        return self._process.returncode is None

    async def send(self, frame: Frame) -> None:
        """Send one frame; a worker that is gone is noticed by `frames`, not here."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.write(encode(frame))
            await stdin.drain()
        except (ConnectionError, RuntimeError):
            return

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield what the worker says until its end.

        Raises:
            Failed: the worker sent what is no frame.
        """
        stdout = self._process.stdout
        assert stdout is not None
        reader = FrameReader()
        while received := await stdout.read(_READ_BYTES):
            for frame in reader.feed(received):
                yield frame

    def terminate(self) -> None:
        """Ask the whole process group to end."""
        terminate_group(self.pid)

    def kill(self) -> None:
        """End the whole process group."""
        kill_group(self.pid)

    async def death(self) -> str:
        """Wait until the worker is dead, end what it left behind, and say how it died."""
        # Not `wait()`: it waits for the pipes too, which a grandchild outside the group may hold.
        while (code := self._process.returncode) is None:
            await asyncio.sleep(_DEATH_POLL_S)
        self.kill()
        self._lifeline.cut()
        await asyncio.wait({self._stderr_task}, timeout=_LAST_WORDS_S)
        self._stderr_task.cancel()
        self._process._transport.close()  # type: ignore[attr-defined]  # no public way to the pipes
        last = bytes(self._stderr).decode(errors="replace").strip().splitlines()
        how = f"signal {_signal_name(-code)}" if code < 0 else f"exit code {code}"
        return f"{how}: {last[-1]}" if last else how

    async def _keep_stderr(self) -> None:
        """Keep the end of what the worker complains about, bounded."""
        stderr = self._process.stderr
        assert stderr is not None
        while received := await stderr.read(4 * KIB):
            self._stderr += received
            del self._stderr[:-MAX_WORKER_STDERR_BYTES]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal has no name
        return str(number)


# As long as a job's id: the worker writes the id over it, so that `ps` names the job.
WAITING = "waiting-for-a-job-------------------"


class WarmWorkers:
    """Keeps one worker started ahead."""

    def __init__(self, start: Callable[[], asyncio.Future[WorkerProcess]]) -> None:
        self._start = start
        self._next: asyncio.Future[WorkerProcess] | None = None

    def prepare(self) -> None:
        """Start the next worker if none waits."""
        if self._next is None:
            self._next = asyncio.ensure_future(self._start())

    async def take(self) -> WorkerProcess:
        """Return a living worker; the caller ends it."""
        while True:
            self.prepare()
            waiting, self._next = self._next, None
            assert waiting is not None
            worker = await waiting
            if worker.alive:
                return worker
            await worker.death()

    async def close(self) -> None:
        """End the waiting worker."""
        if self._next is not None:
            waiting, self._next = self._next, None
            await end(waiting)


async def end(starting: Awaitable[WorkerProcess]) -> None:
    """End a worker that nobody wants any more; one that cannot be started needs no end."""
    with contextlib.suppress(OSError):
        worker = await starting
        worker.kill()
        await worker.death()
