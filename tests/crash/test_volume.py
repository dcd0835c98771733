"""More output than fits: the daemon's memory stays bounded, and every character arrives."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regend.limits import MIB
from tests.crash.house import House

_BOUND_MIB = 150  # whatever a job says in all; the daemon alone has about 60


def memory_of(pid: int) -> float:
    """Return the most memory that a process ever held, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise AssertionError("the process is gone")


def say(house: House, **options: Any) -> str:
    """Run a job that streams text; return its id once it is completed."""
    job: str = house.call("POST", "/jobs", {"type": "chatter", "input": options})["id"]
    while (shown := house.call("GET", f"/jobs/{job}"))["state"] != "completed":
        assert shown["state"] in ("created", "running"), shown
        time.sleep(0.2)
    return job


def chunks(house: House, job: str) -> list[dict[str, Any]]:
    rows = house.rows(
        "SELECT e.data FROM events e JOIN jobs j ON j.number = e.job "
        f"WHERE j.id = '{job}' AND e.type = 'model:chunk:v1' ORDER BY e.job_seq"
    )
    return [json.loads(row[0]) for row in rows]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "home")
    try:
        house.start()
        yield house
    finally:
        house.stop()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    ("count", "size"),
    [
        pytest.param(800, 64 * 1024, id="50-MB"),
        pytest.param(1, 50 * MIB, id="one-line-of-50-MB"),
        pytest.param(50_000, 1, id="one-byte-tokens"),
        pytest.param(8000, 64 * 1024, id="500-MB", marks=pytest.mark.long),
        pytest.param(1_000_000, 1, id="a-million-one-byte-tokens", marks=pytest.mark.long),
    ],
)
def test_output_of_any_size_is_kept_whole_within_bounded_memory(
    house: House, count: int, size: int
) -> None:
    job = say(house, chunks=count, size=size, text="x")
    daemon = json.loads(house.home.daemon_file.read_text(encoding="utf-8"))["pid"]
    assert memory_of(daemon) < _BOUND_MIB
    shown = chunks(house, job)
    assert sum(len(chunk["text"]) for chunk in shown) == count * size
    assert sum(chunk["tokens"] for chunk in shown) == count
    offsets = [chunk["offset"] for chunk in shown]
    assert offsets == sorted(offsets)
