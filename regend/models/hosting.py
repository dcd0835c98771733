"""Starts, watches and ends one model host process, from the daemon's side."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from regend import limits, processes
from regend.environment import for_child
from regend.errors import Failed, RegendError, Retryable
from regend.lifeline import Lifeline
from regend.models.catalogue import EMBEDDINGS
from regend.models.planning import HostPlan

# llama.cpp's threads meet hundreds of times a token. By default each spins until the others come;
# where another program needs the cores too, they spin in its way: measured on two busy cores,
# 1 to 4 tokens a second, and 16 to 20 where they sleep instead.
_PATIENT_THREADS = {"OMP_WAIT_POLICY": "passive"}


@dataclass(frozen=True)
class _Ready:
    port: int
    build: str
    machine: str


class HostProcess:
    """One life of a model host.

    Args:
        plan: what to load.
        on_death: called once in the event loop when the process is gone, whatever the reason.

    Attributes:
        ending: somebody asked it to end; it may still hold its memory.
    """

    def __init__(self, plan: HostPlan, on_death: Callable[[HostProcess], None]) -> None:
        self.plan = plan
        self.id = secrets.token_hex(8)
        self.api_key = secrets.token_urlsafe(32)
        self._stderr_tail = b""
        self._on_death = on_death
        self.ending = False
        self._lifeline = Lifeline()
        self._process: asyncio.subprocess.Process | None = None
        self._ready: _Ready | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether it serves and nobody asked it to end."""
        return self._ready is not None and not self.ending and self.alive

    @property
    def served(self) -> bool:
        """Whether it ever became ready."""
        return self._ready is not None

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    @property
    def pid(self) -> int | None:
        """Process id; None before the start."""
        return self._process.pid if self._process else None

    @property
    def url(self) -> str:
        """Base address; only once ready."""
        assert self._ready is not None
        return f"http://127.0.0.1:{self._ready.port}"

    @property
    def build(self) -> str:
        """llama.cpp's build; only once ready."""
        assert self._ready is not None
        return self._ready.build

    @property
    def machine(self) -> str:
        """What last bits depend on; only once ready."""
        assert self._ready is not None
        return self._ready.machine

    async def start(self) -> None:
        """Start the process and wait until it serves.

        Raises:
            Failed: `model_load_failed`; llama.cpp cannot load the file. `model_host_broken`; what
                was started is no model host.
            Retryable: `model_host_died` or `model_host_slow`.
        """
        model = self.plan.model
        process = self._process = await self._lifeline.start(
            *(sys.executable, "-P", "-m", "regend.models.host", "regend", "model", model.name),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**_PATIENT_THREADS, **for_child(os.environ)},
        )
        self._watcher = asyncio.create_task(self._watch(process), name=f"watch {model.name}")
        if self.ending:
            self.kill()
        try:
            async with asyncio.timeout(limits.MODEL_START_TIMEOUT_S):
                self._ready = await self._introduce(process)
        except TimeoutError as error:
            raise Retryable(
                "model_host_slow",
                f"The model “{model.name}” did not load in {limits.MODEL_START_TIMEOUT_S:.0f} s.",
                hint="The machine may be short of memory; close something, or use a smaller model.",
            ) from error
        finally:
            if self._ready is None:
                self.kill()

    async def _introduce(self, process: asyncio.subprocess.Process) -> _Ready:
        """Hand over the settings and read the one line of answer."""
        assert process.stdin is not None and process.stdout is not None
        with contextlib.suppress(ConnectionError):  # it died; the answer below will tell
            process.stdin.write(self._settings())
            await process.stdin.drain()
        try:
            line = await process.stdout.readline()
            if not line:
                raise await self._died_while_loading(process)
            return _read_introduction(line)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise await self._is_no_host() from error

    async def _died_while_loading(self, process: asyncio.subprocess.Process) -> Retryable:
        await self.wait()
        return Retryable(
            "model_host_died",
            f"The host of the model “{self.plan.model.name}” died while loading "
            f"(exit {process.returncode}). {self.last_words()}".strip(),
            hint="The file may be damaged or too large for the memory: pull it again, or use "
            "a smaller model.",
        )

    async def _is_no_host(self) -> Failed:
        self.kill()
        await self.wait()
        return Failed(
            "model_host_broken",
            f"What was started for the model “{self.plan.model.name}” is no model host. "
            f"{self.last_words()}".strip(),
            hint="Install regend anew: its model host does not start as it should.",
        )

    def _settings(self) -> bytes:
        model = self.plan.model
        settings = {
            "name": model.name,
            "path": str(model.path),
            "api_key": self.api_key,
            "slots": self.plan.slots,
            "context_tokens": self.plan.context_tokens,
            "threads": self.plan.threads,
            "slots_dir": str(self.plan.slots_dir),
            "embeds": EMBEDDINGS in model.capabilities,
        }
        return json.dumps(settings).encode() + b"\n"

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        """Keep the end of its stderr, and tell when it is gone."""
        assert process.stderr is not None
        reading = asyncio.create_task(self._keep_stderr(process.stderr))
        await process.wait()
        self._lifeline.cut()
        await reading
        self._on_death(self)

    async def _keep_stderr(self, stream: asyncio.StreamReader) -> None:
        while piece := await stream.read(4096):
            self._stderr_tail = (self._stderr_tail + piece)[-limits.MODEL_STDERR_BYTES :]

    def last_words(self) -> str:
        """Return the last line that it wrote on stderr, for the report of its death."""
        lines = self._stderr_tail.decode("utf-8", errors="replace").strip().splitlines()
        return f"It said: {lines[-1][:300]}" if lines else ""

    def kill(self) -> None:
        """End the process at once; safe to call again, and before it was started."""
        self.ending = True
        if self._process is not None and self._process.returncode is None:
            # Not `Process.kill`: it reaps a process that died, and asyncio then misses its end.
            processes.kill(self._process.pid)

    async def wait(self) -> None:
        """Wait until the process is gone and its death was told."""
        if self._watcher is not None:
            await asyncio.shield(self._watcher)

    def held_bytes(self) -> int:
        """Return the memory that the process holds now; 0 where the system does not tell."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, ValueError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    async def answers(self) -> bool:
        """Return whether it serves; others may learn of its death before we do."""
        health = await self._exchange("GET /health HTTP/1.0\r\n\r\n")
        return b" 200 " in health[:15]

    async def computes(self) -> bool | None:
        """Return whether a slot computes; None where it does not say, as deep in a batch."""
        request = f"GET /slots HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.api_key}"
        answer = await self._exchange(request + "\r\nConnection: close\r\n\r\n")
        return b'"is_processing":true' in answer if b" 200 " in answer[:15] else None

    async def _exchange(self, request: str) -> bytes:
        """Send a request and return the beginning of its answer; empty where none comes."""
        parts = urlsplit(self.url)
        try:
            async with asyncio.timeout(limits.HOST_CONNECT_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
                with contextlib.closing(writer):
                    writer.write(request.encode())
                    return await reader.read(limits.HOST_ANSWER_BYTES)
        except (OSError, TimeoutError):
            return b""


def _read_introduction(line: bytes) -> _Ready:
    """Return what a host's first line says, or raise the error that it tells."""
    answer = json.loads(line)
    if "error" in answer:
        error = RegendError.from_dict(answer["error"])
        raise error if isinstance(error, Failed) else Failed(error.code, error.message)
    return _Ready(int(answer["port"]), str(answer["build"]), str(answer["machine"]))
