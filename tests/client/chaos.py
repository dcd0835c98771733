"""A bounded, seeded storm over the hostile server, and what a client must have after it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import Any

from tests.client.hostile_server import Faults, History, HostileServer


@dataclass
class Seen:
    """What a client was handed since its history began.

    Attributes:
        events: in the order in which they came.
        gaps: stretches that a snapshot stood for, both ends included.
        restarts: epochs that were announced.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    restarts: list[str] = field(default_factory=list)

    @property
    def seq(self) -> int:
        last_event = self.events[-1]["seq"] if self.events else 0
        return max([last_event, *(last for _, last in self.gaps)])


async def rage(server: HostileServer, seed: int, *, rounds: int = 25, epochs: bool = False) -> None:
    """Let events happen and the server misbehave; leave it healthy, with one event more."""
    dice = random.Random(seed)
    server.faults = Faults.all()
    for turn in range(rounds):
        await server.append(dice.randrange(1, 30), text_length=dice.choice([1, 1, 1, 20_000]))
        what = dice.choice(["nothing", "nothing", "cut", "restart", "compact", "epoch"])
        if what == "cut":
            server.cut_all()
        elif what == "restart":
            await server.restart()
        elif what == "compact":
            kept = dice.randrange(1, 40)
            await server.compact(
                server.history.events[-min(kept, len(server.history.events))]["seq"]
            )
        elif what == "epoch" and epochs:
            await server.restart(History(epoch=f"epoch-{seed}-{turn}"))
        await asyncio.sleep(dice.choice([0, 0.01, 0.05]))
    server.faults = Faults()
    await server.append(1)


def assert_exact(server: HostileServer, seen: Seen) -> None:
    """Hold what a client has against the log: in order, no gap, no duplicate."""
    history = server.history
    seqs = [one["seq"] for one in seen.events]
    assert seqs == sorted(set(seqs)), "out of order or twice"
    assert all(last <= history.floor for _, last in seen.gaps), "a gap over events that are kept"
    covered = [
        one
        for one in history.events
        if not any(first <= one["seq"] <= last for first, last in seen.gaps)
    ]
    assert seen.events == covered


def assert_each_once(server: HostileServer, given: int) -> None:
    """Hold that every command was carried out, and no one twice."""
    assert len(server.executed) == given
    assert set(server.executed.values()) <= {1}
