"""One attempt at a job: a worker is given the job and what was done before, and is listened to.

The worker decides nothing that its death could lose: whatever it finishes is durable before it is
told so. The attempt ends in an `Outcome`; what becomes of the job is `lifecycle.settle`'s to say.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

from regend import events
from regend.clock import Clock, new_id
from regend.errors import BadInput, Failed, RegendError
from regend.jobs import approvals, journal, reports
from regend.jobs.approvals import Approval
from regend.jobs.frames import Frame
from regend.jobs.history import Draft
from regend.jobs.journal import Checkpoint, Effect, ShownText, Step
from regend.jobs.lifecycle import Outcome
from regend.jobs.outbox import Outbox
from regend.jobs.process import WorkerProcess
from regend.jobs.repository import Claim, Fenced
from regend.jsontext import dumps
from regend.limits import (
    CANCEL_KILL_S,
    CANCEL_TERMINATE_S,
    MAX_OPEN_CALLS,
    MAX_STEPS,
)
from regend.store import Store

log = logging.getLogger("regend.jobs")

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
        self._program = program
        self._store = store
        self._clock = clock
        self._services = services
        self._slots_dir = slots_dir
        self.outbox = Outbox(store, claim, clock)
        self._worker: WorkerProcess | None = None
        self._outcome: Outcome | None = None
        self._stop_reason: str | None = None
        self.stopped = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._saving: asyncio.Task[None] | None = None
        self._last_sign_s = self._looked_s = clock.monotonic_s()
        self._why_killed = ""
        self._ops: dict[str, Callable[[Frame], Coroutine[Any, Any, None]]] = {
            "hello": self._on_sign,
            "beat": self._on_sign,
            "event": self._on_event,
            "step": self._on_step,
            "checkpoint": self._on_checkpoint,
            "call": self._on_call,
            "approve": self._on_approve,
            "intend": self._on_intend,
            "receipt": self._on_receipt,
            "end": self._on_end,
        }

    async def run(self, worker: WorkerProcess) -> Outcome:
        """Give the job to the worker and listen until the worker is dead.

        Raises:
            Fenced: the job went on elsewhere; the worker is dead and nothing more was written.
        """
        self._worker = worker
        fault = ""
        try:
            begin = await self._begin()
            if self._stop_reason is not None:
                self._outcome = Outcome("released")  # it has done nothing yet
                return self._outcome
            await worker.send(begin)
            async for frame in worker.frames():
                await self._on_frame(frame)
                if self._outcome is not None:
                    break
        except Fenced:
            raise
        except RegendError as error:
            fault = error.message
        finally:
            open_tasks = [*self._tasks, *([self._saving] if self._saving is not None else [])]
            for task in open_tasks:
                task.cancel()
            await asyncio.gather(*open_tasks, return_exceptions=True)
            worker.kill()
            death = await worker.death()
            self.outbox.close()
        return self._outcome or reports.died(fault or self._why_killed or death)

    def stop(self, reason: str) -> None:
        """Ask the attempt to end: `pause` and `shutdown` at the next checkpoint, `cancel` now."""
        if self.cancelled:
            return
        self._stop_reason = reason
        self.stopped.set()
        if self._worker is not None:
            self._spawn(self._reply({"op": "stop", "reason": reason}))
            if reason == "cancel":
                self._spawn(self._insist())

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
        if self._worker is not None:
            self._worker.kill()

    def show(self, type_name: str, payload: dict[str, Any]) -> None:
        """Show an event on behalf of a service."""
        self.outbox.add(Draft(type_name, dumps(payload)))

    def show_progress(self, percent: float, step: str) -> None:
        """Show how far the job is, on behalf of a service."""
        self.outbox.set_progress(percent, step)
        self.show(events.JOB_PROGRESS, {"progress": percent, "step": step})

    async def _begin(self) -> Frame:
        """Return the frame that tells the worker its job and everything done before."""
        claim, blobs = self.claim, self._store.blobs

        def read(connection: sqlite3.Connection) -> tuple[list[Step], Checkpoint | None, ShownText]:
            done = journal.steps(connection, claim.job)
            place = journal.checkpoint(connection, claim.job)
            ordinal = len(done) + 1
            return done, place, journal.shown_text(connection, claim.job, ordinal)

        done, place, shown = await self._store.query(read)
        frame: Frame = {
            "op": "begin",
            "program": self._program,
            "job_id": claim.id,
            "input": await asyncio.to_thread(blobs.unpack, claim.input),
            "model": claim.model,
            "seed": claim.seed,
            "attempt": claim.attempt,
            "steps": [[s.ordinal, s.name, s.input_hash, s.result] for s in done],
            "shown": {"ordinal": len(done) + 1, "text": shown.text, "tokens": shown.tokens},
        }
        if place is not None:
            frame["checkpoint"] = await self._place_object(place)
        return frame

    async def last_place(self) -> dict[str, Any] | None:
        """Return the last saved place of the step under way, as the worker takes it."""
        await self._saved()
        claim = self.claim
        place = await self._store.query(lambda c: journal.checkpoint(c, claim.job))
        return None if place is None else await self._place_object(place)

    async def _place_object(self, place: Checkpoint) -> dict[str, Any]:
        blobs = self._store.blobs
        slot = blobs.path(place.slot) if place.slot is not None else None
        return {
            "ordinal": place.ordinal,
            "data": await asyncio.to_thread(blobs.unpack, place.data),
            "slot_file": str(slot) if slot is not None and slot.exists() else None,
        }

    async def _on_frame(self, frame: Frame) -> None:
        self._last_sign_s = self._clock.monotonic_s()
        handler = self._ops.get(frame["op"])
        if handler is None:
            raise Failed("frame_unknown", f"The worker said “{frame['op']}”, which means nothing.")
        try:
            await handler(frame)
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise Failed(
                "frame_invalid", f"The worker sent a “{frame['op']}” that is not one ({error!r})."
            ) from error
        self._last_sign_s = self._clock.monotonic_s()

    async def _on_sign(self, frame: Frame) -> None:
        pass

    async def _on_event(self, frame: Frame) -> None:
        type_name = frame["type"]
        for text in reports.event_texts(type_name, frame["data"]):
            self.outbox.add(Draft(type_name, text))
        if type_name == events.JOB_PROGRESS:
            self.outbox.set_progress(*reports.progress(frame["data"]))
        await self.outbox.room()

    async def _on_step(self, frame: Frame) -> None:
        await self._saved()
        if frame["ordinal"] > MAX_STEPS:
            raise Failed("too_many_steps", f"The job ran more than {MAX_STEPS} steps.")
        packed = await self.pack(reports.payload(frame, "result"))
        step = Step(
            frame["ordinal"],
            frame["name"],
            frame["input_hash"],
            packed,
            frame["started_at"],
            frame["duration_ms"],
        )
        claim = self.claim
        freed = await self.outbox.commit(
            lambda connection: journal.record_step(
                connection, claim.job, claim.fence, step, self._clock.wall_ms()
            )
        )
        self._discard(freed)
        await self._acknowledge(frame, None)

    async def _on_checkpoint(self, frame: Frame) -> None:
        """Save a place beside the stream of text, one at a time and in order."""
        await self._saved()
        self._saving = asyncio.create_task(self._save(frame))

    async def _save(self, frame: Frame) -> None:
        slot = None
        if frame["slot_file"]:
            slot = await self._adopt(Path(frame["slot_file"]).name)
        packed = await self.pack(reports.payload(frame, "data"))
        place = Checkpoint(frame["ordinal"], frame["position"], packed, slot)
        claim = self.claim
        freed = await self.outbox.commit(
            lambda connection: journal.record_checkpoint(
                connection, claim.job, claim.fence, place, self._clock.wall_ms()
            )
        )
        self._discard(freed)

    async def _adopt(self, name: str) -> str | None:
        """Take over a saved state; None where it is gone: the step then goes on less exactly."""
        file = self._slots_dir / name
        try:
            return await self.outbox.patiently(
                lambda: asyncio.to_thread(self._store.blobs.adopt, file)
            )
        except Failed:
            return None

    async def _saved(self) -> None:
        """Wait until the place that is being saved is durable, and raise what went wrong."""
        if self._saving is not None:
            await self._saving
            self._saving = None

    async def _on_call(self, frame: Frame) -> None:
        while len(self._tasks) >= MAX_OPEN_CALLS:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        self._spawn(self._serve(frame))

    async def _serve(self, frame: Frame) -> None:
        """Answer a call of the worker, beside whatever else it says meanwhile."""
        service = self._services.get(frame["service"])
        try:
            if service is None:
                raise BadInput("unknown_service", f"There is no service “{frame['service']}”.")
            value = await service(self, frame["arguments"])
        except RegendError as error:
            await self._refuse(frame, error)
            return
        await self._acknowledge(frame, value)

    async def _on_approve(self, frame: Frame) -> None:
        approval = Approval(new_id(self._clock), frame["ordinal"], frame["action_hash"], None)
        preview = await self.pack(reports.payload(frame, "preview"))
        claim = self.claim
        try:
            known = await self.outbox.commit(
                lambda connection: approvals.request(
                    connection,
                    claim.job,
                    claim.fence,
                    approval,
                    frame["action"],
                    preview,
                    self._clock.wall_ms(),
                )
            )
        except Fenced:
            raise
        except RegendError as error:
            await self._refuse(frame, error)
            return
        await self._acknowledge(frame, {"id": known.id, "decision": known.decision})

    async def _on_intend(self, frame: Frame) -> None:
        claim = self.claim
        effect = Effect(
            frame["ordinal"], frame["name"], frame["key"], frame["input_hash"], "intended", None
        )
        try:
            known, fresh = await self.outbox.commit(
                lambda connection: journal.intend(
                    connection, claim.job, claim.fence, effect, self._clock.wall_ms()
                )
            )
        except Fenced:
            raise
        except RegendError as error:
            await self._refuse(frame, error)
            return
        answer = {"fresh": fresh, "key": known.key, "state": known.state, "receipt": known.receipt}
        await self._acknowledge(frame, answer)

    async def _on_receipt(self, frame: Frame) -> None:
        claim = self.claim
        await self.outbox.commit(
            lambda connection: journal.settle_effect(
                connection,
                claim.job,
                claim.fence,
                frame["ordinal"],
                frame["state"],
                frame["receipt"],
                self._clock.wall_ms(),
            )
        )
        await self._acknowledge(frame, None)

    async def _on_end(self, frame: Frame) -> None:
        await self._saved()
        self._outcome = reports.outcome(frame, asked_to_stop=self._stop_reason is not None)

    async def pack(self, text: str) -> str:
        """Return the payload column for a JSON text; a large one goes to disk off the loop."""
        if len(text) < 8192:
            return text
        return await self.outbox.patiently(lambda: asyncio.to_thread(self._store.blobs.pack, text))

    def _discard(self, slot: str | None) -> None:
        if slot is not None:
            self._spawn(asyncio.to_thread(self._store.blobs.discard, [slot]))

    async def _acknowledge(self, frame: Frame, value: Any) -> None:
        await self._reply({"op": "ack", "id": frame["id"], "value": value})

    async def _refuse(self, frame: Frame, error: RegendError) -> None:
        body = {**error.to_dict(), "status": error.status}
        await self._reply({"op": "ack", "id": frame["id"], "error": body})

    async def _reply(self, frame: Frame) -> None:
        assert self._worker is not None
        await self._worker.send(frame)

    async def _insist(self) -> None:
        """End a worker that does not end when asked: TERM, then KILL."""
        assert self._worker is not None
        await asyncio.sleep(CANCEL_TERMINATE_S)
        self._worker.terminate()
        await asyncio.sleep(CANCEL_KILL_S - CANCEL_TERMINATE_S)
        self._worker.kill()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Notice work beside the worker that broke: the worker may wait for its answer for ever."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("the daemon failed at job %s", self.claim.id, exc_info=error)
            self.give_up(f"the daemon failed at what it asked for: {error!r}")
