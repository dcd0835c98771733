"""Who lives and who is ended, as this system tells it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from regend.processes import is_alive, kill, kill_group, terminate_group

_SLEEP = "import time; time.sleep(60)"
_FAMILY = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-S", "-c", {_SLEEP!r}])
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-S", "-c", _SLEEP]) as process:
        yield process
        process.kill()


@pytest.fixture
def family() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process at the head of a group, and the number of its child."""
    command = [sys.executable, "-S", "-c", _FAMILY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as leader:
        assert leader.stdout is not None
        yield leader, int(leader.stdout.readline())
        kill_group(leader.pid)


def until_dead(pid: int) -> None:
    while is_alive(pid):
        time.sleep(0.01)


def test_asking_whether_a_process_lives_does_it_no_harm(sleeper: subprocess.Popen[bytes]) -> None:
    assert is_alive(os.getpid())
    assert is_alive(sleeper.pid)
    assert sleeper.poll() is None


def test_a_dead_process_does_not_live_whether_or_not_its_parent_noticed(
    sleeper: subprocess.Popen[bytes],
) -> None:
    kill(sleeper.pid)
    until_dead(sleeper.pid)
    assert sleeper.wait() == -signal.SIGKILL
    assert not is_alive(sleeper.pid)
    kill(sleeper.pid)  # no fault


@pytest.mark.parametrize("end", [kill_group, terminate_group])
def test_a_group_is_ended_with_all_its_processes(
    family: tuple[subprocess.Popen[bytes], int], end: Callable[[int], None]
) -> None:
    leader, child = family
    end(leader.pid)
    leader.wait()
    until_dead(child)
    end(leader.pid)  # no fault
