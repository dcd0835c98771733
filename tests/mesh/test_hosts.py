"""Three hosts on one network: paired by a code over real mDNS, one cut off in mid-answer.

The real daemon, the real model, the real network, and everything that passes the bridge on record.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regend.home import Home
from regend.jobs.journal import join_chunks
from tests.embedded_model import embedded_model_home
from tests.sync.hosts import ROOT, Host, Net, require_namespaces

HOUSEHOLD = ROOT / "tests" / "agents" / "household"
# The model's answer to it is as long as answers may be, and leaves seconds to cut it off in.
QUESTION = "At how many degrees should I wash wool?"
_SETTINGS = """
[models]
discover = false
threads = 1
slots = 1

[jobs]
concurrency = 1

[limits]
research_per_minute = 0

[mesh]
name = "{name}"
"""
_WAIT_S = 60.0


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    require_namespaces()


class Machine:
    """A host with a home and its daemon, used by the command line as a person would."""

    def __init__(self, host: Host, name: str, folder: Path) -> None:
        self.host = host
        self.name = name
        self._folder = folder
        self.home = embedded_model_home(Home.at(folder / name))
        self.home.config_file.write_text(_SETTINGS.format(name=name), encoding="utf-8")
        self.environment = {
            **os.environ,
            "REGEND_HOME": str(self.home.data_dir),
            "PYTHONPATH": str(ROOT),
        }
        self._log = (folder / f"{name}.log").open("wb")
        self._daemon = subprocess.Popen(
            host.command(sys.executable, "-m", "regend", "serve", "--port", "0"),
            env=self.environment,
            cwd=ROOT,
            stdout=self._log,
            stderr=self._log,
        )
        until(lambda: self.try_run("status") is not None, f"{name} answers")

    def try_run(self, *arguments: str) -> str | None:
        """Run a command; return what it prints, None where it fails."""
        done = subprocess.run(
            self.host.command(sys.executable, "-m", "regend", *arguments),
            env=self.environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.said = done.stderr.strip()
        return done.stdout if done.returncode == 0 else None

    def run(self, *arguments: str) -> str:
        """Run a command that must succeed, and return what it prints."""
        said = self.try_run(*arguments)
        assert said is not None, f"{self.name}: {arguments}: {self.said}"
        return said

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--json"))

    def devices(self) -> list[dict[str, Any]]:
        devices: list[dict[str, Any]] = self.json("devices", "list")["devices"]
        return devices

    def events(self, job: str) -> list[dict[str, Any]]:
        """Return a job's history as far as this device has it."""
        said = self.try_run("jobs", "logs", job, "--json")
        return [] if said is None else [json.loads(line) for line in said.splitlines()]

    def can_go_on(self, job: str) -> bool:
        """Tell whether a place has come from which a job goes on exactly."""
        name = f"file:{self.home.database}?mode=ro"
        with contextlib.closing(sqlite3.connect(name, uri=True)) as connection:
            row = connection.execute(
                "SELECT c.slot FROM checkpoints c JOIN jobs j ON j.number = c.job WHERE j.id = ?",
                (job,),
            ).fetchone()
        return row is not None and row[0] is not None

    def told(self, job: str) -> list[tuple[Any, ...]]:
        return [(e["job_seq"], e["type"], e["at"], e["data"]) for e in self.events(job)]

    @contextlib.contextmanager
    def watching(self, job: str) -> Iterator[Callable[[], list[dict[str, Any]]]]:
        """Follow a job as it is shown here; lend a function that returns what was shown so far."""
        shown = self._folder / f"{self.name}.shown"
        command = (sys.executable, "-m", "regend", "jobs", "logs", "-f", job, "--json")
        with shown.open("wb") as out:
            child = subprocess.Popen(
                self.host.command(*command), env=self.environment, cwd=ROOT, stdout=out
            )
        try:
            yield lambda: [json.loads(one) for one in whole_lines(shown.read_bytes())]
        finally:
            child.terminate()
            child.wait(20)

    def close(self) -> None:
        self._daemon.terminate()
        self._daemon.wait(20)
        self._log.close()


def until(holds: Callable[[], Any], what: str, *, look_again_s: float = 0.1) -> None:
    deadline_s = time.monotonic() + _WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s, f"waited in vain until {what}"
        time.sleep(look_again_s)


def whole_lines(told: bytes) -> list[bytes]:
    """Return the lines that are written to their end."""
    return told.split(b"\n")[:-1]


@contextlib.contextmanager
def machines(net: Net, folder: Path, *names: str, ipv4: bool = True) -> Iterator[list[Machine]]:
    """Lend hosts with daemons that are one mesh."""
    made: list[Machine] = []
    try:
        for name in names:
            made.append(Machine(net.add(ipv4=ipv4), name, folder))
        first, *others = made
        for other in others:
            code = first.json("devices", "invite")["code"]
            other.run("devices", "join", code)  # found by mDNS: no address is given
        for one in made:
            until(lambda: sees(one, *made), f"{one.name} reaches all")  # noqa: B023
        yield made
    finally:
        for one in made:
            one.close()


