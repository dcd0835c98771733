"""SIGKILL of who gives a job or who takes it, around the grant: one runs it, once, to its end."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.crash.house import Down, House
from tests.crash.household import Household

STEPS = 6


class Handover:
    """Jobs that are taken over again and again while somebody dies."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asking = ThreadPoolExecutor(1)
        self.household = Household(folder).pair()
        self.household.until_level()
        self.giver, self.taker = self.household.houses
        self.deaths = 0
        self.moved = 0

    def close(self) -> None:
        self._asking.shutdown(cancel_futures=True)
        self.household.close()

    def begun(self) -> str:
        """Return a job of the giver that has done a step, of which the taker knows."""
        trace = self._folder / f"trace-{time.monotonic_ns()}"
        given = {"steps": STEPS, "sleep_s": 0.1, "trace": str(trace)}
        job = str(self.giver.call("POST", "/jobs", {"type": "count", "input": given})["id"])
        self.household.until(lambda: trace.exists() and self.shown(self.taker, job))
        return job

    def shown(self, house: House, job: str) -> Any:
        status, shown = house.ask("GET", f"/jobs/{job}")
        return shown if status == 200 else None

    def ask(self, job: str) -> Any:
        """Let the taker ask for a job, without waiting for what it comes to."""

        def ask() -> Any:
            with suppress(Down):
                return self.taker.ask("POST", f"/jobs/{job}/takeover", {})[1]
            return {}

        return self._asking.submit(ask)

    def runners(self, job: str) -> int:
        """Return how many homes hold a job as theirs to run, the taker's looked at first."""
        query = f"SELECT count(*) FROM jobs WHERE id = '{job}' AND remote = 0"
        return sum(house.rows(query)[0][0] for house in (self.taker, self.giver))

    def live_through(self, victim: House, point: str, hit: int) -> None:
        """Take a job over while the victim dies at a point; it is done once and known alike."""
        job = self.begun()
        victim.arm(point, hit)
        self._go_on(job, self.ask(job), victim)

    def live_through_a_kill_after(self, victim: House, pause_s: float) -> None:
        job = self.begun()
        asked = self.ask(job)
        time.sleep(pause_s)
        victim.kill()
        self._go_on(job, asked, victim)

    def _go_on(self, job: str, asked: Any, victim: House) -> None:
        died = False

        def is_done() -> bool:
            nonlocal died
            died = (not victim.alive and victim.revive()) or died
            assert self.runners(job) <= 1
            states = [
                (self.shown(house, job) or {}).get("state") for house in (self.giver, self.taker)
            ]
            return states == ["completed", "completed"]

        self.household.until(is_done)
        # Who asked is told of the death, and not left to wait for what nobody will give.
        assert "takeover_slow" not in str(asked.result(60))
        self.deaths += died or victim.revive()
        self.household.until_level()
        self._judge(job)

    def _judge(self, job: str) -> None:
        devices = {self.shown(house, job)["device"] for house in self.household.houses}
        assert len(devices) == 1 and self.runners(job) == 1
        told = [self.household.told(house, job) for house in self.household.houses]
        assert told[0] == told[1]
        assert [place for place, *_ in told[0]] == list(range(1, len(told[0]) + 1))
        kinds = [kind for _, kind, *_ in told[0]]
        assert kinds.count("job:completed:v1") == 1 and kinds.count("job:step:v1") == STEPS
        for house in self.household.houses:
            assert house.rows("SELECT count(*) FROM strays") == [(0,)], "nothing was done twice"
            assert house.rows("SELECT count(*) FROM unfolded") == [(0,)]
        self.moved += devices == {self.taker.call("GET", "/mesh")["device"]}


@pytest.fixture
def handover(tmp_path: Path) -> Iterator[Handover]:
    made = Handover(tmp_path)
    yield made
    made.close()


def test_who_dies_around_a_grant_costs_no_event_and_makes_no_second_runner(
    handover: Handover,
) -> None:
    for victim, point, hit in (
        (handover.giver, "commit:before", 2),
        (handover.giver, "commit:after", 3),
        (handover.taker, "commit:before", 1),
        (handover.taker, "commit:after", 3),
    ):
        handover.live_through(victim, point, hit)
    assert handover.deaths == 4


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_who_dies_at_any_commit_around_a_grant(handover: Handover) -> None:
    for hit in range(1, 13):
        for point in ("commit:before", "commit:after"):
            for victim in handover.household.houses:
                handover.live_through(victim, point, hit)
    chance = random.Random(5)
    for _ in range(20):
        victim = chance.choice(handover.household.houses)
        handover.live_through_a_kill_after(victim, chance.random() * 0.6)
    assert handover.deaths > 40 and handover.moved > 10
