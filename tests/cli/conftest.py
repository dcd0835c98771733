"""A real daemon in a home of its own, and the command run against it as a person would."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_ROOT = Path(__file__).parents[2]
_WAIT_S = 30.0


@dataclass
class Desk:
    """A home, the daemon on it, and a way to run commands.

    Attributes:
        home: value of REGEND_HOME.
        daemon: the daemon's process; None while none runs.
    """

    home: Path
    daemon: subprocess.Popen[bytes] | None = None
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What commands and daemon find in their environment."""
        kept = {name: value for name, value in os.environ.items() if name not in _REMOVED}
        return {**kept, "REGEND_HOME": str(self.home), "PYTHONPATH": str(_ROOT), **self.more}

    def run(
        self,
        *arguments: str,
        stdin: str = "",
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run one command line to its end."""
        return subprocess.run(
            [sys.executable, "-m", "regend", *arguments],
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            env={**self.environment, **(environment or {})},
            cwd=cwd or self.home,
            timeout=90,
            check=False,
        )

    @contextlib.contextmanager
    def open(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Lend the process of a command line, with pipes to it; it is dead afterwards."""
        with subprocess.Popen(
            [sys.executable, "-m", "regend", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=self.environment,
            cwd=self.home,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def json(self, *arguments: str) -> Any:
        """Run a command that must succeed, and return the JSON that it prints."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        log, told = self.home / "daemon.log", self.home / "daemon.json"
        told.unlink(missing_ok=True)
        with log.open("ab") as file:
            daemon = self.daemon = subprocess.Popen(
                [sys.executable, "-m", "tests.cli.serve", "0"],
                env=self.environment,
                cwd=_ROOT,
                stderr=file,
            )

        def serves() -> bool:
            assert daemon.poll() is None, log.read_text(encoding="utf-8")
            return told.exists()

        wait_until(serves, "the daemon serves")
        assert self.run("status").returncode == 0

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End the daemon."""
        if self.daemon is not None:
            self.daemon.send_signal(number)
            self.daemon.wait(_WAIT_S)
            self.daemon = None

    def job(self, *arguments: str) -> str:
        """Start a job and return its id."""
        done = self.run("jobs", "run", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def state(self, job: str) -> str | None:
        """Return a job's state, asked of the daemon itself; None if it knows no such job."""
        told = json.loads((self.home / "daemon.json").read_text(encoding="utf-8"))
        token = (self.home / "token").read_text(encoding="utf-8").strip()
        asked = urllib.request.Request(
            f"{told['url']}/api/v1/jobs/{job}", headers={"Authorization": f"Bearer {token}"}
        )
        try:
            with urllib.request.urlopen(asked, timeout=_WAIT_S) as answer:
                return str(json.load(answer)["state"])
        except urllib.error.HTTPError as error:
            with error:
                assert error.code == 404, error.read()
            return None

    def await_state(self, job: str, state: str) -> None:
        """Return once the job is in a state."""
        wait_until(lambda: self.state(job) == state, f"the job is {state}")


_REMOVED = ("NO_COLOR", "COLUMNS", "REGEND_HOME", "_REGEND_COMPLETE")


def wait_until(holds: Callable[[], bool], what: str) -> None:
    """Return once something holds; fail if it never does."""
    deadline = time.monotonic() + _WAIT_S
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain until {what}"
        time.sleep(0.05)


def _home(tmp: Path) -> Path:
    home = tmp / "home"
    home.mkdir(mode=0o700)
    settings = "[limits]\nresearch_per_minute = 0\n\n[models]\ndiscover = false\n"
    (home / "config.toml").write_text(settings, encoding="utf-8")
    (home / "config.toml").chmod(0o600)
    return home


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """A daemon that all tests share which do not end it."""
    made = Desk(_home(tmp_path_factory.mktemp("desk")))
    with contextlib.closing(_Ending(made)):
        made.start()
        yield made


@pytest.fixture
def own_desk(tmp_path: Path) -> Iterator[Desk]:
    """A home of the test's own, on which no daemon runs yet."""
    made = Desk(_home(tmp_path))
    with contextlib.closing(_Ending(made)):
        yield made


@dataclass
class _Ending:
    desk: Desk

    def close(self) -> None:
        self.desk.stop()
