"""The demonstration finds the worker that it kills."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from regend.demo.processes import find_workers


@pytest.fixture
def workers() -> Iterator[list[int]]:
    """Children of this process that look like workers of the jobs `aa01` and `bb02`."""
    waits = "import sys; print(flush=True); sys.stdin.read()"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", waits, "regend worker", job],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for job in ("aa01", "bb02")
    ]
    for process in started:
        assert process.stdout is not None and process.stdout.readline()
    yield [process.pid for process in started]
    for process in started:
        process.communicate()


def test_the_worker_of_a_job_is_told_from_others(workers: list[int]) -> None:
    assert find_workers(os.getpid(), "bb02") == workers[1:]
    assert set(workers) <= set(find_workers(os.getpid(), "cc03"))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere `ps` alone tells of processes")
def test_a_system_without_ps_has_the_demonstration_too(
    workers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert find_workers(os.getpid(), "aa01") == workers[:1]
