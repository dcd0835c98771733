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
        place = journal.checkpoint(connection, claim.job)
        return done, place, journal.shown_text(connection, claim.job, len(done) + 1)

    done, place, shown = await store.query(read)
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
    if place is not None:
        frame["checkpoint"] = await _told(store, place)
    return frame


async def last_place(store: Store, job: int) -> dict[str, Any] | None:
    """Return the last saved place of the step under way, as the worker takes it."""
    place = await store.query(lambda connection: journal.checkpoint(connection, job))
    return None if place is None else await _told(store, place)


async def _told(store: Store, place: Checkpoint) -> dict[str, Any]:
    """Return a place as the worker takes it: with the model's state only where that is whole."""
    slot = place.slot
    if slot is not None and not await asyncio.to_thread(store.blobs.is_whole, slot):
        slot = None
    return {
        "ordinal": place.ordinal,
        "data": await asyncio.to_thread(store.blobs.unpack, place.data),
        "slot_file": None if slot is None else str(store.blobs.path(slot)),
    }
