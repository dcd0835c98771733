"""Shares the models of this device among all who want to generate: who gets a slot, and when.

Invariants:
1. Waiters are served by priority, higher first, then in order of arrival. One that waits for memory
   holds back those after it; one that waits for a slot of a busy model does not.
2. The estimated memory of all hosts stays within the budget; idle hosts make room, busy ones never.
3. When a host dies, its leases are lost, and the next who wants its model gets a new one.

Every change of state ends in `_settle`, which alone decides what happens next. How hosts live and
die is `hosts`'s to say.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import Any

from regend.clock import Clock
from regend.config import Config
from regend.errors import Busy, NotFound, RegendError
from regend.home import Home
from regend.models import catalogue, pull
from regend.models.catalogue import InstalledModel
from regend.models.hosts import Hosts
from regend.models.lease import Lease
from regend.models.planning import budget_bytes, plan_host
from regend.models.providers import Providers


@dataclass(order=True)
class _Waiter:
    rank: tuple[int, int]
    model: InstalledModel = field(compare=False)
    owner: str = field(compare=False)
    future: asyncio.Future[Lease] = field(compare=False)


class ModelPool:
    """Gives out leases of models. Belongs to one event loop.

    Args:
        providers: the connected servers; those of the configuration where not given.
    """

    def __init__(
        self, home: Home, config: Config, clock: Clock, *, providers: Providers | None = None
    ) -> None:
        self._home = home
        self._config = config.models
        self.providers = providers or Providers(config.models, clock)
        self._hosts = Hosts(clock, config.models.idle_unload_s, self._settle, self._refuse_waiters)
        self._waiters: list[_Waiter] = []
        self._order = itertools.count()
        self._closed = False
        for leftover in home.slots_dir.glob("*"):  # of an earlier daemon; no checkpoint names them
            leftover.unlink(missing_ok=True)

    async def require(self, model_name: str) -> None:
        """Check that somebody knows the model, though it may have to be pulled first.

        Raises:
            NotFound: `model_unknown`, `provider_unknown`, naming what there is.
        """
        if "/" in model_name:
            await self.providers.find(model_name)
        else:
            await asyncio.to_thread(catalogue.require, model_name, self._home)

    async def require_here(self, model_name: str) -> None:
        """Check that a model could be lent here; empty name means the default model.

        Raises:
            NotFound: `model_unknown`, `model_not_installed`, `provider_unknown`.
        """
        name = model_name or self._config.default
        if "/" in name:
            await self.providers.find(name)
        else:
            await asyncio.to_thread(self._installed, name)

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
            provider, model_there = await self.providers.find(name)
            self._refuse_if_closed()
            return provider.lease(model_there)
        model = self._installed(name)
        rank = (-priority, next(self._order))  # now: who came first may be checked last
        await pull.verify(model)
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
                self._settle()  # it may have held others back

    async def _answers(self, lease: Lease) -> bool:
        """Return whether the host serves; a worker may learn of its death before we do."""
        host = self._hosts.of(lease)
        try:
            if host is not None and await host.process.answers():
                return True
        except asyncio.CancelledError:
            self.release(lease)
            raise
        if host is not None:
            host.end(excuse=False)
        self.release(lease)
        return False

    def release(self, lease: Lease) -> None:
        """Give a lease back; safe to repeat, and after its host died.

        A closed stream ends decoding at once and a prefill at its next batch. A host that is busy
        for nobody after `limits.SLOT_STOP_S`, or silent for `limits.HOST_SILENT_S` while others
        use it, is ended.
        """
        self._hosts.release(lease)

    async def is_to_blame(self, lease: Lease) -> bool:
        """Tell whether a lease that broke off, and is not given back yet, is the likely cause."""
        return await self._hosts.is_to_blame(lease)

    def running(self) -> list[dict[str, Any]]:
        """Return the hosts as JSON objects for `GET /models/running`."""
        return [host.to_dict() for host in self._hosts]

    async def listing(self) -> list[dict[str, Any]]:
        """Return all models, of this device and connected servers, for `GET /models`."""
        own = await asyncio.to_thread(catalogue.listing, self._home)
        return own + await self.providers.listing()

    async def unload(self, model_name: str) -> None:
        """End the host of a model, as before its file is deleted; leases of it are lost."""
        await self._hosts.end(model_name)

    async def close(self) -> None:
        """End all hosts and refuse all waiters; returns when nothing of the pool runs."""
        self._closed = True
        for waiter in self._waiters:
            if not waiter.future.done():
                waiter.future.set_exception(_closing())
        await self._hosts.close()

    def _installed(self, name: str) -> InstalledModel:
        model = catalogue.find_installed(name, self._home)
        if model is None:
            catalogue.require(name, self._home)
            raise NotFound(
                "model_not_installed",
                f"The model “{name}” is not on this device yet.",
                hint=f"Fetch it with: regend models pull {name}",
                field="model",
            )
        return model

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
                waiter.future.set_result(self._hosts.lend(host, slot, waiter.owner))
            return True
        plan = plan_host(waiter.model, self._config, self._home.slots_dir)
        used = sum(host.process.plan.memory_bytes for host in self._hosts)
        missing = used + plan.memory_bytes - budget_bytes(self._config)
        if missing > 0:
            self._hosts.make_room(missing)
            return False
        self._hosts.start(plan)
        return True

    def _refuse_waiters(self, model_name: str, reason: RegendError) -> None:
        for waiter in self._waiters:
            if waiter.model.name == model_name and not waiter.future.done():
                waiter.future.set_exception(reason)


def _closing() -> Busy:
    return Busy("models_closing", "The daemon is going down.", hint="Try again when it is back.")
