"""What is done about each thing that a worker says.

Rule: first it is durable, then it is acknowledged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from regend import events
from regend.clock import new_id
from regend.errors import BadInput, Failed
from regend.jobs import approvals, briefing, journal, reports
from regend.jobs.approvals import Approval
from regend.jobs.conversation import Conversation
from regend.jobs.frames import Frame
from regend.jobs.history import Draft
from regend.jobs.journal import Checkpoint, Effect, Step
from regend.jobs.lifecycle import Outcome
from regend.limits import MAX_STEPS


async def take(talk: Conversation, frame: Frame, *, asked_to_stop: bool) -> Outcome | None:
    """Do what a frame asks for; return how the attempt ended, where the frame says that it has.

    Raises:
        Fenced: the attempt holds the job no more.
        RegendError: the worker may not say this.
    """
    op = frame["op"]
    try:
        if op == "end":
            await talk.saved()
            return reports.outcome(frame, asked_to_stop=asked_to_stop)
        if op not in _OPS:
            raise Failed("frame_unknown", f"The worker said “{op}”, which means nothing.")
        await _OPS[op](talk, frame)
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise Failed(
            "frame_invalid", f"The worker sent a “{op}” that is not one ({error!r})."
        ) from error
    return None


async def _live(talk: Conversation, frame: Frame) -> None:
    """Nothing: that it was said is what counts."""


async def _event(talk: Conversation, frame: Frame) -> None:
    type_name = frame["type"]
    for text in reports.event_texts(type_name, frame["data"]):
        talk.outbox.add(Draft(type_name, text))
    if type_name == events.JOB_PROGRESS:
        talk.outbox.set_progress(*reports.progress(frame["data"]))
    await talk.outbox.room()


async def _step(talk: Conversation, frame: Frame) -> None:
    await talk.saved()
    if frame["ordinal"] > MAX_STEPS:
        raise Failed("too_many_steps", f"The job ran more than {MAX_STEPS} steps.")
    result = await talk.outbox.pack(reports.payload(frame, "result"))
    step = Step(
        frame["ordinal"],
        reports.step_name(frame),
        frame["input_hash"],
        result,
        frame["started_at"],
        frame["duration_ms"],
    )
    talk.discard(await talk.record(journal.record_step, step))
    await talk.acknowledge(frame)


async def _checkpoint(talk: Conversation, frame: Frame) -> None:
    """Save a checkpoint beside the stream of text, one at a time and in order."""
    await talk.saved()
    ordinal, position = reports.count(frame, "ordinal"), reports.count(frame, "position")
    talk.save(_save(talk, frame, ordinal, position))


async def _save(talk: Conversation, frame: Frame, ordinal: int, position: int) -> None:
    slot = None
    if frame["slot_file"]:
        slot = await talk.outbox.adopt(talk.slots_dir / Path(frame["slot_file"]).name)
    packed = await talk.outbox.pack(reports.payload(frame, "data"))
    checkpoint = Checkpoint(ordinal, position, packed, slot)
    talk.discard(await talk.record(journal.record_checkpoint, checkpoint))


async def _call(talk: Conversation, frame: Frame) -> None:
    """Answer a call of the worker beside whatever else it says meanwhile."""
    await talk.room_beside()
    talk.beside(_serve(talk, frame))


async def _serve(talk: Conversation, frame: Frame) -> None:
    await talk.answer(frame, _served(talk, frame["service"], frame["arguments"]))


async def _served(talk: Conversation, name: str, arguments: dict[str, Any]) -> Any:
    if name in _OWN_SERVICES:
        return await _OWN_SERVICES[name](talk, arguments)
    if name not in talk.services:
        raise BadInput("unknown_service", f"There is no service “{name}”.")
    return await talk.services[name](arguments)


async def _step_result(talk: Conversation, arguments: dict[str, Any]) -> str:
    job, ordinal = talk.claim.job, int(arguments["ordinal"])
    packed = await talk.store.query(lambda c: journal.step_result(c, job, ordinal))
    return await asyncio.to_thread(talk.store.blobs.unpack, packed)


async def _last_checkpoint(talk: Conversation, arguments: dict[str, Any]) -> dict[str, Any] | None:
    await talk.saved()
    if arguments.get("stateless") is True:
        talk.discard(await talk.record(journal.drop_state))
    return await briefing.last_checkpoint(talk.store, talk.claim.job)


async def _approve(talk: Conversation, frame: Frame) -> None:
    question = Approval(new_id(talk.clock), frame["ordinal"], frame["action_hash"], None)
    preview = await talk.outbox.pack(reports.payload(frame, "preview"))

    async def ask() -> dict[str, Any]:
        known = await talk.record(approvals.request, question, frame["action"], preview)
        return {"id": known.id, "decision": known.decision}

    await talk.answer(frame, ask())


async def _intend(talk: Conversation, frame: Frame) -> None:
    effect = Effect(
        frame["ordinal"], frame["name"], frame["key"], frame["input_hash"], "intended", None
    )

    async def intend() -> dict[str, Any]:
        known, fresh = await talk.record(journal.intend, effect)
        receipt = known.receipt
        if receipt is not None:
            receipt = await asyncio.to_thread(talk.store.blobs.unpack, receipt)
        return {"fresh": fresh, "key": known.key, "state": known.state, "receipt": receipt}

    await talk.answer(frame, intend())


async def _receipt(talk: Conversation, frame: Frame) -> None:
    state, receipt = reports.effect_fate(frame)
    packed = None if receipt is None else await talk.outbox.pack(receipt)
    await talk.record(journal.settle_effect, frame["ordinal"], state, packed)
    await talk.acknowledge(frame)


_OPS: Final[dict[str, Callable[[Conversation, Frame], Awaitable[None]]]] = {
    "hello": _live,
    "beat": _live,
    "event": _event,
    "step": _step,
    "checkpoint": _checkpoint,
    "call": _call,
    "approve": _approve,
    "intend": _intend,
    "receipt": _receipt,
}

# Services about the job itself; those about anything else are the daemon's to add.
_OWN_SERVICES: Final[dict[str, Callable[[Conversation, dict[str, Any]], Awaitable[Any]]]] = {
    "step.result": _step_result,
    "checkpoint.last": _last_checkpoint,
}
