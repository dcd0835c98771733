"""Shares the models of this device among all who want to generate: slots, memory, lives of hosts.

Invariants:
1. A slot belongs to at most one lease.
2. Waiters are served by priority, higher first, then in order of arrival. One that waits for memory
   holds back those after it; one that waits for a slot of a busy model does not.
3. The estimated memory of all hosts stays within the budget; idle hosts make room, longest idle
   first, busy ones never.
4. When a host dies, its leases are lost at once, and the next who wants its model gets a new one.

Every change of state ends in `_settle`, which alone decides what happens next.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from regend import limits
from regend.clock import Clock, rfc3339
from regend.config import Config, Home
from regend.errors import Busy, NotFound, RegendError
from regend.models import catalogue, pull
from regend.models.catalogue import InstalledModel
from regend.models.hosting import HostProcess
from regend.models.lease import Lease
from regend.models.planning import HostPlan, budget_bytes, plan_host
from regend.models.providers import CAPABILITIES, Provider, Providers

log = logging.getLogger(__name__)


@dataclass(order=True)
class _Waiter:
    rank: tuple[int, int]
    model: InstalledModel = field(compare=False)
    owner: str = field(compare=False)
    future: asyncio.Future[Lease] = field(compare=False)


@dataclass
class _Host:
    """A host and who uses it."""

    process: HostProcess
    started_at: str
    leases: dict[int, Lease] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    idle_since_s: float = 0.0
    idle_timer: asyncio.TimerHandle | None = None

    def free_slot(self) -> int | None:
        """Return the lowest free slot of a host that serves; None where there is none."""
        if not self.process.ready:
            return None
        free = (slot for slot in range(self.process.plan.slots) if slot not in self.leases)
        return next(free, None)


class ModelPool:
    """Gives out leases of models, starts and ends their hosts. Belongs to one event loop.

    Args:
        on_lost: called with each lease whose host died while it was held.
        providers: the connected servers; those of the configuration where not given.
    """

    def __init__(
        self,
        home: Home,
        config: Config,
        clock: Clock,
        *,
        on_lost: Callable[[Lease], None] | None = None,
        providers: Providers | None = None,
    ) -> None:
        self._home = home
        self._config = config.models
        self._clock = clock
        self.on_lost = on_lost
        self.providers = providers or Providers(config.models, clock)
        self._hosts: dict[str, _Host] = {}
        self._waiters: list[_Waiter] = []
        self._held: set[str] = set()
        self._order = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        for leftover in home.slots_dir.glob("*"):  # of an earlier daemon; no checkpoint names them
            leftover.unlink(missing_ok=True)

    # Leases

    async def acquire(self, model_name: str, *, priority: int = 0, owner: str = "") -> Lease:
        """Return a lease of the model, waiting for a slot; empty name means the default model.

        Args:
            model_name: a catalogue name, or `provider/name` of a connected server.
            priority: higher is served first.
            owner: whom `running` names as the user, such as a job id.

        Raises:
            NotFound: `model_unknown`, `model_not_installed`, `provider_unknown`.
            Refused: `model_tampered`, `model_too_large`.
            Failed, Retryable: the host could not be started.
            Busy: `models_closing`.
        """
        name = model_name or self._config.default
        if "/" in name:
            return await self._lease_of_provider(name)
        model = self._installed(name)
        await pull.verify(model)
        rank = (-priority, next(self._order))
        while True:
            self._refuse_if_closed()
            lease = await self._wait_in_line(model, rank, owner)
            if await self._answers(lease):
                return lease

    async def _wait_in_line(
        self, model: InstalledModel, rank: tuple[int, int], owner: str
    ) -> Lease:
        future: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        waiter = _Waiter(rank, model, owner, future)
        self._waiters.append(waiter)
        self._waiters.sort()
        self._settle()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.release(future.result())
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    async def _answers(self, lease: Lease) -> bool:
        """Return whether the host serves; a worker may learn of its death before we do."""
        try:
            health = await _exchange(lease.url, "GET /health HTTP/1.0\r\n\r\n")
            if b" 200 " in health[:15]:
                return True
        except asyncio.CancelledError:
            self.release(lease)
            raise
        host = self._host_of(lease)
        if host is not None:
            host.process.kill()
        self.release(lease)
        return False

    def release(self, lease: Lease) -> None:
        """Give a lease back; safe to repeat, and after its host died."""
        self._held.discard(lease.id)
        host = self._host_of(lease)
        if host is None or host.leases.get(lease.slot) != lease:
            return
        del host.leases[lease.slot]
        del host.owners[lease.id]
        if not host.leases:
            self._start_idling(host)
        self._settle()

    def is_lost(self, lease: Lease) -> bool:
        """Return whether the lease is no longer good: released, or its host died."""
        return lease.id not in self._held

    def interrupt(self, lease: Lease) -> None:
        """See to it that a slot stops whose user was cancelled; call before or after `release`.

        A closed stream ends decoding at once and a prefill at its next batch. A host that is still
        busy after `limits.SLOT_STOP_S`, with nobody else on it, is killed.
        """
        host = self._host_of(lease)
        if host is not None:
            loop = asyncio.get_running_loop()
            loop.call_later(limits.SLOT_STOP_S, self._look_after, host)

    def _look_after(self, host: _Host) -> None:
        if host.process.ready and not self._closed:
            self._spawn(self._kill_if_stuck(host), f"look after {host.process.plan.model.name}")

    async def _kill_if_stuck(self, host: _Host) -> None:
        stuck = not host.leases and not await self._is_idle(host.process)
        if stuck and not host.leases:  # nobody came while we asked
            host.process.kill()

    async def _is_idle(self, process: HostProcess) -> bool:
        """Return whether no slot computes; a host deep in a batch does not even answer."""
        request = (
            f"GET /slots HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {process.api_key}"
        )
        answer = await _exchange(process.url, request + "\r\nConnection: close\r\n\r\n")
        return b" 200 " in answer[:15] and b'"is_processing":true' not in answer

    def running(self) -> list[dict[str, Any]]:
        """Return the hosts as JSON objects for `GET /models/running`."""
        return [
            {
                "name": name,
                "pid": host.process.pid,
                "state": "ready" if host.process.ready else "loading",
                "slots": host.process.plan.slots,
                "busy_slots": len(host.leases),
                "users": sorted(owner for owner in host.owners.values() if owner),
                "context_tokens": host.process.plan.context_tokens,
                "memory_bytes": host.process.plan.memory_bytes,
                "started_at": host.started_at,
            }
            for name, host in self._hosts.items()
        ]

    async def listing(self) -> list[dict[str, Any]]:
        """Return all models, of this device and connected servers, for `GET /models`."""
        own = await asyncio.to_thread(catalogue.listing, self._home)
        return own + await self.providers.listing()

    async def unload(self, model_name: str) -> None:
        """End the host of a model, as before its file is deleted; leases of it are lost."""
        host = self._hosts.get(model_name)
        if host is not None:
            host.process.kill()
            await host.process.wait()

    async def close(self) -> None:
        """End all hosts and refuse all waiters; returns when nothing of the pool runs."""
        self._closed = True
        for waiter in self._waiters:
            if not waiter.future.done():
                waiter.future.set_exception(_closing())
        for host in list(self._hosts.values()):
            host.process.kill()
        for host in list(self._hosts.values()):
            await host.process.wait()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # Models

    def _installed(self, name: str) -> InstalledModel:
        model = catalogue.find_installed(name, self._home)
        if model is None:
            catalogue.resolve(name, self._home)  # raises where nobody knows the name
            raise NotFound(
                "model_not_installed",
                f"The model “{name}” is not on this device yet.",
                hint=f"Fetch it with: regend models pull {name}",
                field="model",
            )
        return model

    async def _lease_of_provider(self, name: str) -> Lease:
        provider, model = await self.providers.find(name)
        self._refuse_if_closed()
        lease = _lease_at_server(provider, model)
        self._held.add(lease.id)
        return lease

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise _closing()

    # Decisions

    def _settle(self) -> None:
        """Serve whom it can, in order; the one place where decisions are made."""
        for waiter in list(self._waiters):
            if self._closed:
                return
            if waiter.future.done():
                self._waiters.remove(waiter)
                continue
            try:
                if not self._serve(waiter):
                    return
            except RegendError as error:
                self._waiters.remove(waiter)
                waiter.future.set_exception(error)

    def _serve(self, waiter: _Waiter) -> bool:
        """Do what can be done for a waiter; return whether those after it may be served."""
        host = self._hosts.get(waiter.model.name)
        if host is not None:
            slot = host.free_slot()
            if slot is not None:
                self._waiters.remove(waiter)
                waiter.future.set_result(self._lend(host, slot, waiter.owner))
            return True
        plan = plan_host(waiter.model, self._config, self._home.slots_dir)
        if not self._make_room(plan.memory_bytes):
            return False
        self._start(plan)
        return True

    def _make_room(self, needed_bytes: int) -> bool:
        """End idle hosts until the memory suffices; return whether it does already."""
        used = sum(host.process.plan.memory_bytes for host in self._hosts.values())
        excess = used + needed_bytes - budget_bytes(self._config)
        if excess <= 0:
            return True
        idle = [host for host in self._hosts.values() if host.process.ready and not host.leases]
        for host in sorted(idle, key=lambda host: host.idle_since_s):
            if excess <= 0:
                break
            host.process.kill()  # its death settles again
            excess -= host.process.plan.memory_bytes
        return False

    def _lend(self, host: _Host, slot: int, owner: str) -> Lease:
        lease = _lease_of_slot(host.process, slot)
        host.leases[slot] = lease
        host.owners[lease.id] = owner
        self._held.add(lease.id)
        if host.idle_timer is not None:
            host.idle_timer.cancel()
            host.idle_timer = None
        return lease

    # Lives of hosts

    def _start(self, plan: HostPlan) -> None:
        process = HostProcess(plan, self._on_death)
        host = _Host(process, rfc3339(self._clock.wall_ms()))
        self._hosts[plan.model.name] = host
        self._spawn(self._bring_up(host), f"load {plan.model.name}")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _bring_up(self, host: _Host) -> None:
        name = host.process.plan.model.name
        try:
            await host.process.start()
        except (RegendError, OSError) as error:
            reason = error if isinstance(error, RegendError) else _cannot_start(name, error)
            self._refuse_waiters(name, reason)
            await host.process.wait()
            self._forget(host)
        else:
            if self._closed:
                host.process.kill()
                await host.process.wait()
            else:
                self._start_idling(host)
        self._settle()

    def _refuse_waiters(self, name: str, reason: RegendError) -> None:
        for waiter in self._waiters:
            if waiter.model.name == name and not waiter.future.done():
                waiter.future.set_exception(reason)

    def _start_idling(self, host: _Host) -> None:
        host.idle_since_s = self._clock.monotonic_s()
        loop = asyncio.get_running_loop()
        host.idle_timer = loop.call_later(self._config.idle_unload_s, self._unload_idle, host)

    def _unload_idle(self, host: _Host) -> None:
        if not host.leases:
            host.process.kill()

    def _on_death(self, process: HostProcess) -> None:
        host = self._hosts.get(process.plan.model.name)
        if host is None or host.process is not process or not process.served:
            return  # one that never served is `_bring_up`'s to settle
        lost = list(host.leases.values())
        self._forget(host)
        for lease in lost:
            self._held.discard(lease.id)
            if self.on_lost is not None:
                self.on_lost(lease)
        if lost:
            log.warning(
                "model host of %s died with %d leases. %s",
                process.plan.model.name,
                len(lost),
                process.last_words(),
            )
        self._settle()

    def _forget(self, host: _Host) -> None:
        if host.idle_timer is not None:
            host.idle_timer.cancel()
        name = host.process.plan.model.name
        if self._hosts.get(name) is host:
            del self._hosts[name]

    def _host_of(self, lease: Lease) -> _Host | None:
        host = self._hosts.get(lease.model)
        return host if host is not None and host.process.id == lease.host_id else None


def _lease_of_slot(process: HostProcess, slot: int) -> Lease:
    model = process.plan.model
    return Lease(
        id=secrets.token_hex(8),
        kind="embedded",
        model=model.name,
        url=process.url,
        api_key=process.api_key,
        slot=slot,
        context_tokens=process.plan.context_tokens,
        digest=model.sha256,
        build=process.build,
        machine=process.machine,
        slots_dir=str(process.plan.slots_dir),
        capabilities=model.capabilities,
        host_id=process.id,
        quality=model.quality,
    )


def _lease_at_server(provider: Provider, model: str) -> Lease:
    return Lease(
        id=secrets.token_hex(8),
        kind="openai",
        model=model,
        url=provider.url,
        api_key=provider.api_key,
        slot=-1,
        context_tokens=0,
        digest="",
        build="",
        machine="",
        slots_dir="",
        capabilities=CAPABILITIES,
        host_id="",
        quality="medium",
    )


async def _exchange(url: str, request: str) -> bytes:
    """Send a request to a host and return the beginning of its answer; empty where none comes."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(limits.HOST_CONNECT_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            with contextlib.closing(writer):
                writer.write(request.encode())
                return await reader.read(limits.HOST_ANSWER_BYTES)
    except (OSError, TimeoutError):
        return b""


def _closing() -> Busy:
    return Busy("models_closing", "The daemon is going down.", hint="Try again when it is back.")


def _cannot_start(name: str, error: OSError) -> Busy:
    return Busy(
        "model_host_not_started",
        f"The host of the model “{name}” cannot be started: {error.strerror or error}.",
        hint="The machine may be short of memory or of processes.",
    )
