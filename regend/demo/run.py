"""One run of the question: followed live, disturbed in mid-answer, and judged afterwards.

The judgement compares three independent accounts: what the live stream delivered, what the daemon
has on record, and what an undisturbed run wrote.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from regend import events
from regend.client import Client, StreamEvent
from regend.demo.screen import Screen
from regend.errors import Failed
from regend.jobs.journal import join_chunks
from regend.limits import MAX_PAGE_LENGTH

DISTURB_AFTER_TOKENS = 20  # behind the first saved place, so that there is one to go on from

Disturbance = Callable[[str], Awaitable[None]]


@dataclass
class Run:
    """What a run showed and left.

    Attributes:
        job_id: of its job.
        seen: events as the stream delivered them.
        recorded: events as the daemon has them.
        steps: finished steps at the end.
        kept: steps that were finished before the disturbance.
        shown_tokens: tokens on the screen when it was disturbed.
        resumed_in_s: from the disturbance to the next new token, those not counted that were on
            their way; None where there was none.
        resume: how the generation went on, as its event told.
        result: of the job.
    """

    job_id: str
    seen: list[StreamEvent] = field(default_factory=list)
    recorded: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    kept: list[dict[str, Any]] = field(default_factory=list)
    shown_tokens: int = 0
    resumed_in_s: float | None = None
    resume: str = ""
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What the model wrote, as the stream showed it."""
        return join_chunks(e.data for e in self.seen if e.type == events.MODEL_CHUNK).text

    def faults(self, undisturbed: Run | None) -> list[str]:
        """Return every claim that does not hold; an empty list means that all do."""
        found = []
        seen = [event.seq for event in self.seen]
        if seen != sorted(set(seen)):
            found.append("the stream delivered an event twice or out of order")
        if seen != [event["seq"] for event in self.recorded]:
            found.append("the stream did not deliver what is on record")
        places = [event["job_seq"] for event in self.recorded]
        if places != list(range(1, len(places) + 1)):
            found.append("the record has a gap")
        if self.steps[: len(self.kept)] != self.kept:
            found.append("a finished step was run again")
        if undisturbed is None:
            return found
        if self.text != undisturbed.text:
            found.append("the model's text differs from the undisturbed run")
        if self.result.get("answer") != undisturbed.result.get("answer"):
            found.append("the answer differs from the undisturbed run")
        if self.resumed_in_s is None:
            found.append("no token came after the disturbance")
        if self.resume != "exact":
            found.append(f"the generation went on “{self.resume}”, not exactly")
        return found


async def follow(
    client: Client, question: dict[str, Any], screen: Screen, disturb: Disturbance | None
) -> Run:
    """Ask, watch to the end, and collect what there is to judge.

    Args:
        question: input of the research job.
        disturb: called once, with the job's id, when enough tokens are on the screen.

    Raises:
        Failed: the job failed, or ended before it could be disturbed.
    """
    job = await client.jobs.create("research", question)
    run = Run(str(job["id"]))
    disturbed_s: float | None = None
    reached = reached_before = 0
    async with client.stream(jobs=[run.job_id], after_seq=0) as stream:
        async for item in stream:
            if not isinstance(item, StreamEvent):
                raise Failed("demo_stream", "The stream told of a gap where there is none.")
            run.seen.append(item)
            screen.event(item)
            if item.type == events.MODEL_CHUNK:
                reached = item.data["offset"] + item.data["tokens"]
            if item.type == events.JOB_RESUMED:
                run.resume, reached_before = str(item.data["resume"]), reached
            is_new = bool(run.resume) and reached > reached_before
            if disturbed_s is not None and run.resumed_in_s is None and is_new:
                run.resumed_in_s = time.monotonic() - disturbed_s
            if disturb is not None and disturbed_s is None and reached >= DISTURB_AFTER_TOKENS:
                run.kept = await client.jobs.steps(run.job_id)
                run.shown_tokens = reached
                disturbed_s = time.monotonic()
                await disturb(run.job_id)
            if item.type in events.JOB_ENDINGS:
                break
    await _collect(client, run)
    if disturb is not None and disturbed_s is None:
        raise Failed("demo_short", "The model's text was too short to be disturbed.")
    return run


async def _collect(client: Client, run: Run) -> None:
    """Fetch the daemon's own account of the job."""
    job = await client.jobs.get(run.job_id)
    if job["state"] != "completed":
        message = (job["error"] or {}).get("message", "")
        raise Failed("demo_job", f"The job ended as {job['state']}. {message}")
    run.result = job["result"] or {}
    run.steps = await client.jobs.steps(run.job_id)
    after_seq = 0
    while True:
        page = await client.request(
            "GET",
            f"/api/v1/jobs/{run.job_id}/events",
            query={"after_seq": str(after_seq), "limit": str(MAX_PAGE_LENGTH)},
        )
        if not page["events"]:
            return
        run.recorded += page["events"]
        after_seq = page["events"][-1]["seq"]
