"""The real daemon with test agents, which kills itself at the n-th hit of a point.

Run as `python -m tests.crash.daemon HOME [POINT HIT]`.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from regend import daemon
from regend.config import Home
from regend.jobs.inputs import Field, InputType

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
    """A probe that kills its process at the n-th hit of one point."""

    def __init__(self, point: str, hit: int) -> None:
        self._point = point
        self._left = hit

    def __call__(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def main(root: str, point: str = "", hit: str = "0") -> int:
    """Serve on the home until told to stop, or until the point is hit."""
    types = {
        name: AnyInput({"any": Field(lambda _v, _n: None, {})}, lambda _v: "A test")
        for name in AGENTS
    }
    agents = {name: f"tests.crash.agents.{name}" for name in AGENTS}
    return daemon.main(
        Home.at(Path(root)), port=0, agents=agents, types=types, probe=Killer(point, int(hit))
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
