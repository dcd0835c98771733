"""SIGKILL of whatever takes part in a generation: its text is that of an undisturbed run.

The real model, host and worker; the same seed each time. What is recorded must spell the text
without a gap and without anything twice, whatever died at whichever point of a commit.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.daemon import children_of
from tests.crash.house import Down, House
from tests.embedded_model import embedded_model_home

ASK = {
    "prompt": "Tell me a long story about a fox and the sea.",
    "max_tokens": 64,
    "temperature": 0.8,
    "seed": 7,
}
POINTS = ("commit:before", "commit:after", "blob:before-rename", "blob:after-rename")
VICTIMS = ("daemon", "model", "worker")
_SETTINGS = "\n[models]\nthreads = 1\ndiscover = false\nslots = 1\n"


class Writer:
    """A house in which the same text is written again and again."""

    def __init__(self, folder: Path) -> None:
        self.house = House(folder / "home")
        settings = self.house.home.config_file
        settings.write_text(settings.read_text(encoding="utf-8") + _SETTINGS, encoding="utf-8")
        embedded_model_home(self.house.home)
        self.house.start()
        self.undisturbed = self.text_of(self.submit())

    def submit(self) -> str:
        job: str = self.house.call("POST", "/jobs", {"type": "chat", "input": ASK})["id"]
        return job

    def restart(self, point: str = "", hit: int = 0, victim: str = "daemon") -> None:
        if self.house.alive:
            self.house.kill()
        self.house.start(point, hit, victim)

    def text_of(self, job: str) -> str:
        """Return the text of a job once it is completed; start the daemon again where it died."""
        deadline = time.monotonic() + 90
        while True:
            assert time.monotonic() < deadline, self.house.last_words()
            if not self.house.alive:
                self.house.wait_for_death()
                self.house.start()
            try:
                shown = self.house.call("GET", f"/jobs/{job}")
            except Down:
                continue
            if shown["state"] == "completed":
                text: str = shown["result"]["text"]
                return text
            assert shown["state"] in ("created", "running"), shown
            time.sleep(0.05)

    def assert_undisturbed(self, job: str) -> list[str]:
        """Check the job's text, and that its record spells it once; return how it was resumed."""
        assert self.text_of(job) == self.undisturbed
        events = self._events(job)
        assert [event["job_seq"] for event in events] == list(range(1, len(events) + 1))
        chunks = [event["data"] for event in events if event["type"] == "model:chunk:v1"]
        assert "".join(chunk["text"] for chunk in chunks) == self.undisturbed
        reached = 0
        for chunk in chunks:
            assert chunk["offset"] == reached, chunks
            reached += chunk["tokens"]
        return [event["data"]["resume"] for event in events if event["type"] == "job:resumed:v1"]

    def dies_in_mid_text(self, point: str, victim: str) -> list[str]:
        """Let something die in the middle of a text; return how that was resumed.

        Where the machine is busy, more is committed before the first token than where it is not.
        """
        # Its first saved place: a slow disk may have no second one saved.
        for hit in (14, 18, 22) if point.startswith("commit") else (1,):
            self.restart(point, hit, victim)
            if resumed := self.assert_undisturbed(self.submit()):
                return resumed
        return []

    def _events(self, job: str) -> list[dict[str, Any]]:
        rows = self.house.rows(
            "SELECT e.job_seq, e.type, e.data FROM events e JOIN jobs j ON j.number = e.job "
            f"WHERE j.id = '{job}' ORDER BY e.seq"
        )
        return [{"job_seq": n, "type": kind, "data": json.loads(data)} for n, kind, data in rows]

    def kill(self, victim: str) -> bool:
        """Kill the daemon or a kind of its children; tell whether there was one."""
        told = json.loads(self.house.home.daemon_file.read_text(encoding="utf-8"))
        pids = [told["pid"]] if victim == "daemon" else children_of(told["pid"], victim)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        return bool(pids)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path)
    yield writer
    writer.house.stop()


@pytest.mark.timeout(600)
def test_a_death_at_a_commit_changes_no_token(writer: Writer) -> None:
    for victim, point in itertools.product(VICTIMS, POINTS):
        assert writer.dies_in_mid_text(point, victim) == ["exact"], (victim, point)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_deaths_at_random_change_no_token(writer: Writer) -> None:
    chance = random.Random(11)
    deaths = 0
    for victim, point in itertools.islice(itertools.product(VICTIMS, POINTS), 12):
        writer.restart(point, chance.randrange(1, 30), victim)
        writer.assert_undisturbed(writer.submit())
    while deaths < 60:
        writer.restart()
        job = writer.submit()
        for _ in range(2):  # a generation under which three hosts die is given up
            time.sleep(chance.random() * 2)
            victim = chance.choice(VICTIMS)
            if writer.house.alive:
                deaths += writer.kill(victim)
        writer.assert_undisturbed(job)
