"""The lives of model hosts: started by need, lent slot by slot, watched, ended.

Invariants:
1. A slot belongs to at most one lease; those of a host that died belong to nobody.
2. A host that nobody uses ends after a while, and at once where somebody else needs its memory.
3. A host that holds far more memory than was planned for it is lent no more, and ends with its last
   lease; one that holds beyond all measure ends at once. Its jobs go on in the next.
4. After each lease that is given back the host is looked at: one that goes on computing for nobody,
   or gives no sign of itself while others wait, ends.
5. A lease is to blame for its host's death only if nobody else was on it, and nobody ended it for
   another reason. Where several were, the next host of that model is lent to one alone for a while,
   or until that one is done; each further such death doubles the while, so that whoever is to blame
   is found, and nobody else waits for long.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from regend import limits
from regend.clock import Clock, rfc3339
from regend.errors import Busy, RegendError
from regend.models import catalogue
from regend.models.hosting import HostProcess
from regend.models.lease import Lease
from regend.models.planning import HostPlan

log = logging.getLogger(__name__)


@dataclass
class Host:
    """A host and who uses it.

    Attributes:
        leases: by slot.
        owners: of the leases, by their ids.
        swollen: it holds far more memory than was planned for it.
        alone_s: how long its first user has it alone.
        one_at_a_time: its slots are lent to one user alone, now.
        excuse: whoever is on it is not to blame for its end.
        look: at it, after a lease was given back.
        trial: ends the time of one user alone.
    """

    process: HostProcess
    started_at: str
    leases: dict[int, Lease] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)
    idle_since_s: float = 0.0
    idle_timer: asyncio.TimerHandle | None = None
    swollen: bool = False
    alone_s: float = 0.0
    one_at_a_time: bool = False
    excuse: bool = False
    look: asyncio.TimerHandle | None = None
    trial: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        """Name of its model."""
        return self.process.plan.model.name

    @property
    def idle(self) -> bool:
        """Whether it serves and nobody uses it."""
        return self.process.ready and not self.leases

    def free_slot(self) -> int | None:
        """Return the lowest slot that may be lent; None where there is none."""
        if self.swollen or not self.process.ready or (self.one_at_a_time and self.leases):
            return None
        free = (slot for slot in range(self.process.plan.slots) if slot not in self.leases)
        return next(free, None)

    def lend(self, slot: int, owner: str) -> Lease:
        """Give a free slot away; the host is idle no more."""
        process, model = self.process, self.process.plan.model
        lease = Lease(
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
            sampling=catalogue.sampling_of(model.name),
        )
        self.leases[slot] = lease
        self.owners[lease.id] = owner
        self.stop_idling()
        return lease

    def take_back(self, lease: Lease) -> bool:
        """Free the slot of a lease; False where it is another's by now."""
        if self.leases.get(lease.slot) != lease:
            return False
        del self.leases[lease.slot]
        del self.owners[lease.id]
        return True

    def end(self, *, excuse: bool = True) -> None:
        """End it; `excuse`: for a reason that is not its present users'."""
        if not self.process.ending:
            self.excuse = excuse
        self.process.kill()

    def stop_idling(self) -> None:
        """Let it live, or be dead, without a timer."""
        if self.idle_timer is not None:
            self.idle_timer.cancel()
            self.idle_timer = None

    def to_dict(self) -> dict[str, Any]:
        """Return the host as a JSON object for `GET /models/running`."""
        plan = self.process.plan
        return {
            "name": self.name,
            "pid": self.process.pid,
            "state": "ready" if self.process.ready else "loading",
            "slots": plan.slots,
            "busy_slots": len(self.leases),
            "users": sorted(owner for owner in self.owners.values() if owner),
            "context_tokens": plan.context_tokens,
            "memory_bytes": plan.memory_bytes,
            "started_at": self.started_at,
        }


