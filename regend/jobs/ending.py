"""The end of an attempt: what becomes of its job is recorded, whatever the storage says.

Invariant: a job is never left without an owner. Where its own words cannot be stored, it is
recorded that it broke; both are written for as long as the storage refuses.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from typing import Any

from regend.errors import RegendError
from regend.jobs import settlement
from regend.jobs.attempt import Attempt
from regend.jobs.lifecycle import Outcome, Settlement
from regend.jobs.repository import Claim, Fenced
from regend.store import Store

log = logging.getLogger("regend.jobs")


async def conclude(
    store: Store, attempt: Attempt, outcome: Outcome, max_deaths: int, at_ms: int
) -> Settlement | None:
    """Settle an attempt whose worker is dead.

    Returns:
        What becomes of its job; None where the job went on elsewhere.
    """
    claim = attempt.claim
    try:
        try:
            decided, slot = await _record(attempt, outcome, max_deaths, at_ms)
        except Fenced:
            raise
        except (RegendError, sqlite3.Error) as error:
            log.error("what the job did cannot be stored: %s", error, extra=about(claim))
            attempt.outbox.abandon()
            failed = Outcome("failed", error=broken(error))
            decided, slot = await _record(attempt, failed, max_deaths, at_ms)
    except Fenced:
        log.warning("the job went on elsewhere; its outcome was not taken", extra=about(claim))
        return None
    log.info("attempt %d: %s", claim.attempt, decided.state, extra=about(claim))
    if slot is not None:
        await asyncio.to_thread(store.blobs.discard, [slot])
    return decided


async def _record(
    attempt: Attempt, outcome: Outcome, max_deaths: int, at_ms: int
) -> tuple[Settlement, str | None]:
    claim, result = attempt.claim, outcome.result
    packed = None if result is None else await attempt.outbox.pack(result)
    return await attempt.outbox.commit(
        lambda connection: settlement.settle_attempt(
            connection, claim.job, claim.fence, outcome, max_deaths, packed, at_ms
        )
    )


def about(claim: Claim) -> dict[str, str]:
    """Return what a line of the log is about, as `logs` shows it."""
    return {"job_id": claim.id}


def broken(error: Exception) -> dict[str, Any]:
    """Return the error of a job that the daemon could not run."""
    return {
        "code": "attempt_broken",
        "message": f"The daemon could not run the job: {error}",
        "hint": "The daemon's log has the details.",
        "retryable": True,
    }
