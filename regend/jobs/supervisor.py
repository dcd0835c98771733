"""Runs jobs: claims what may run, gives each a worker, settles what comes of it.

It holds no truth of its own: who may run is in the store, and after its death the next supervisor
finds everything there. In memory are only the attempts under way and the back-off of failed jobs.

Invariants
1. At most `concurrency` attempts at a time; each holds its job by a fence.
2. An attempt is settled only after its worker's death is confirmed.
3. Nothing here waits for a job: every wait has a task of its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sqlite3
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from regend.clock import Clock
from regend.config import JobsConfig
from regend.errors import RegendError
from regend.jobs import handover, repository, settlement
from regend.jobs.attempt import Attempt, Service
from regend.jobs.ending import about, broken, conclude
from regend.jobs.lifecycle import Outcome
from regend.jobs.process import WarmWorkers, WorkerProcess, end
from regend.jobs.repository import Claim, Fenced
from regend.jobs.retry import delay_s
from regend.store import Store
from regend.store.patience import patiently
from regend.store.writer import Operation, Probe, no_probe

T = TypeVar("T")

log = logging.getLogger("regend.jobs")

_RECOVERY_PAGE = 500
_WATCH_INTERVAL_S = 1.0
_SHUTDOWN_S = 3.0
_STORE_RETRY_S = 1.0
_START_RETRY_S = 1.0  # a machine out of processes or memory
_WARM_AFTER_S = 1.0


class Supervisor:
    """The one runner of a daemon's jobs.

    Args:
        programs: `module:function` of each job type's agent.
        services: what workers may call.
        ended: called with each attempt that ended, to free what it held.
        environment: of the workers.
        probe: called at the points where a crash is worth testing.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        config: JobsConfig,
        *,
        boot: str,
        programs: Mapping[str, str],
        services: Mapping[str, Service],
        slots_dir: Path,
        ended: Callable[[Attempt], None] = lambda _attempt: None,
        environment: Mapping[str, str] | None = None,
        probe: Probe = no_probe,
    ) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self._boot = boot
        self._programs = programs
        self._services = services
        self._slots_dir = slots_dir
        self._ended = ended
        self._probe = probe
        self._environment = dict(os.environ if environment is None else environment)
        self._attempts: dict[int, Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._warm = WarmWorkers(self._start_worker)
        self._wake = asyncio.Event()
        self._stopping = False
        self._loops: list[asyncio.Task[None]] = []
        self.recovered = asyncio.Event()

    @property
    def running(self) -> int:
        """Attempts under way."""
        return len(self._attempts)

    def start(self) -> None:
        """Begin to recover, to claim and to watch."""
        self._store.bell.listen(self._wake.set)
        self._warm.prepare()
        self._loops = [
            asyncio.create_task(self._claim_loop(), name="claim"),
            asyncio.create_task(self._watch_loop(), name="watch"),
        ]

    async def stop(self) -> None:
        """Let attempts reach a checkpoint for a moment, then end them; their jobs stay queued."""
        self._stopping = True
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        for attempt in list(self._attempts.values()):
            attempt.stop("shutdown")
        attempts = [task for task in self._tasks if task.get_name().startswith("attempt")]
        if attempts:
            await asyncio.wait(attempts, timeout=_SHUTDOWN_S)
        for attempt in list(self._attempts.values()):
            attempt.give_up("The daemon stopped.")
        if attempts:
            await asyncio.wait(attempts, timeout=_SHUTDOWN_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._warm.close()

    def tell(self, job: int, desired: str) -> None:
        """Pass a stored wish to the attempt under way, if there is one."""
        attempt = self._attempts.get(job)
        if attempt is not None and desired in ("pause", "cancel"):
            attempt.stop(desired)

    def release(self, job: int) -> None:
        """Let a job's attempt stop at its next checkpoint: the job goes to another device."""
        attempt = self._attempts.get(job)
        if attempt is not None:
            attempt.stop("shutdown")

    def end_lost(self) -> None:
        """End the attempts whose jobs went on elsewhere; their writes are refused already."""
        with self._store.reading() as connection:
            for job, attempt in list(self._attempts.items()):
                if not repository.is_held(connection, job, attempt.claim.fence):
                    attempt.give_up("The job went on on another device.")

    def _prepare(self) -> None:
        if not self._stopping:
            self._warm.prepare()

    def _start_worker(self) -> asyncio.Future[WorkerProcess]:
        return asyncio.ensure_future(WorkerProcess.start(self._environment))

    async def _claim_loop(self) -> None:
        await self._recover()
        while True:
            self._wake.clear()
            while len(self._attempts) < self._config.concurrency:
                claim = await self._claim()
                if claim is None:
                    break
                self._begin(claim)
            await self._wake.wait()

    async def _recover(self) -> None:
        """Requeue, in pages, what an earlier run of the daemon left running."""
        total = 0
        while moved := await self._write(self._requeue):
            total += moved
        await self._write(repository.release_all_held)
        if total:
            log.info("requeued %d jobs of the last run", total)
        self.recovered.set()

    def _requeue(self, connection: sqlite3.Connection) -> int:
        deaths, at_ms = self._config.max_worker_deaths, self._clock.wall_ms()
        handover.stay(connection)
        return settlement.requeue_orphans(connection, self._boot, _RECOVERY_PAGE, deaths, at_ms)

    async def _claim(self) -> Claim | None:
        at_ms = self._clock.wall_ms()
        try:
            with self._store.reading() as connection:
                if not repository.any_ready(connection):
                    return None  # every commit wakes the claim loop; most bring no job
            return await self._store.write(
                lambda connection: repository.claim(connection, self._boot, at_ms)
            )
        except (RegendError, sqlite3.Error) as error:
            log.warning("cannot claim: %s", error)
            asyncio.get_running_loop().call_later(_STORE_RETRY_S, self._wake.set)
            return None

    def _begin(self, claim: Claim) -> None:
        attempt = Attempt(
            claim,
            self._programs.get(claim.type, ""),
            self._store,
            self._clock,
            self._services,
            self._slots_dir,
        )
        self._probe("attempt:claimed")
        self._attempts[claim.job] = attempt
        self._spawn(self._run(attempt), f"attempt-{claim.id}")

    async def _run(self, attempt: Attempt) -> None:
        """Take one attempt from its claim to its settlement."""
        claim = attempt.claim
        try:
            worker = await self._worker(attempt)
            # The next worker is started once this one has had the processor for its beginning.
            asyncio.get_running_loop().call_later(_WARM_AFTER_S, self._prepare)
            outcome = Outcome("released") if worker is None else await attempt.run(worker)
        except Fenced:
            log.warning("the job went on elsewhere; its attempt was ended", extra=about(claim))
            return
        except Exception as error:
            # The outermost loop of a job: whatever broke, the job must not stay without an owner.
            log.exception("the attempt broke", extra=about(claim))
            outcome = Outcome("died", error=broken(error))
        finally:
            self._ended(attempt)
            self._prepare()
            if self._attempts.get(claim.job) is attempt:
                del self._attempts[claim.job]
            self._wake.set()
        if self._stopping and outcome.kind in ("died", "released"):
            outcome = Outcome("orphaned")
        self._probe("attempt:ended")
        await self._settle(attempt, outcome)
        self._probe("attempt:settled")

    async def _worker(self, attempt: Attempt) -> WorkerProcess | None:
        """Return a worker for an attempt; None where it is asked to end before there is one.

        A machine that can start none is waited for: that is no fault of the job.
        """
        while not attempt.stopped.is_set():
            taking = asyncio.create_task(self._warm.take())
            stopped = asyncio.create_task(attempt.stopped.wait())
            await asyncio.wait({taking, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if not taking.done():
                self._spawn(end(taking), "unused-worker")
                return None
            try:
                return taking.result()
            except OSError as error:
                log.warning("no worker can be started: %s", error)
                await asyncio.sleep(_START_RETRY_S)
        return None

    async def _settle(self, attempt: Attempt, outcome: Outcome) -> None:
        """Record what becomes of the job, and when it may be tried again."""
        job, deaths = attempt.claim.job, self._config.max_worker_deaths
        decided = await conclude(self._store, attempt, outcome, deaths, self._clock.wall_ms())
        if decided is not None and decided.backoff and decided.state == "created":
            tries = decided.failures + decided.deaths
            self._spawn(self._release_later(job, delay_s(tries, random.random())), "backoff")

    async def _release_later(self, job: int, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        await self._write(lambda connection: repository.release_held(connection, job))

    async def _write(self, operation: Operation[T]) -> T:
        return await patiently(lambda: self._store.write(operation))

    async def _watch_loop(self) -> None:
        """Kill workers of which nothing is heard any more."""
        while True:
            await asyncio.sleep(_WATCH_INTERVAL_S)
            for attempt in list(self._attempts.values()):
                if attempt.is_hung(self._config.heartbeat_timeout_s):
                    log.warning("the worker is silent; it is ended", extra=about(attempt.claim))
                    attempt.give_up("it was silent for too long")

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
