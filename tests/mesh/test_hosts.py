"""Three hosts on one network: paired by a code over real mDNS, one cut off in mid-answer.

The real daemon, the real model, the real network, and everything that passes the bridge on record.
"""

from __future__ import annotations

import contextlib
import json
import os
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
QUESTION = "When is the rent due, and how is it paid?"
_SETTINGS = """
[models]
discover = false
threads = 1
slots = 1

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
        self.said = done.stderr
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

    def told(self, job: str) -> list[tuple[Any, ...]]:
        return [(e["job_seq"], e["type"], e["at"], e["data"]) for e in self.events(job)]

    def close(self) -> None:
        self._daemon.terminate()
        self._daemon.wait(20)
        self._log.close()


def until(holds: Callable[[], Any], what: str) -> None:
    deadline_s = time.monotonic() + _WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s, f"waited in vain until {what}"
        time.sleep(0.1)


@contextlib.contextmanager
def machines(net: Net, folder: Path, *names: str) -> Iterator[list[Machine]]:
    """Lend hosts with daemons that are one mesh."""
    made: list[Machine] = []
    try:
        for name in names:
            made.append(Machine(net.add(), name, folder))
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


def has_begun_to_write(events: list[dict[str, Any]]) -> bool:
    types = [event["type"] for event in events]
    return "job:checkpoint:v1" in types and types.count("model:chunk:v1") >= 2


@pytest.mark.timeout(300)
def test_a_job_that_began_on_one_goes_on_on_another_and_nobody_else_can_read_it(
    tmp_path: Path,
) -> None:
    capture = tmp_path / "bridge.pcap"
    asked = (
        "jobs",
        "run",
        "chat",
        f"prompt={QUESTION}",
        "seed=7",
        "max_tokens=384",
        "temperature=0.9",
    )
    with (
        Net() as net,
        net.captured(capture),
        machines(net, tmp_path, "Kitchen", "Office", "रसोई") as (a, b, c),
    ):
        a.run("library", "add", str(HOUSEHOLD))
        undisturbed = a.run(*asked).strip()
        until(lambda: a.json("jobs", "show", undisturbed)["state"] == "completed", "it ends")
        expected = a.json("jobs", "show", undisturbed)["result"]

        job = a.run(*asked).strip()
        until(lambda: has_begun_to_write(b.events(job)), "B shows what A writes")
        assert c.events(job), "C shows it too"
        a.host.cut()
        refused = b.try_run("jobs", "takeover", job)
        if refused is None:  # else A's last grant had left before the cut was noticed
            b.run("jobs", "takeover", job, "--force")
        until(lambda: b.json("jobs", "show", job)["state"] == "completed", "B ends it")
        shown = b.json("jobs", "show", job)
        assert shown["result"] == expected
        assert text_of(b.events(job)) == text_of(a.events(undisturbed))
        until(lambda: c.json("jobs", "show", job)["state"] == "completed", "C sees the end")

        a.host.heal()
        for one in (a, b, c):
            until(lambda: sees(one, a, b, c) and level(one), f"{one.name} is level")  # noqa: B023
        assert a.told(job) == b.told(job) == c.told(job)
        ids = [bytes.fromhex(one["id"]) for one in a.devices()]
        mesh = bytes.fromhex(a.json("devices", "list")["mesh"])
    seen = capture.read_bytes()
    assert len(seen) > 100_000, "the exchange is on record"
    secrets = [QUESTION, "rent", job, undisturbed, expected["text"][:40], "Kitchen", "Office"]
    secrets += ["रसोई", mesh.hex(), *(one.hex() for one in ids)]
    for secret in [*(text.encode() for text in secrets), mesh, *ids]:
        assert secret not in seen, secret
