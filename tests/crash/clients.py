"""Clients that submit with idempotency keys and insist until each job is acknowledged."""

from __future__ import annotations

import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.crash.house import Down, House
from tests.crash.oracle import Oracle

_PAUSE_S = 1.2  # about as many jobs as workers can be started for
_LARGE_CHARACTERS = 60_000  # of an input that becomes a blob


class Clients:
    """Threads that submit, now and then, and look at what they were told."""

    def __init__(self, house: House, oracle: Oracle, traces: Path, count: int = 2) -> None:
        self._house = house
        self._oracle = oracle
        self._traces = traces
        self._numbers = itertools.count()
        self._stopped = threading.Event()
        self._abandoned = threading.Event()
        self._threads = ThreadPoolExecutor(count)
        self._running = [self._threads.submit(self._run, index) for index in range(count)]

    def stop(self) -> None:
        """Let every open request come to its end; raise what went wrong in a thread."""
        self._stopped.set()
        for running in self._running:
            running.result(120)
        self._threads.shutdown()

    def abandon(self) -> None:
        """End the threads whatever they wait for."""
        self._stopped.set()
        self._abandoned.set()
        self._threads.shutdown()

    def _run(self, index: int) -> None:
        chance = random.Random(index)
        while not self._stopped.is_set():
            self._submit(chance)
            self._look(chance)
            time.sleep(chance.random() * _PAUSE_S)

    def _submit(self, chance: random.Random) -> None:
        key = f"key-{next(self._numbers)}"
        options: dict[str, Any] = {
            "steps": chance.randrange(1, 5),
            "sleep_s": chance.choice((0, 0, 0.02)),
            "trace": str(self._traces / key),
        }
        if chance.random() < 0.6:
            options["ballast"] = key * (_LARGE_CHARACTERS // len(key))
        body = {"type": "count", "input": options}
        while not self._abandoned.is_set():
            try:
                job = self._house.call("POST", "/jobs", body, key)
            except Down:
                time.sleep(0.05)
                continue
            self._oracle.acknowledge(key, job)
            return

    def _look(self, chance: random.Random) -> None:
        """Read the history of some job, as a client that watches it does."""
        known = list(self._oracle.acknowledged.values())
        if not known:
            return
        try:
            page = self._house.call("GET", f"/jobs/{chance.choice(known)}/events?limit=1000")
        except Down:
            return
        self._oracle.saw(page["events"])
