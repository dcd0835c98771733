"""A worker whose wire ends is gone, with everything that its agent started."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from regend.jobs.frames import encode
from regend.jobs.process import WAITING
from regend.processes import is_alive, kill_group

ROOT = Path(__file__).parents[2]


def begin(program: str, options: dict[str, Any]) -> bytes:
    return encode(
        {
            "op": "begin",
            "program": program,
            "job_id": "a-job",
            "input": json.dumps(options),
            "model": "none",
            "seed": 1,
            "attempt": 1,
            "steps": [],
            "shown": {"ordinal": 1, "text": "", "tokens": 0},
        }
    )


@pytest.mark.timeout(30)
def test_the_end_of_the_wire_ends_a_worker_and_its_children(tmp_path: Path) -> None:
    told = tmp_path / "pids"
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "regend", "worker", WAITING],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env={"PYTHONPATH": str(ROOT)},
        start_new_session=True,
    )
    assert worker.stdin is not None
    try:
        worker.stdin.write(begin("tests.jobs.programs:stubborn", {"pids": str(told)}))
        worker.stdin.flush()
        while not told.exists() or not told.read_text(encoding="utf-8"):
            time.sleep(0.02)
        family = [int(pid) for pid in told.read_text(encoding="utf-8").split()]
        assert worker.pid in family
        assert len(family) == 2
        worker.stdin.close()
        worker.wait()
        while any(is_alive(pid) for pid in family):
            time.sleep(0.02)
    finally:
        kill_group(worker.pid)
