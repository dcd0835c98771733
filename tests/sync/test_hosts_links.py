"""Links between hosts of a network, and what becomes of them when the network breaks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.sync.devices import make_device
from tests.sync.hosts import ROOT, Host, Net, require_namespaces


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    require_namespaces()


class End:
    """A running `tests.sync.linker`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def expect(self, word: str) -> str:
        """Return what the next line says after `word`."""
        assert self.process.stdout is not None
        async with asyncio.timeout(15):
            line = (await self.process.stdout.readline()).decode().strip()
        assert line.startswith(word), line
        return line.removeprefix(word).strip()


@contextlib.asynccontextmanager
async def end(host: Host, *arguments: str) -> AsyncIterator[End]:
    process = await asyncio.create_subprocess_exec(
        *host.python("tests.sync.linker", *arguments),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        yield End(process)
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_link_over_a_link_local_address_breaks_when_the_cable_does(tmp_path: Path) -> None:
    a, b = make_device(tmp_path / "a"), make_device(tmp_path / "b")
    with Net() as net:
        host_a, host_b = net.add(), net.add()
        zone = host_b.ip("-o", "link", "show", "eth0").split(":")[0]
        address = f"{host_a.link_local()}%{zone}"
        async with end(host_a, "serve", str(tmp_path)) as there:
            await there.expect("port")
            async with end(host_b, "call", str(tmp_path), address) as here:
                assert await here.expect("open") == a.id.hex()
                assert await there.expect("open") == b.id.hex()
                host_a.cut()
                assert "nothing was heard" in await here.expect("ended")
                assert "nothing was heard" in await there.expect("ended")


async def test_a_peer_that_is_stopped_is_gone_and_does_not_blame_the_other(tmp_path: Path) -> None:
    make_device(tmp_path / "a"), make_device(tmp_path / "b")
    with Net() as net:
        host_a, host_b = net.add(), net.add()
        async with end(host_a, "serve", str(tmp_path)) as there:
            await there.expect("port")
            async with end(host_b, "call", str(tmp_path), host_a.address) as here:
                await here.expect("open")
                await there.expect("open")
                there.process.send_signal(signal.SIGSTOP)
                assert "nothing was heard" in await here.expect("ended")
                there.process.send_signal(signal.SIGCONT)
                assert "nothing was heard" not in await there.expect("ended")
