"""The first sync of a device that joined, as one moving line until it has what the others have."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from regend import events
from regend.cli.daemon import Daemon
from regend.cli.failure import INTERRUPTED
from regend.cli.progress import LiveLine
from regend.cli.stream import device_events
from regend.cli.terminal import say
from regend.cli.text import count, line, size

_COMPARED_S = 5.0  # states are compared once nothing has changed for a moment
_LOOK_S = 0.25

Progress = dict[str, Any]


@contextlib.contextmanager
def looking(whom: str) -> Iterator[None]:
    """Say on a terminal what is waited for, as long as it lasts."""
    live = LiveLine()
    live.show(f"◐ Looking for {whom} …", "dim")
    try:
        yield
    finally:
        live.clear()


def watch_first_sync(daemon: Daemon, after_seq: int) -> int:
    """Show how far the sync with the others is until they are equal; return the exit code.

    Args:
        after_seq: a position from before this device joined.
    """
    watch = _Watch()
    try:
        for event in device_events(daemon, after_seq, watch.say):
            if watch.took(event):
                break
        watch.live.show("◐ Comparing …", "dim")
        differ = _differ(daemon)
        watch.say(watch.summary())
        if differ:
            say("Yet their states differ, which must not be. Please report it: regend diagnostics")
    except KeyboardInterrupt:
        watch.live.clear()
        say("\nDetached. The sync goes on. How far it is: regend devices list")
        return INTERRUPTED
    finally:
        watch.live.clear()
    return 0


class _Watch:
    """What is known of the syncs with the other devices."""

    def __init__(self) -> None:
        self.live = LiveLine()
        self._of: dict[str, Progress] = {}
        self.live.show("◐ Waiting for the other device …", "dim")

    def say(self, text: str) -> None:
        """Say something in a line of its own."""
        self.live.clear()
        say(text)

    def took(self, event: dict[str, Any] | None) -> bool:
        """Show an event, None for a while without; return whether that was the end of it."""
        if event is None:
            # Files may lie on a device that is away: their changes are here, and tell of them.
            return bool(self._of) and not any(map(_changes_left, self._of.values()))
        data = event["data"]
        if event["type"] == events.SYNC_PROGRESS:
            self._of[data["device"]] = data
            self._show()
            return all(one["done"] for one in self._of.values())
        if event["type"] == events.DEVICE_OFFLINE:
            self.live.show(f"◐ {line(data['name'])} is away; it goes on when it is back …", "dim")
        return False

    def summary(self) -> str:
        """Return what it came to."""
        names = ", ".join(line(one["name"]) for one in self._of.values())
        changes = sum(one["total"] for one in self._of.values())
        came = size(sum(one["received_bytes"] for one in self._of.values()))
        said = f"Up to date with {names}: {count(changes, 'change')}, {came} received."
        if not changes:
            said = f"Up to date with {names}; there was nothing to bring."
        files = sum(one["payloads"] for one in self._of.values())
        if files:
            them = "it" if files == 1 else "them"
            said += f" {count(files, 'file')} will come once a device is reached that has {them}."
        return said

    def _show(self) -> None:
        most = max(self._of.values(), key=_changes_left)
        left = _changes_left(most)
        if not left:
            came = size(sum(one["received_bytes"] for one in self._of.values()))
            files = sum(one["payloads"] for one in self._of.values())
            self.live.bar(1, f"{came}, {count(files, 'file')} to come" if files else came)
            return
        came = size(most["received_bytes"])
        text = f"{most['total'] - left:,} of {count(most['total'], 'change')}, {came}"
        if most["behind_bytes"]:
            text += f" of about {size(most['received_bytes'] + most['behind_bytes'])}"
        self.live.bar(1 - left / max(1, most["total"]), text)


def _changes_left(progress: Progress) -> int:
    left: int = progress["behind"] + progress["ahead"]
    return left


def _differ(daemon: Daemon) -> bool:
    """Tell whether a device that is reached has another state, as soon as that is known."""
    until_s = time.monotonic() + _COMPARED_S
    while True:
        shown = daemon.get("/devices")["devices"]
        states = {one["state"] for one in shown if one["reachable"] and not one["this"]}
        if "differs" in states:
            return True
        if states <= {"equal"} or time.monotonic() > until_s:
            return False
        time.sleep(_LOOK_S)
