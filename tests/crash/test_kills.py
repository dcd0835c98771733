"""SIGKILL of daemon and workers, at every named point and at random, under load."""

from __future__ import annotations

import itertools
import random
import signal
import time
from pathlib import Path

import pytest

from tests.crash.clients import Clients
from tests.crash.daemon import POINTS
from tests.crash.house import House
from tests.crash.oracle import Oracle

_LAST_HIT = 40  # a daemon that comes so far is killed at random instead


class Siege:
    """Clients at work on a home whose daemon and workers are killed again and again."""

    def __init__(self, folder: Path, seed: int) -> None:
        traces = folder / "traces"
        traces.mkdir()
        self._chance = random.Random(seed)
        self._house = House(folder / "home")
        self._oracle = Oracle(self._house, traces)
        self._house.start()
        self._clients = Clients(self._house, self._oracle, traces)
        self.kills = 0
        self.reached: set[str] = set()

    def __enter__(self) -> Siege:
        return self

    def __exit__(self, *_error: object) -> None:
        """Leave no thread and no process behind, however it went."""
        self._clients.abandon()
        self._house.stop()

    def restart(self) -> None:
        """Start a daemon that lives until it is killed."""
        self._house.start()

    def kill_workers(self, count: int) -> None:
        for _ in range(count):
            time.sleep(self._chance.random() * 0.2)
            self._house.kill_worker(self._chance.randrange(8))
            self.kills += 1

    def kill_daemon(self) -> None:
        """Kill the living daemon at a random moment."""
        time.sleep(self._chance.random() * 0.5)
        self._house.kill()
        self.kills += 1
        self._oracle.after_a_death()

    def run_until(self, point: str, hit: int, patience_s: float = 8.0) -> None:
        """Start a daemon that kills itself at a point; kill it at last if it never comes there."""
        self._house.start(point, hit)
        deadline = time.monotonic() + patience_s
        while self._house.alive and time.monotonic() < deadline:
            time.sleep(0.02)
        if self._house.alive:
            self._house.kill()
        else:
            self._house.wait_for_death()
            assert self._house.exit_code == -signal.SIGKILL, self._house.last_words()
            self.reached.add(point)
        self.kills += 1
        self._oracle.after_a_death()

    def end(self) -> None:
        """Let everything come to its end, and judge."""
        self._house.start()
        self._clients.stop()
        deadline = time.monotonic() + 240
        query = "SELECT count(*) FROM jobs WHERE state IN ('created', 'running')"
        while self._house.rows(query) != [(0,)]:
            assert time.monotonic() < deadline, self._house.rows(
                "SELECT state, held, count(*) FROM jobs GROUP BY 1, 2"
            )
            time.sleep(0.1)
        self._house.stop()
        self._oracle.after_a_death()
        self._oracle.at_the_end()
        assert len(self._oracle.acknowledged) > 5


def test_kills_at_every_point_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    with Siege(tmp_path, seed=1) as siege:
        siege.kill_daemon()
        for number, point in enumerate(POINTS):
            siege.run_until(point, 2 + 3 * number % 7)
        siege.end()
        assert siege.reached == set(POINTS)


def test_killed_workers_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    with Siege(tmp_path, seed=2) as siege:
        siege.kill_workers(12)
        siege.kill_daemon()
        siege.end()


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_hundred_kills_lose_nothing_and_repeat_nothing(tmp_path: Path) -> None:
    chance = random.Random(3)
    with Siege(tmp_path, seed=3) as siege:
        siege.kill_daemon()
        for point in itertools.cycle(POINTS):
            siege.run_until(point, chance.randrange(1, _LAST_HIT), patience_s=3.0)
            siege.restart()
            siege.kill_workers(3)
            siege.kill_daemon()
            if siege.kills >= 210:
                break
        siege.end()
        assert siege.reached == set(POINTS)
