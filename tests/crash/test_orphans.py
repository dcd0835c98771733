"""What a job started dies with the daemon, however either of them is busy."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.house import House


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "home")
    house.start()
    yield house
    for pid in house.processes():
        house.kill_process(pid)
    house.stop()


@pytest.mark.parametrize(
    "job",
    [
        {"type": "stubborn", "input": {}},
        {"type": "hostile", "input": {"says": "grip"}},
        {"type": "hostile", "input": {"says": "freeze"}},
    ],
    ids=["a-sleeping-worker", "a-worker-deep-in-foreign-code", "a-stopped-worker"],
)
def test_a_killed_daemon_leaves_no_child_of_a_worker_behind(
    house: House, tmp_path: Path, job: dict[str, Any]
) -> None:
    told = tmp_path / "pids"
    job["input"]["pids"] = str(told)
    house.call("POST", "/jobs", job)
    while not told.exists() or not told.read_text(encoding="utf-8"):
        time.sleep(0.02)
    family = {int(pid) for pid in told.read_text(encoding="utf-8").split()}
    assert len(family) == 2
    assert family <= set(house.processes())
    house.kill()
    assert house.processes() == []
