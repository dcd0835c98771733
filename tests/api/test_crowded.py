"""More connections than the daemon has files for: its work goes on, and who may call is served."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.api.conftest import API, Running
from tests.api.rawstream import RawStream

_ROOT = Path(__file__).parents[2]

FILES = 320
STRANGERS = 1500


async def _opened(port: int, count: int) -> list[socket.socket]:
    """Open connections that say nothing, as fast as one can."""
    loop, opened = asyncio.get_running_loop(), []
    for number in range(count):
        one = socket.socket()
        one.setblocking(False)
        opened.append(one)
        await loop.sock_connect(one, ("127.0.0.1", port))
        if number % 50 == 0:
            await asyncio.sleep(0.01)
    return opened


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[tuple[str, str, Path]]:
    """A daemon in a process of its own, which may open few files; its URL, token and log."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    home, log = tmp_path / "home", tmp_path / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.serve", "0"],
            env={**os.environ, "REGEND_HOME": str(home), "PYTHONPATH": str(_ROOT)},
            cwd=_ROOT,
            stderr=file,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES)),
        )
    try:
        async with asyncio.timeout(60):
            while not (home / "daemon.json").exists():
                assert process.poll() is None, log.read_text(encoding="utf-8")
                await asyncio.sleep(0.05)
        url = json.loads((home / "daemon.json").read_bytes())["url"]
        yield url, (home / "token").read_text(encoding="utf-8").strip(), log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_strangers_who_take_every_connection_keep_no_job_from_its_files(
    daemon: tuple[str, str, Path],
) -> None:
    url, token, log = daemon
    strangers = await _opened(int(url.rpartition(":")[2]), STRANGERS)
    try:
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
            body = {"type": "chat", "input": {"prompt": "य" * 40_000}}  # a payload in a file
            async with session.post(f"{url}{API}/jobs", json=body) as answer:
                assert answer.status == 202, await answer.text()
                job = (await answer.json())["id"]
            async with asyncio.timeout(60):
                shown = {"state": ""}
                while shown["state"] not in ("completed", "failed"):
                    async with session.get(f"{url}{API}/jobs/{job}") as answer:
                        shown = await answer.json()
        assert shown["state"] == "completed", shown
        assert len(log.read_bytes()) < 20_000
    finally:
        for one in strangers:
            one.close()


async def test_who_proved_who_they_are_makes_room_for_no_stranger(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.daemon._server._doorway, "_most", lambda: 8)
    ticket = (await running.call("POST", f"{API}/auth/ticket")).json["ticket"]
    async with RawStream(running) as stream:
        await stream.greet()
        address = f"{running.url}{API}/ws?ticket={ticket}"
        async with running.session.ws_connect(address, protocols=("regend.v1",)) as other:
            for one in await _opened(running.port, 40):
                one.close()
            await stream.send(op="subscribe", id="still here", jobs=None)
            assert (await stream.frame())["id"] == "still here"
            await other.send_json({"op": "hello", "epoch": None, "after_seq": None, "jobs": None})
            assert (await other.receive_json())["op"] == "hello"
    assert (await running.call("GET", f"{API}/jobs")).status == 200


async def test_connections_that_are_gone_are_counted_no_more(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    doorway = running.daemon._server._doorway
    monkeypatch.setattr(doorway, "_most", lambda: 4)
    for _ in range(3):
        for one in await _opened(running.port, 20):
            one.close()
    async with asyncio.timeout(20):
        while doorway._open:
            await asyncio.sleep(0.02)
    assert not doorway._strangers


async def test_requests_that_are_none_leave_nothing_in_the_log(
    running: Running, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("regend"), "propagate", True)
    caplog.set_level(logging.INFO)
    for _ in range(20):
        assert b" 400 " in (await running.raw(b"\x16\x03\x01 no HTTP\r\n\r\n"))[:20]
    assert not caplog.records