class Hosts:
    """The hosts of a daemon, at most one to a model. Belongs to one event loop.

    Args:
        idle_unload_s: how long one that nobody uses stays.
        changed: called when one became ready, is gone, or has a slot free again.
        failed: called with a model's name and the reason when its host could not be started.
    """

    def __init__(
        self,
        clock: Clock,
        idle_unload_s: float,
        changed: Callable[[], None],
        failed: Callable[[str, RegendError], None],
    ) -> None:
        self._clock = clock
        self._idle_unload_s = idle_unload_s
        self._changed = changed
        self._failed = failed
        self._hosts: dict[str, Host] = {}
        self._fatal: set[str] = set()  # ids of leases that are to blame, until they are given back
        self._alone_s: dict[str, float] = {}  # of models whose last host died under several
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def __iter__(self) -> Iterator[Host]:
        """Iterate over those that there are now."""
        return iter(list(self._hosts.values()))

    def get(self, model_name: str) -> Host | None:
        """Return the host of a model, which may still be loading; None where there is none."""
        return self._hosts.get(model_name)

    def of(self, lease: Lease) -> Host | None:
        """Return the living host of a lease; None for a connected server too."""
        host = self._hosts.get(lease.model)
        return host if host is not None and host.process.id == lease.host_id else None

    def start(self, plan: HostPlan) -> None:
        """Start a host; `changed` or `failed` tells what became of it."""
        process = HostProcess(plan, self._on_death)
        host = Host(process, rfc3339(self._clock.wall_ms()))
        host.alone_s = self._alone_s.get(host.name, 0.0)
        host.one_at_a_time = host.alone_s > 0
        self._hosts[host.name] = host
        self._spawn(self._live(host), f"host of {host.name}")

    def lend(self, host: Host, slot: int, owner: str) -> Lease:
        """Lend a free slot of a host."""
        if host.one_at_a_time and host.trial is None:
            loop = asyncio.get_running_loop()
            host.trial = loop.call_later(host.alone_s, self._lend_to_several, host)
        return host.lend(slot, owner)

    def _lend_to_several(self, host: Host) -> None:
        host.one_at_a_time = False
        self._changed()

    def release(self, lease: Lease) -> None:
        """Take a lease back; safe to repeat, and after its host died."""
        self._fatal.discard(lease.id)
        host = self.of(lease)
        if host is None or not host.take_back(lease):
            return
        if host.process.ready:
            host.one_at_a_time = False
        if not host.leases:
            self._start_idling(host)
        if host.look is None:
            loop = asyncio.get_running_loop()
            host.look = loop.call_later(limits.SLOT_STOP_S, self._look_after, host)
        self._changed()

    async def is_to_blame(self, lease: Lease) -> bool:
        """Tell whether a lease that broke off is the likely cause of it.

        True also where its host lives on: then it was this answer alone that broke off.
        """
        host = self.of(lease)
        if not lease.host_id:
            return True
        if host is not None:
            if await host.process.answers():
                return True
            host.end(excuse=False)
            await host.process.wait()
        return lease.id in self._fatal

    def make_room(self, missing_bytes: int) -> None:
        """End idle hosts, longest idle first, until so much memory comes free or none is left.

        Those that are ending already count: it may be called again before they are gone.
        """
        missing_bytes -= sum(host.process.plan.memory_bytes for host in self if host.process.ending)
        idle = [host for host in self if host.idle]
        for host in sorted(idle, key=lambda host: host.idle_since_s):
            if missing_bytes <= 0:
                break
            host.end()  # `changed` tells when it is gone
            missing_bytes -= host.process.plan.memory_bytes

    async def end(self, model_name: str) -> None:
        """End the host of a model whoever uses it, and wait until it is gone."""
        host = self.get(model_name)
        if host is not None:
            host.end()
            await host.process.wait()

    async def close(self) -> None:
        """End all hosts; returns when nothing of them runs."""
        self._closed = True
        for host in self:
            host.process.kill()
        for host in self:
            await host.process.wait()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _live(self, host: Host) -> None:
        """Bring a host up, and keep an eye on it until it is gone."""
        try:
            await host.process.start()
        except (RegendError, OSError) as error:
            reason = error if isinstance(error, RegendError) else _cannot_start(host.name, error)
            self._failed(host.name, reason)
            await host.process.wait()
            self._forget(host)
            self._changed()
            return
        if self._closed:
            host.process.kill()
        self._start_idling(host)
        self._changed()
        while host.process.alive:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(limits.HOST_MEMORY_LOOK_S):
                    await host.process.wait()
            self._weigh(host)

    def _weigh(self, host: Host) -> None:
        """See to it that a host which leaks does not take the machine's memory."""
        planned, held = host.process.plan.memory_bytes, host.process.held_bytes()
        if held > planned * limits.HOST_MEMORY_MOST:
            self._say_swollen(host, held, "it ends at once")
            host.end(excuse=False)
        elif held > planned * limits.HOST_MEMORY_MUCH + limits.HOST_MEMORY_MARGIN_BYTES:
            if not host.swollen:
                self._say_swollen(host, held, "it ends when nobody uses it")
            host.swollen = True
            if not host.leases:
                host.process.kill()

    def _say_swollen(self, host: Host, held_bytes: int, fate: str) -> None:
        held, planned = held_bytes // limits.MIB, host.process.plan.memory_bytes // limits.MIB
        log.warning("model host of %s holds %d MB of %d: %s", host.name, held, planned, fate)

    def _start_idling(self, host: Host) -> None:
        host.idle_since_s = self._clock.monotonic_s()
        wait_s = 0.0 if host.swollen else self._idle_unload_s
        host.idle_timer = asyncio.get_running_loop().call_later(wait_s, self._unload, host)

    def _unload(self, host: Host) -> None:
        if not host.leases:
            host.process.kill()

    def _look_after(self, host: Host) -> None:
        host.look = None
        if host.process.ready and not self._closed:
            self._spawn(self._end_if_stuck(host), f"look after {host.name}")

    async def _end_if_stuck(self, host: Host) -> None:
        """End a host whose work for one who left holds it, so that others can go on.

        Alone, it may finish a batch and no more. Where others use it, it may be in a long batch of
        theirs; but between two batches it answers.
        """
        deadline_s = self._clock.monotonic_s() + limits.HOST_SILENT_S
        while host.process.ready and (computes := await host.process.computes()) is not False:
            if not host.leases:  # nobody came while we asked
                log.warning("model host of %s computes for nobody: it ends", host.name)
                host.end()
            elif computes:
                return
            elif self._clock.monotonic_s() > deadline_s:
                log.warning("model host of %s gives no sign of itself: it ends", host.name)
                host.end()
            else:
                await asyncio.sleep(limits.SLOT_STOP_S)

    def _on_death(self, process: HostProcess) -> None:
        host = self._hosts.get(process.plan.model.name)
        if host is None or host.process is not process or not process.served:
            return  # one that never served is `_live`'s to settle
        self._forget(host)
        alone_s = self._alone_s.pop(host.name, 0.0)
        if len(host.leases) == 1 and not host.excuse:
            self._fatal |= {lease.id for lease in host.leases.values()}
        elif len(host.leases) > 1 and not host.excuse:
            self._alone_s[host.name] = max(limits.HOST_ALONE_S, 2 * alone_s)
        if host.leases:
            log.warning(
                "model host of %s died with %d leases. %s",
                host.name,
                len(host.leases),
                process.last_words(),
            )
        self._changed()

    def _forget(self, host: Host) -> None:
        host.stop_idling()
        for timer in filter(None, (host.look, host.trial)):
            timer.cancel()
        if self._hosts.get(host.name) is host:
            del self._hosts[host.name]

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _cannot_start(name: str, error: OSError) -> Busy:
    return Busy(
        "model_host_not_started",
        f"The host of the model “{name}” cannot be started: {error.strerror or error}.",
        hint="The machine may be short of memory or of processes.",
    )
