"""What a short command must not load: each of these costs more than the command itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.conftest import Desk

_HEAVY = {
    "aiohttp",
    "asyncio",
    "email",
    "http.client",
    "importlib.metadata",
    "regend.config",
    "regend.daemon",
    "rich",
    "sqlite3",
    "ssl",
    "tomllib",
    "urllib.request",
}


def _loaded(desk: Desk, *arguments: str) -> set[str]:
    program = (
        "import sys; from regend.cli import main; main(sys.argv[1:]); "
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        encoding="utf-8",
        env=desk.environment,
        check=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("command", ["--help", "--version"])
def test_help_and_version_load_no_parser(own_desk: Desk, command: str) -> None:
    assert not (_HEAVY | {"click", "socket", "json"}) & _loaded(own_desk, command)


def test_a_listing_loads_nothing_heavy(desk: Desk) -> None:
    desk.job("nap")
    loaded = _loaded(desk, "jobs", "list")
    assert "regend.cli.jobs" in loaded
    assert not _HEAVY & loaded
