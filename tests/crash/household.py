"""Two homes whose daemons are of one mesh, and may be killed, over loopback."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.crash.house import Down, House

_MESH = """
[models]
discover = false
[mesh]
name = "{name}"
port = 0
loopback = true
"""
_WAIT_S = 60.0


def until(holds: Callable[[], Any], *houses: House) -> Any:
    """Return what is shown once it is so; a daemon that does not answer is asked again."""
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            if shown := holds():
                return shown
        except Down:
            pass
        assert time.monotonic() < deadline, [house.last_words() for house in houses]
        time.sleep(0.02)


class Household:
    """Two homes, their daemons running.

    Attributes:
        one, two: the homes; their devices are called so.
    """

    def __init__(self, folder: Path) -> None:
        self.one, self.two = (House(folder / n, _MESH.format(name=n)) for n in ("one", "two"))
        for house in self.houses:
            house.start()

    @property
    def houses(self) -> tuple[House, House]:
        return self.one, self.two

    def join(self) -> tuple[int, Any]:
        """Let the second join the mesh of the first; return status and answer.

        Raises:
            Down: a daemon did not answer.
        """
        shown = self.one.call("POST", "/devices/invite", {})
        address = f"127.0.0.1:{shown['port']}"
        return self.two.ask("POST", "/devices/join", {"code": shown["code"], "address": address})

    def pair(self) -> Household:
        status, answer = self.join()
        assert status < 400, answer
        return self

    def until(self, holds: Callable[[], Any]) -> Any:
        return until(holds, *self.houses)

    def until_level(self) -> None:
        """Return once both are linked and have the same changes and the same state."""
        for house in self.houses:
            self.until(lambda house=house: _is_level(house))  # type: ignore[misc]

    def told(self, house: House, job: str) -> list[Any]:
        """Return a job's history as it is the same on all devices."""
        events = house.call("GET", f"/jobs/{job}/events?limit=1000")["events"]
        return [(e["job_seq"], e["type"], e["at"], e["data"]) for e in events]

    def close(self) -> None:
        for house in self.houses:
            house.stop()


def _is_level(house: House) -> bool:
    others = [d for d in house.call("GET", "/devices")["devices"] if not d["this"]]
    return bool(others) and all(d["state"] == "equal" and d["reachable"] for d in others)
