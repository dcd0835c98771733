"""A home whose daemon is started, killed and asked from outside, over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from regend.home import Home

ROOT = Path(__file__).parents[2]
_CONFIG = """
[jobs]
concurrency = 4
max_worker_deaths = 100
max_attempts = 100
[limits]
requests_per_minute = 0
"""


class Down(Exception):
    """The daemon does not answer; whether it took the request is not known."""


class House:
    """One home and at most one living daemon.

    Args:
        config: what its `config.toml` says besides.
    """

    def __init__(self, folder: Path, config: str = "") -> None:
        self.home = Home.at(folder)
        self.home.make()
        self.home.config_file.write_text(_CONFIG + config, encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None
        self._log = (folder / "daemon.log").open("ab")

    def start(self, point: str = "", hit: int = 0, victim: str = "daemon") -> None:
        """Start a daemon; return when it answers or died.

        Args:
            point: at whose n-th `hit` the `victim` dies, as `tests.crash.daemon` tells.
        """
        self.home.daemon_file.unlink(missing_ok=True)
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "REGEND_HOME": str(self.home.data_dir),
        }
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.crash.daemon"),
                *(str(self.home.data_dir), point, str(hit), victim),
            ],
            cwd=ROOT,
            env=environment,
            stdout=self._log,
            stderr=self._log,
        )
        while self.alive and not self.home.daemon_file.exists():
            time.sleep(0.02)
        if not point or victim != "daemon":
            assert self.alive, self.last_words()

    def arm(self, point: str, hit: int) -> None:
        """Let the living daemon die at the n-th hit of a point from now on."""
        order = self.home.data_dir / "kill-at"
        order.with_suffix(".new").write_text(f"{point} {hit}", encoding="utf-8")
        order.with_suffix(".new").rename(order)

    def revive(self) -> bool:
        """Start the daemon again if it was killed; return whether it was. It is armed no more."""
        self.arm("nowhere", 0)
        time.sleep(0.05)  # a kill that is under way happens
        if self.alive:
            return False
        (self.home.data_dir / "kill-at").unlink(missing_ok=True)
        self.wait_for_death()
        assert self.exit_code == -signal.SIGKILL, self.last_words()
        self.start()
        return True

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.returncode

    def last_words(self) -> str:
        """Return the end of what the daemons of this home logged."""
        return Path(self._log.name).read_text(encoding="utf-8", errors="replace")[-2000:]

    def kill(self) -> None:
        """Kill the daemon and wait until nothing that it started is left."""
        assert self._process is not None
        self._process.kill()
        self.wait_for_death()

    def wait_for_death(self, timeout_s: float = 60.0) -> None:
        """Wait until the daemon is dead and nothing that it started is left.

        Raises:
            AssertionError: something is left.
        """
        assert self._process is not None
        self._process.wait(timeout_s)
        deadline = time.monotonic() + 15
        while left := self.processes():
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.02)

    def stop(self) -> None:
        """End the daemon as a person would."""
        if self.alive:
            assert self._process is not None
            self._process.terminate()
            self.wait_for_death()
        self._log.close()

    def processes(self) -> list[int]:
        """Return every process that carries this home in its environment."""
        mark = f"REGEND_HOME={self.home.data_dir}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
                if state != b"Z" and mark in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
        return found

    def workers(self) -> list[int]:
        """Return the living workers."""
        daemon = self._process.pid if self._process is not None else 0
        return [pid for pid in self.processes() if pid != daemon]

    def kill_worker(self, index: int) -> None:
        """Kill one of the workers, if there are any."""
        if pids := sorted(self.workers()):
            self.kill_process(pids[index % len(pids)])

    def kill_process(self, pid: int) -> None:
        """Kill one process of this home, if it still lives."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        """Call the API once.

        Raises:
            Down: it did not answer.
        """
        status, content = self.ask(method, path, body, key)
        if status == 503:
            raise Down
        assert status < 400, content
        return content

    def ask(
        self, method: str, path: str, body: Any = None, key: str | None = None
    ) -> tuple[int, Any]:
        """Call the API once; return the status and what it answers, whatever that is.

        Raises:
            Down: it did not answer.
        """
        try:
            told = json.loads(self.home.daemon_file.read_text(encoding="utf-8"))
            address = urlsplit(told["url"])
            token = self.home.token_file.read_text(encoding="utf-8").strip()
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            if key is not None:
                headers["Idempotency-Key"] = key
            connection = http.client.HTTPConnection(address.netloc, timeout=20)
            try:
                text = None if body is None else json.dumps(body)
                connection.request(method, f"/api/v1{path}", text, headers)
                answer = connection.getresponse()
                content = json.loads(answer.read())
            finally:
                connection.close()
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Down from error
        return answer.status, content

    def rows(self, query: str) -> list[Any]:
        """Read the database as it is on disk, beside the daemon or without it."""
        connection = sqlite3.connect(f"{self.home.database.as_uri()}?mode=ro", uri=True, timeout=20)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()
