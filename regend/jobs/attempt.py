"""One attempt at a job: a worker is given the job and what was done before, and is listened to.

The worker decides nothing that its death could lose: whatever it finishes is durable before it is
told so. The attempt ends in an `Outcome`; what becomes of the job is `lifecycle.settle`'s to say.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from regend import events
from regend.clock import Clock
from regend.errors import RegendError
from regend.jobs import briefing, ops, reports
from regend.jobs.conversation import Conversation
from regend.jobs.history import Draft
from regend.jobs.lifecycle import Outcome
from regend.jobs.outbox import Outbox
from regend.jobs.process import WorkerProcess
from regend.jobs.repository import Claim, Fenced
from regend.jsontext import dumps
from regend.limits import CANCEL_KILL_S, CANCEL_TERMINATE_S
from regend.store import Store, changelog
from regend.store.blobs import Lost

_SLEPT_S = 5.0  # between two looks: the machine or this process slept, and heard nobody
Service = Callable[["Attempt", dict[str, Any]], Awaitable[Any]]


class Attempt:
    """Runs one claimed job in one worker.

    Args:
        program: `module:function` of the agent, for the worker.
        services: what the worker may call by name; each gets the attempt and the arguments.
        slots_dir: where model hosts save their state before it becomes a blob.
    """

    def __init__(
        self,
        claim: Claim,
        program: str,
        store: Store,
        clock: Clock,
        services: Mapping[str, Service],
        slots_dir: Path,
    ) -> None:
        self.claim = claim
        self.outbox = Outbox(store, claim, clock)
        self.stopped = asyncio.Event()
        self._program = program
        self._store = store
        self._clock = clock
        self._services = services
        self._slots_dir = slots_dir
        self._talk: Conversation | None = None
        self._stop_reason: str | None = None
        self._last_sign_s = self._looked_s = clock.monotonic_s()
        self._why_killed = ""

    async def run(self, worker: WorkerProcess) -> Outcome:
        """Give the job to the worker and listen until the worker is dead.

        Raises:
            Fenced: the job went on elsewhere; the worker is dead and nothing more was written.
        """
        talk = self._talk = self._conversation(worker)
        outcome: Outcome | None = None
        fault = ""
        try:
            outcome = await self._listen(talk)
        except Fenced:
            raise
        except RegendError as error:
            fault = error.message
        finally:
            await talk.close()
            worker.kill()
            death = await worker.death()
            self.outbox.close()
        return outcome or reports.died(fault or self._why_killed or death)

    def stop(self, reason: str) -> None:
        """Ask the attempt to end: `pause` and `shutdown` at the next checkpoint, `cancel` now."""
        if self.cancelled:
            return
        self._stop_reason = reason
        self.stopped.set()
        if self._talk is not None:
            self._talk.beside(self._talk.send({"op": "stop", "reason": reason}))
            if reason == "cancel":
                self._talk.beside(_insist(self._talk.worker))

    @property
    def cancelled(self) -> bool:
        """Whether a person asked it to end at once."""
        return self._stop_reason == "cancel"

    def is_hung(self, timeout_s: float) -> bool:
        """Tell whether nothing was heard from the worker for that long; asked every second."""
        now_s, looked_s = self._clock.monotonic_s(), self._looked_s
        self._looked_s = now_s
        if now_s - looked_s > _SLEPT_S:
            self._last_sign_s = now_s
        return now_s - self._last_sign_s > timeout_s and not self.outbox.stalled

    def give_up(self, why: str) -> None:
        """Kill the worker; the attempt then ends as `died`, for this reason."""
        self._why_killed = why
        if self._talk is not None:
            self._talk.worker.kill()

    def show(self, type_name: str, payload: dict[str, Any]) -> None:
        """Show an event on behalf of a service."""
        self.outbox.add(Draft(type_name, dumps(payload)))

    def show_progress(self, percent: float, step: str) -> None:
        """Show how far the job is, on behalf of a service."""
        self.outbox.set_progress(percent, step)
        self.show(events.JOB_PROGRESS, {"progress": percent, "step": step})

    def _conversation(self, worker: WorkerProcess) -> Conversation:
        return Conversation(
            self.claim,
            worker,
            self._store,
            self._clock,
            self.outbox,
            {name: partial(service, self) for name, service in self._services.items()},
            self._slots_dir,
            self.give_up,
        )

    async def _listen(self, talk: Conversation) -> Outcome | None:
        """Tell the worker what to do and take what it says; None where it dies in the middle."""
        try:
            begin = await briefing.begin(self.claim, self._program, self._store)
        except Lost as lost:
            if not await self._store.query(_knows_others):
                raise
            await asyncio.to_thread(self._store.blobs.set_aside, lost.digest)
            return Outcome("released", error=lost.to_dict(), lacks=lost.digest)
        if self._stop_reason is not None:
            return Outcome("released")  # it has done nothing yet
        await talk.send(begin)
        async for frame in talk.worker.frames():
            self._last_sign_s = self._clock.monotonic_s()
            asked_to_stop = self._stop_reason is not None
            outcome = await ops.take(talk, frame, asked_to_stop=asked_to_stop)
            if outcome is not None:
                return outcome
            self._last_sign_s = self._clock.monotonic_s()
        return None


def _knows_others(connection: sqlite3.Connection) -> bool:
    """Tell whether another device may have what is lost here."""
    own = changelog.current(connection)
    if own is None:
        return False
    others = connection.execute("SELECT 1 FROM logs WHERE device <> ? LIMIT 1", (own.device,))
    return others.fetchone() is not None


async def _insist(worker: WorkerProcess) -> None:
    """End a worker that does not end when asked: TERM, then KILL."""
    await asyncio.sleep(CANCEL_TERMINATE_S)
    worker.terminate()
    await asyncio.sleep(CANCEL_KILL_S - CANCEL_TERMINATE_S)
    worker.kill()
