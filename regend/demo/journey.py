"""One job, begun on one device and watched on the other, which takes it over in mid-sentence.

The judgement compares four independent accounts: what the other device's live stream delivered,
what each of the two has on record, and what an undisturbed run wrote.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple

from regend import events
from regend.client import StreamEvent
from regend.demo.devices import Device
from regend.demo.screen import Screen
from regend.errors import Failed
from regend.jobs.journal import join_chunks

MOVE_AFTER_TOKENS = 48  # in mid-sentence, behind a saved place that had the time to travel
_TIMEOUT_S = 90.0


class Taken(NamedTuple):
    """A job was taken over.

    Attributes:
        asked_s: monotonic time of the command.
        told: what to tell of it, each with the mark of its line.
        blow: what had happened to the device before; empty where nothing had.
    """

    asked_s: float
    told: Sequence[tuple[str, str]]
    blow: str = ""


Move = Callable[[str], Awaitable[Taken]]


@dataclass
class Journey:
    """What a job showed and left.

    Attributes:
        job_id: of the job.
        taker: name of the device that is to end it.
        seen: its events, as the stream of the device that watched delivered them.
        lags_s: how much later than where it ran each piece of text was seen, before it moved.
        recorded: its events as each device has them at the end, by name.
        ended_on: name of the device that ran it last, as each device says, by name.
        states: how each device finds the other's state at the end, by name.
        shown_tokens: seen when it was taken over.
        went_on_in_s: from the command to the next new token; None where there was none.
        how: it was taken over, as its event told.
        resume: how the generation went on, as its event told.
        result: of the job.
    """

    job_id: str
    taker: str
    seen: list[StreamEvent] = field(default_factory=list)
    lags_s: list[float] = field(default_factory=list)
    recorded: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    ended_on: dict[str, str] = field(default_factory=dict)
    states: dict[str, str] = field(default_factory=dict)
    shown_tokens: int = 0
    went_on_in_s: float | None = None
    how: str = ""
    resume: str = ""
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """What the model wrote, as the stream showed it."""
        return join_chunks(one.data for one in self._chunks).text

    @property
    def wrong_tokens(self) -> int:
        """How many tokens the stream showed twice, or left out."""
        reached = wrong = 0
        for one in self._chunks:
            wrong += abs(one.data["offset"] - reached)
            reached = one.data["offset"] + one.data["tokens"]
        return wrong

    @property
    def histories_are_equal(self) -> bool:
        """Whether all devices have the same events of it, with the same times."""
        told = [[_told(event) for event in one] for one in self.recorded.values()]
        return len(told) > 1 and all(one == told[0] for one in told)

    @property
    def states_are_equal(self) -> bool:
        """Whether all devices found, by its hash, that the other has the same state."""
        return len(self.states) > 1 and set(self.states.values()) == {"equal"}

    @property
    def lag_s(self) -> float | None:
        """How far the watching device was behind, as the median; None if it saw nothing there."""
        return statistics.median(self.lags_s) if self.lags_s else None

    @property
    def _chunks(self) -> list[StreamEvent]:
        return [one for one in self.seen if one.type == events.MODEL_CHUNK]

    def faults(self, undisturbed: Journey | None) -> list[str]:
        """Return every claim that does not hold; an empty list means that all do.

        Args:
            undisturbed: what it is held against; None for the undisturbed one itself.
        """
        found = []
        if [event.job_seq for event in self.seen] != list(range(1, len(self.seen) + 1)):
            found.append("the stream left an event out, or delivered one twice")
        if self.wrong_tokens:
            found.append(f"{self.wrong_tokens} tokens were shown twice or lost")
        seen = [(one.job_seq, one.type, one.at, one.data) for one in self.seen]
        if any([_told(event) for event in one] != seen for one in self.recorded.values()):
            found.append("a device has something else on record than the stream delivered")
        if not self.histories_are_equal:
            found.append("the histories on the two devices differ")
        if not self.states_are_equal:
            found.append("the devices do not have the same state")
        if set(self.ended_on.values()) != {self.taker}:
            found.append(f"it did not end on {self.taker}, or the devices disagree where it did")
        if self.result.get("text") != self.text:
            found.append("the result is not the text that was shown")
        if undisturbed is None:
            return found
        if self.text != undisturbed.text:
            found.append("the text differs from the undisturbed run")
        if self.lag_s is None:
            found.append("nothing of it was seen live on the other device")
        if self.went_on_in_s is None:
            found.append("no new token came after it was taken over")
        if self.resume != "exact":
            found.append(f"the generation went on “{self.resume}”, not exactly")
        return found


async def watch(
    origin: Device, watcher: Device, asked: dict[str, Any], screen: Screen, move: Move | None
) -> Journey:
    """Begin a chat on one device, and show on the screen what another sees of it to its end.

    Args:
        move: lets `watcher` take the job over, at a moment in mid-sentence; None to let it be.

    Raises:
        Failed: the job failed, was over before it could be moved, or something took far too long.
        RegendError: what a daemon refused with.
    """
    try:
        async with asyncio.timeout(_TIMEOUT_S), AsyncExitStack() as opened:
            there = await opened.enter_async_context(_Sight(origin))
            here = await opened.enter_async_context(_Sight(watcher))
            job = await origin.client.jobs.create("chat", asked)
            run = Journey(str(job["id"]), (watcher if move else origin).name)
            await _show(run, here, screen, move)
            run.lags_s = _lags(run.job_id, there, here)
    except TimeoutError as error:
        message = f"The job did not end within {_TIMEOUT_S:.0f} s."
        raise Failed("demo_slow", message, hint="Run it again: regend demo --mesh") from error
    if move is not None and not run.shown_tokens:
        raise Failed("demo_short", "The model's text was too short to be taken over.")
    return run


async def collect(run: Journey, devices: dict[str, Device], wait_s: float) -> None:
    """Fetch each device's own account of the job, once all devices are level.

    Args:
        devices: by name.
        wait_s: for each of them to be level.

    Raises:
        Failed: the job did not complete.
    """
    names: dict[str, str] = {}
    for device in devices.values():
        await device.until(_is_level, "/devices", wait_s, "both devices are level")
        shown = await device.call("GET", "/devices")
        names |= {one["id"]: one["name"] for one in shown["devices"]}
        run.states[device.name] = next(o["state"] for o in shown["devices"] if not o["this"])
    for device in devices.values():
        job = await device.call("GET", f"/jobs/{run.job_id}")
        if job["state"] != "completed":
            message = (job["error"] or {}).get("message", "")
            raise Failed("demo_job", f"The job ended as {job['state']}. {message}")
        run.result = job["result"] or {}
        run.ended_on[device.name] = names.get(job["device"], "?")
        run.recorded[device.name] = await device.history(run.job_id)


class _Sight:
    """What a device's stream delivers from now on, with the time at which each event came."""

    def __init__(self, device: Device) -> None:
        self._stream = device.client.stream()
        self._reading: asyncio.Task[None] | None = None
        self._came = asyncio.Event()
        self.seen: list[tuple[float, StreamEvent]] = []

    async def __aenter__(self) -> _Sight:
        await self._stream.__aenter__()
        await self._stream.connected()
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._reading is not None
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        await self._stream.close()

    async def next(self, number: int) -> tuple[float, StreamEvent]:
        """Return when the event of this number came, and the event, once it has come."""
        assert self._reading is not None
        while len(self.seen) <= number:
            if self._reading.done():
                self._reading.result()
            self._came.clear()
            await self._came.wait()
        return self.seen[number]

    async def _read(self) -> None:
        try:
            async for item in self._stream:
                if isinstance(item, StreamEvent):
                    self.seen.append((time.monotonic(), item))
                    self._came.set()
        finally:
            self._came.set()


