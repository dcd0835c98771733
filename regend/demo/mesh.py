"""`regend demo --mesh`: a text that one device begins is written to its end by another.

Two daemons on this machine that meet as two devices do, and one question asked three times: on a
device that is left alone, on one that dies in mid-sentence, and on one that gives its job away.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from regend.cli.text import duration
from regend.demo.devices import Device, share_models
from regend.demo.journey import Journey, Taken, collect, watch
from regend.demo.model import bring_model
from regend.demo.screen import Screen
from regend.errors import Conflict, Failed, NotFound

STORY = "Tell me a story about a fox who carries a letter across the sea."
ASKED = {"prompt": STORY, "max_tokens": 144, "temperature": 0.7, "seed": 7}
FIRST, SECOND = "Laptop", "Phone"
_SAVED_S = 5.0
_LEVEL_S = 30.0  # for both to be level again; a device that came back is found within seconds

_PROMISE = (
    f"Two devices of one person, here as two daemons with a home each: {FIRST} and {SECOND}. "
    f"{FIRST} writes a story three times; you watch it on {SECOND}. The second time {FIRST} dies "
    "in mid-sentence, the third time it gives the story away. Nothing leaves this machine."
)
_NOT_MEASURED = (
    "Not measured here: what the network sees. Both devices are on this machine, and nobody "
    "listened between them."
)


async def tell(root: Path, models: Path, screen: Screen) -> bool:
    """Run the demonstration; return whether every claim held.

    Args:
        root: folder in which the devices get their homes.
        models: folder in which models are kept for the next time.

    Raises:
        RegendError: it could not be run to its end.
    """
    began_s = time.monotonic()
    screen.paragraph(_PROMISE)
    stage = _Stage(root, models, screen)
    try:
        await stage.prepare()
        await stage.pair()
        alone = await stage.write(f"1. {FIRST} is left alone")
        forced = await stage.die()
        granted = await stage.give()
    finally:
        await stage.close()
    return verdict(screen, alone, forced, granted, time.monotonic() - began_s)


class _Stage:
    """The two devices, and what is done with them."""

    def __init__(self, root: Path, models: Path, screen: Screen) -> None:
        self._screen = screen
        self._models = models
        self._one, self._two = Device(FIRST, root), Device(SECOND, root)
        self._devices = {FIRST: self._one, SECOND: self._two}

    async def prepare(self) -> None:
        """Start both daemons, and bring the model to both; it is downloaded once."""
        self._screen.heading("Two devices")
        for device in self._devices.values():
            share_models(self._models, device.home.models_dir)
            await device.start()
            self._screen.line(f"{device.name} is on; its home is {device.home.data_dir}")
            await bring_model(device.client, self._screen, f" on {device.name}")
            share_models(device.home.models_dir, self._models)

    async def pair(self) -> None:
        """Let the second join the mesh of the first by a code."""
        screen = self._screen
        screen.heading("They pair")
        shown = await self._one.call("POST", "/devices/invite", {})
        screen.line(f"on {FIRST}: regend devices invite", "$")
        screen.line(shown["code"], " ")
        screen.line(f"on {SECOND}: regend devices join {shown['code']}", "$")
        began_s = time.monotonic()
        how = "it found the other by itself"
        try:
            await self._two.call("POST", "/devices/join", {"code": shown["code"]})
        except NotFound:
            # Where not even loopback carries multicast; a person would type the address then.
            address = f"127.0.0.1:{shown['port']}"
            body = {"code": shown["code"], "address": address}
            await self._two.call("POST", "/devices/join", body)
            how = f"it was told the address {address}, since multicast does not work here"
        screen.line(f"joined after {duration(time.monotonic() - began_s)}; {how}")
        for device in self._devices.values():
            await device.until(_all_reached, "/devices", _LEVEL_S, "the other is reached")

    async def write(self, heading: str) -> Journey:
        """Let the first device write the story, undisturbed."""
        self._screen.heading(heading)
        self._screen.line(STORY, "?")
        run = await watch(self._one, self._two, ASKED, self._screen, None)
        await collect(run, self._devices, _LEVEL_S)
        return run

    async def die(self) -> Journey:
        """Kill the first device in mid-sentence; the second goes on, and the first comes back."""
        screen = self._screen
        screen.heading(f"2. {FIRST} dies in mid-sentence")
        run = await watch(self._one, self._two, ASKED, screen, self._take_by_force)
        began_s = time.monotonic()
        await self._one.start()
        await collect(run, self._devices, _LEVEL_S)
        took = duration(time.monotonic() - began_s)
        screen.line(f"{FIRST} is switched on again; both are level after {took}")
        return run

    async def give(self) -> Journey:
        """Let the second device ask for the job while the first writes."""
        self._screen.heading(f"3. {FIRST} gives the story away in mid-sentence")
        run = await watch(self._one, self._two, ASKED, self._screen, self._take_by_grant)
        await collect(run, self._devices, _LEVEL_S)
        return run

    async def close(self) -> None:
        """End what the demonstration started."""
        await asyncio.gather(*(device.close() for device in self._devices.values()))

    async def _take_by_force(self, job_id: str) -> Taken:
        # What a device has not sent when it dies is gone with it, on a busy machine the model's
        # saved state too: then the text goes on, and not exactly. Here it has come.
        with suppress(Failed):
            places, what = f"/jobs/{job_id}/checkpoints", "the model's state is there"
            await self._two.until(_can_go_on_exactly, places, _SAVED_S, what)
        pid = await self._one.switch_off()
        await self._two.until(_none_reached, "/devices", _LEVEL_S, f"{FIRST} is seen to be away")
        path, command = f"/jobs/{job_id}/takeover", _takeover(job_id)
        try:
            await self._two.call("POST", path, {})
        except Conflict as error:
            told = [(command, "$"), (error.message, "·"), (f"{command} --force", "$")]
        else:
            raise Failed("demo_given", f"{SECOND} got the job from a device that is dead.")
        asked_s = time.monotonic()
        await self._two.call("POST", path, {"force": True})
        blow = f"{FIRST} dies: its daemon, process {pid}, is killed with SIGKILL"
        return Taken(asked_s, told, blow)

    async def _take_by_grant(self, job_id: str) -> Taken:
        asked_s = time.monotonic()
        await self._two.call("POST", f"/jobs/{job_id}/takeover", {})
        gave = f"{FIRST} stopped between two tokens and gave the job away"
        return Taken(asked_s, [(_takeover(job_id), "$"), (gave, "·")])


def _takeover(job_id: str) -> str:
    return f"on {SECOND}: regend jobs takeover {job_id[:8]}"


def _can_go_on_exactly(shown: dict[str, Any]) -> bool:
    return any(one.get("exact") for one in shown["checkpoints"])


def _all_reached(shown: dict[str, Any]) -> bool:
    return len(shown["devices"]) > 1 and all(one["reachable"] for one in shown["devices"])


def _none_reached(shown: dict[str, Any]) -> bool:
    return not any(one["reachable"] for one in shown["devices"] if not one["this"])


def verdict(
    screen: Screen, alone: Journey, forced: Journey, granted: Journey, elapsed_s: float
) -> bool:
    """Show what was measured, say plainly whether every claim held, and return it."""
    faults = [f"left alone: {fault}" for fault in alone.faults(None)]
    faults += [f"died: {fault}" for fault in forced.faults(alone)]
    faults += [f"gave it away: {fault}" for fault in granted.faults(alone)]
    if (forced.how, granted.how) != ("forced", "granted"):
        faults.append("the jobs were not taken over in the way that is told")
    runs, moved = (alone, forced, granted), (forced, granted)
    screen.heading("What was left of the story")
    screen.table(
        ("", "alone", "died", "gave"),
        [
            ("ended on", *(run.taker for run in runs)),
            (f"{SECOND} behind {FIRST}", *(_time(run.lag_s) for run in runs)),
            ("taken over", "–", *(run.how or "–" for run in moved)),
            ("tokens before the takeover", "–", *(str(run.shown_tokens) for run in moved)),
            ("takeover to next new token", "–", *(_time(run.went_on_in_s) for run in moved)),
            ("went on", "–", *(run.resume or "–" for run in moved)),
            ("tokens twice or lost", *(str(run.wrong_tokens) for run in runs)),
            ("text as left alone", "–", *(_said(run.text == alone.text) for run in moved)),
            ("histories equal", *(_said(run.histories_are_equal) for run in runs)),
            ("states equal", *(_said(run.states_are_equal) for run in runs)),
        ],
    )
    for fault in faults:
        screen.fault(f"Does not hold: {fault}.")
    if faults:
        return False
    screen.heading(f"Everything held. ({elapsed_s:.0f} s)")
    screen.paragraph(_NOT_MEASURED)
    screen.heading("Now with your own devices")
    screen.commands(
        ["regend devices invite", "regend devices join CODE", "regend jobs takeover ID --follow"]
    )
    return True


def _said(holds: bool) -> str:
    return "yes" if holds else "NO"


def _time(seconds: float | None) -> str:
    return "–" if seconds is None else duration(seconds)
