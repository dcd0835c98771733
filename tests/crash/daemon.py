"""The real daemon with test agents, which kills itself or a child at the n-th hit of a point.

Run as `python -m tests.crash.daemon HOME [POINT HIT [VICTIM]]`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

from regend import daemon
from regend.agents import AGENTS as OWN_AGENTS
from regend.home import Home
from regend.jobs.inputs import INPUT_TYPES, Field, InputType

POINTS = (
    "commit:before",
    "commit:after",
    "blob:before-rename",
    "blob:after-rename",
    "attempt:claimed",
    "attempt:ended",
    "attempt:settled",
)
AGENTS = ("count", "chatter", "stubborn", "hostile")


class AnyInput(InputType):
    """Takes whatever a test program needs."""

    def check(self, value: Any) -> dict[str, Any]:
        checked: dict[str, Any] = value
        return checked


class Killer:
    """A probe that kills at the n-th hit of one point: its process, or a kind of its children.

    Args:
        victim: `daemon`, or how its children are called: `worker`, `model`.
    """

    def __init__(self, point: str, hit: int, victim: str) -> None:
        self._point = point
        self._left = hit
        self._victim = victim

    def __call__(self, point: str) -> None:
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            for pid in self._victims():
                os.kill(pid, signal.SIGKILL)

    def _victims(self) -> list[int]:
        if self._victim == "daemon":
            return [os.getpid()]
        return children_of(os.getpid(), self._victim)


def children_of(parent: int, kind: str) -> list[int]:
    """Return the children of a daemon that run as `regend KIND`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_bytes().rpartition(b")")[2].split()
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if int(fields[1]) == parent and [b"regend", kind.encode()] in pairs(words):
                found.append(int(entry.name))
    return found


def pairs(words: list[bytes]) -> list[list[bytes]]:
    return [words[place : place + 2] for place in range(len(words))]


def main(root: str, point: str = "", hit: str = "0", victim: str = "daemon") -> int:
    """Serve on the home until told to stop, or until the point is hit."""
    types = {
        name: AnyInput({"any": Field(lambda _v, _n: None, {})}, lambda _v: "A test")
        for name in AGENTS
    }
    agents = {name: f"tests.crash.agents.{name}" for name in AGENTS}
    return daemon.main(
        Home.at(Path(root)),
        port=0,
        agents={**agents, "chat": OWN_AGENTS["chat"]},
        types={**types, "chat": INPUT_TYPES["chat"]},
        probe=Killer(point, int(hit), victim),
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