def sees(machine: Machine, *others: Machine) -> bool:
    reached = {one["name"] for one in machine.devices() if one["reachable"]}
    return reached >= {one.name for one in others}


def level(machine: Machine) -> bool:
    return all(one["state"] == "equal" for one in machine.devices())


def text_of(events: list[dict[str, Any]]) -> str:
    chunks = [e["data"] for e in events if e["type"] == "model:chunk:v1"]
    return join_chunks(chunks).text


def result_of(machine: Machine, job: str) -> dict[str, Any]:
    """Return what a job came to, once it has ended as a machine sees it."""
    shown: dict[str, Any] = {}

    def is_completed() -> bool:
        shown.update(machine.json("jobs", "show", job))
        return bool(shown["state"] == "completed")

    until(is_completed, f"{machine.name} shows the end")
    result: dict[str, Any] = shown["result"]
    return result


@pytest.mark.timeout(300)
def test_research_that_began_on_one_goes_on_on_another_and_nobody_else_can_read_it(
    tmp_path: Path,
) -> None:
    capture = tmp_path / "bridge.pcap"
    asked = ("jobs", "run", "research", f"question={QUESTION}", "depth=deep", "seed=7")
    with (
        Net() as net,
        net.captured(capture),
        machines(net, tmp_path, "Kitchen", "Office", "रसोई") as (a, b, c),
    ):
        a.run("library", "add", str(HOUSEHOLD))
        # One at a time: the second waits, and is watched from its beginning.
        undisturbed, job = (a.run(*asked).strip() for _ in range(2))
        for one in (b, c):
            until(lambda: one.events(job), f"{one.name} shows the job")  # noqa: B023
        with b.watching(job) as shown_on_b, c.watching(job) as shown_on_c:
            until(
                lambda: b.can_go_on(job) and text_of(shown_on_b()) and text_of(shown_on_c()),
                "B and C show what A writes, and B can go on from it",
                look_again_s=0.02,
            )
            a.host.cut()
            read = [text_of(shown()) for shown in (shown_on_b, shown_on_c)]
        expected = result_of(a, undisturbed)
        whole = text_of(a.events(undisturbed))
        for seen in read:
            assert seen and whole.startswith(seen) and seen != whole, "it was in mid-answer"

        assert b.try_run("jobs", "takeover", job) is None
        assert "Kitchen" in b.said and "--force" in b.said
        b.run("jobs", "takeover", job, "--force")
        assert result_of(b, job) == expected
        on_b = b.events(job)
        assert text_of(on_b) == whole, "token by token"
        resumed = [e["data"] for e in on_b if e["type"] == "job:resumed:v1"]
        assert [(one["resume"], one["position"] > 0) for one in resumed] == [("exact", True)]
        assert result_of(c, job) == expected
        # A knew nothing of that, and ended it by itself. What it read is on B by now.
        assert result_of(a, job) == expected
        assert a.told(job) != b.told(job)
        found = [one.json("library", "search", QUESTION)["hits"] for one in (a, b)]
        assert found[0] == found[1] and found[0]

        a.host.heal()
        for one in (a, b, c):
            until(lambda: sees(one, a, b, c) and level(one), f"{one.name} is level")  # noqa: B023
        assert a.told(job) == b.told(job) == c.told(job)
        places = [event[0] for event in a.told(job)]
        assert places == list(range(1, len(places) + 1)), "one whole history"
        ids = [bytes.fromhex(one["id"]) for one in a.devices()]
        mesh = bytes.fromhex(a.json("devices", "list")["mesh"])
    seen_on_bridge = capture.read_bytes()
    assert len(seen_on_bridge) > 100_000, "the exchange is on record"
    secrets = [QUESTION, job, undisturbed, whole[:40], "Kitchen", "Office", "रसोई", "AQUAJET"]
    secrets += [mesh.hex(), *(one.hex() for one in ids)]
    for cited in expected["citations"]:
        secrets += [cited["quote"][:20], cited["title"], cited["source"], cited["document_id"]]
    for secret in [*(text.encode() for text in secrets), mesh, *ids]:
        assert secret not in seen_on_bridge, secret


def test_hosts_without_ipv4_pair_and_reach_one_another(tmp_path: Path) -> None:
    with (
        Net(searches_duplicates=True) as net,
        machines(net, tmp_path, "Kitchen", "Office", ipv4=False) as (a, b),
    ):
        (there,) = [one for one in a.devices() if one["name"] == b.name]
        assert there["address"].startswith(f"[{b.host.link_local()}%")
