"""The daemon: every part made, joined, and ended in the opposite order.

Start: lock and store, then the server (so that clients are answered at once), then the jobs of the
last run. Stop: no new connections, attempts to their next checkpoint, the store last.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from regend import __version__
from regend.agents import AGENTS
from regend.api.access import Access
from regend.api.access_calls import AccessCalls
from regend.api.approvals import ApprovalCalls
from regend.api.devices import DeviceCalls
from regend.api.guard import Guard
from regend.api.hub import Hub
from regend.api.jobs import JobCalls
from regend.api.limiter import RateLimiter
from regend.api.metrics import Metrics
from regend.api.server import Server
from regend.api.sse import EventStream
from regend.api.status_calls import StatusCalls
from regend.api.stream_session import StreamParts
from regend.api.submission import Submissions
from regend.api.websocket import Streams
from regend.clock import Clock, SystemClock, new_id, rfc3339
from regend.config import Config, load_config
from regend.errors import Busy, Conflict
from regend.home import Home
from regend.jobs.inputs import INPUT_TYPES, InputType
from regend.jobs.orphans import Accounts
from regend.jobs.service import Jobs
from regend.jobs.supervisor import Supervisor
from regend.logs import start_logging
from regend.maintenance import Maintenance
from regend.mesh import founding
from regend.mesh.documents import on_the_way
from regend.mesh.service import Mesh
from regend.services import Services
from regend.store import Store, files
from regend.store.writer import FULL_DISK, Probe, no_probe

log = logging.getLogger("regend")


class Daemon:
    """One daemon on one home.

    Args:
        agents: the module of each job type's agent; its `run` is the program.
        types: what each job type takes.
        probe: called at the points where a crash is worth testing.
    """

    def __init__(
        self,
        home: Home,
        config: Config,
        *,
        clock: Clock | None = None,
        agents: Mapping[str, str] = AGENTS,
        types: Mapping[str, InputType] = INPUT_TYPES,
        probe: Probe = no_probe,
    ) -> None:
        self._home = home
        self._config = config
        self._clock = clock or SystemClock()
        self._agents = agents
        self._types = types
        self._probe = probe
        self._ends = AsyncExitStack()
        self.url = ""

    async def start(self) -> str:
        """Serve, then take up the work of the last run; return the address.

        Raises:
            RegendError: the home or the address cannot be used; nothing is left running.
        """
        try:
            async with AsyncExitStack() as ends:
                await self._make(ends)
                await self._access.ensure_owner_token()
                self.url = await self._server.start(self._config.server.port)
                self._supervisor.start()
                self._services.start()
                await self._mesh.start()
                self._maintenance.start(self._streams.drop_revoked)
                self._tell()
                self._ends = ends.pop_all()
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            raise _no_room(self._home, error) from error
        return self.url

    async def stop(self) -> None:
        """End everything, losing nothing; a part that fails to end keeps no other from it."""
        await self._ends.aclose()

    async def _make(self, ends: AsyncExitStack) -> None:
        """Make every part and note how it ends: the last first."""
        home, config, clock = self._home, self._config, self._clock
        self._store = Store(home, self._probe)
        ends.callback(self._store.close)
        standing = await founding.look(self._store, home)
        self._metrics = Metrics()
        self._access = Access(self._store, home, clock)
        self._maintenance = Maintenance(self._store, clock, config.events)
        ends.push_async_callback(self._maintenance.stop)
        self._services = Services(self._store, home, config, clock, on_the_way)
        ends.push_async_callback(self._services.stop)
        self._supervisor = Supervisor(
            self._store,
            clock,
            config.jobs,
            boot=new_id(clock),
            programs={name: f"{module}:run" for name, module in self._agents.items()},
            services=self._services.table(),
            slots_dir=home.slots_dir,
            ended=self._services.attempt_ended,
            probe=self._probe,
        )
        ends.push_async_callback(self._supervisor.stop)
        self._jobs = Jobs(
            self._store, clock, config, self._supervisor, standing.identity.id.hex(), self._types
        )
        self._mesh = Mesh(
            self._store,
            home,
            config,
            clock,
            self._supervisor,
            self._services.importer,
            standing,
            self._require_able,
        )
        ends.push_async_callback(self._mesh.stop)
        self._hub = Hub(self._store, clock, self._metrics)
        self._server = self._make_server()
        ends.push_async_callback(self._server.stop)
        ends.callback(home.daemon_file.unlink, missing_ok=True)

    async def _require_able(self, type_name: str, model: str) -> None:
        """Check that this device can run such a job.

        Raises:
            Conflict: it has no agent for it.
            NotFound: the model is not here.
        """
        if type_name not in self._agents:
            raise Conflict(
                "no_program",
                f"This device has no agent for jobs of the type “{type_name}”.",
                hint="The device that runs it may have a newer regend: upgrade this one.",
            )
        kind = self._types.get(type_name)
        if kind is not None and kind.needs_model:
            await self._services.require_model_here(model)

    def _make_server(self) -> Server:
        config, clock, store = self._config, self._clock, self._store
        research = RateLimiter(
            clock, config.limits.research_per_minute, settings=str(self._home.config_file)
        )
        submissions = Submissions(self._jobs, research, self._services.require_model)
        requests = RateLimiter(clock, config.limits.requests_per_minute)
        guard = Guard(self._access, config.server, clock, requests, self._metrics)
        self._streams = Streams(
            StreamParts(store, clock, self._hub, self._jobs, self._access, submissions)
        )
        events = EventStream(store, self._jobs, self._access)
        calls = (
            JobCalls(self._jobs, events, submissions, Accounts(store, self._device_name)),
            ApprovalCalls(self._jobs, submissions),
            DeviceCalls(self._mesh, events),
            AccessCalls(
                store, self._access, self._streams, secure=bool(config.server.tls_certificate)
            ),
            StatusCalls(store, clock, self._metrics, self._refresh, self._maintenance.fault),
            *self._services.calls(self._jobs),
        )
        endpoints = [endpoint for group in calls for endpoint in group.endpoints()]
        return Server(
            config.server,
            guard,
            self._access,
            self._streams,
            endpoints,
            self._types,
            self._services.routes(),
        )

    def _device_name(self, device: bytes) -> str:
        """Return what a device is called, the beginning of its id where nobody knows."""
        network = self._mesh.network
        return (network and network.name_of(device)) or device.hex()[:8]

    def _refresh(self) -> None:
        """Bring the gauges up to date."""
        self._metrics.connections.set(len(self._hub))
        self._metrics.queued_writes.set(self._store.queued)
        self._metrics.running.set(self._supervisor.running)

    def _tell(self) -> None:
        """Write `daemon.json`, by which clients find this daemon."""
        told: dict[str, Any] = {
            "url": self.url,
            "pid": os.getpid(),
            "started_at": rfc3339(self._clock.wall_ms()),
            "version": __version__,
        }
        files.replace(self._home.daemon_file, json.dumps(told).encode())


def _no_room(home: Home, error: OSError) -> Busy:
    """Return the error for a start on a disk that is full."""
    file = Path(error.filename) if error.filename else home.data_dir
    return Busy(
        "disk_full",
        f"{file} cannot be written: the disk is full.",
        hint=f"Free some space where {file.parent} lies, then start again. Nothing was lost.",
        retry_after_s=5.0,
    )


def main(
    home: Home,
    host: str | None = None,
    port: int | None = None,
    log_level: str | None = None,
    *,
    agents: Mapping[str, str] = AGENTS,
    types: Mapping[str, InputType] = INPUT_TYPES,
    probe: Probe = no_probe,
) -> int:
    """Run the daemon until it is told to stop; return the exit code.

    Args:
        host: address to listen on; None means the configured one.
        port: port; 0 picks a free one, None means the configured one.
        log_level: a name of `logs.LEVELS`; None means the configured one.

    Raises:
        RegendError: it cannot start; nothing was changed.
    """
    os.umask(0o077)  # every file that this process creates is private to its owner
    config = load_config(home.config_file)
    server = replace(
        config.server,
        host=config.server.host if host is None else host,
        port=config.server.port if port is None else port,
    )
    config = replace(config, server=server)
    start_logging(log_level or config.log.level, as_json=config.log.json)
    _allow_many_files()
    daemon = Daemon(home, config, agents=agents, types=types, probe=probe)
    asyncio.run(_run(daemon))
    return 0


async def _run(daemon: Daemon) -> None:
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    if sys.platform == "win32":
        signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(asked.set))
    else:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, asked.set)
    try:
        url = await daemon.start()
        log.info("regend %s serves %s", __version__, url)
        await asked.wait()
        log.info("stopping")
    finally:
        await daemon.stop()


def _allow_many_files() -> None:
    """Raise the number of open files to what the system allows: each client is one."""
    if sys.platform == "win32":
        return
    import resource  # only where the system has it

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, 65536) if hard != resource.RLIM_INFINITY else 65536
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
