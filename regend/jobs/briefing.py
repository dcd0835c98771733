"""What a worker is told at the beginning of an attempt: its job, and what was done before."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

from regend.jobs import journal
from regend.jobs.frames import Frame
from regend.jobs.journal import Checkpoint, Replay, ShownText
from regend.jobs.repository import Claim
from regend.limits import TOLD_RESULTS_CHARACTERS
from regend.store import Store


async def begin(claim: Claim, program: str, store: Store) -> Frame:
    """Return the frame that begins an attempt.

    Of finished steps it holds all, and the results of the first; what is not in it, the worker asks
    for when it comes there (`step.result`).

    Args:
        program: `module:function` of the agent.

    Raises:
        Lost: a payload of the job is not here, or damaged.
    """

    def read(
        connection: sqlite3.Connection,
    ) -> tuple[list[Replay], Checkpoint | None, ShownText]:
        done = journal.replays(connection, claim.job, TOLD_RESULTS_CHARACTERS)
        checkpoint = journal.checkpoint(connection, claim.job)
        return done, checkpoint, journal.shown_text(connection, claim.job, len(done) + 1)

    done, checkpoint, shown = await store.query(read)
    for digest in await store.query(lambda c: journal.large_results(c, claim.job)):
        store.blobs.require(digest)
    frame: Frame = {
        "op": "begin",
        "program": program,
        "job_id": claim.id,
        "input": await asyncio.to_thread(store.blobs.unpack, claim.input),
        "model": claim.model,
        "seed": claim.seed,
        "attempt": claim.attempt,
        "steps": [list(replay) for replay in done],
        "shown": {"ordinal": len(done) + 1, "text": shown.text, "tokens": shown.tokens},
    }
    if checkpoint is not None:
        frame["checkpoint"] = await _told(store, checkpoint)
    return frame


async def last_checkpoint(store: Store, job: int) -> dict[str, Any] | None:
    """Return the last checkpoint of the step under way, as the worker takes it."""
    checkpoint = await store.query(lambda connection: journal.checkpoint(connection, job))
    return None if checkpoint is None else await _told(store, checkpoint)


async def _told(store: Store, checkpoint: Checkpoint) -> dict[str, Any]:
    """Return a checkpoint as the worker takes it: with the model's state where that is whole."""
    slot = checkpoint.slot
    if slot is not None and not await asyncio.to_thread(store.blobs.is_whole, slot):
        slot = None
    return {
        "ordinal": checkpoint.ordinal,
        "data": await asyncio.to_thread(store.blobs.unpack, checkpoint.data),
        "slot_file": None if slot is None else str(store.blobs.path(slot)),
    }