async def _show(run: Journey, here: _Sight, screen: Screen, move: Move | None) -> None:
    """Show the job to its end, and let it be taken over on the way."""
    taken = Taken(0.0, ())
    number = reached = 0
    while True:
        came_s, item = await here.next(number)
        number += 1
        if item.job_id != run.job_id:
            continue
        run.seen.append(item)
        if item.type == events.JOB_TAKEOVER:
            run.shown_tokens, run.how = reached, str(item.data["how"])
            _tell(taken, screen)
        screen.event(item)
        if item.type == events.JOB_RESUMED:
            run.resume = str(item.data["resume"])
        if item.type == events.MODEL_CHUNK:
            reached = item.data["offset"] + item.data["tokens"]
            if run.resume and run.went_on_in_s is None and reached > run.shown_tokens:
                run.went_on_in_s = came_s - taken.asked_s
        if item.type in events.JOB_ENDINGS:
            return
        if move is not None and not taken.told and reached >= MOVE_AFTER_TOKENS:
            taken = await move(run.job_id)


def _tell(taken: Taken, screen: Screen) -> None:
    if taken.blow:
        screen.strike(taken.blow)
    for line, mark in taken.told:
        screen.line(line, mark)


def _lags(job_id: str, there: _Sight, here: _Sight) -> list[float]:
    """Return how much later than there each piece of text was seen here, before it moved."""
    made = {item.job_seq: came_s for came_s, item in there.seen if item.job_id == job_id}
    ours = [(came_s, item) for came_s, item in here.seen if item.job_id == job_id]
    before = takewhile(lambda one: one[1].type != events.JOB_TAKEOVER, ours)
    return [
        came_s - made[item.job_seq]
        for came_s, item in before
        if item.type == events.MODEL_CHUNK and item.job_seq in made
    ]


def _is_level(shown: Any) -> bool:
    return all(one["reachable"] and one["state"] == "equal" for one in shown["devices"])


def _told(event: dict[str, Any]) -> tuple[Any, ...]:
    return event["job_seq"], event["type"], event["at"], event["data"]
