"""A daemon's life: whatever fails at its start or its end, the home is free for the next one."""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from regend.api.hub import Hub
from regend.api.metrics import Metrics
from regend.clock import SystemClock
from regend.config import ServerConfig
from regend.errors import BadInput, Failed
from regend.home import Home
from regend.services import Services
from regend.store import Store
from tests.api.conftest import API, Start


async def test_a_part_that_fails_to_end_keeps_no_other_from_ending(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = Services.stop

    async def fail(services: Services) -> None:
        await stop(services)
        raise OSError("the model host does not end")

    monkeypatch.setattr(Services, "stop", fail)
    running = await start()
    with pytest.raises(OSError, match="does not end"):
        await running.daemon.stop()
    monkeypatch.undo()
    assert not running.home.daemon_file.exists()
    again = await start()
    assert (await again.call("GET", f"{API}/jobs")).status == 200


async def test_a_change_that_is_told_after_the_store_ended_is_no_fault(tmp_path: Path) -> None:
    faults: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, fault: faults.append(fault))
    store = Store(Home.at(tmp_path))
    hub = Hub(store, SystemClock(), Metrics())
    await store.write(lambda c: c.execute("INSERT INTO settings VALUES ('a', 'b')").rowcount)
    store.close()
    await asyncio.sleep(0.05)
    assert faults == []
    assert len(hub) == 0
    assert not (tmp_path / "regend.db-wal").exists()


async def test_a_daemon_that_cannot_start_leaves_its_home_to_the_next(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for _ in range(2):
            with pytest.raises(BadInput, match="taken"):
                await start(server=ServerConfig(port=taken.getsockname()[1]))
    running = await start()
    await running.daemon.stop()
    key = running.home.keys_dir / "token.key"
    whole = key.read_bytes()
    key.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(Failed, match="not the key"):
            await start()
    key.write_bytes(whole)
    running = await start()
    assert (await running.call("GET", f"{API}/jobs")).status == 200


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be moved there")
async def test_a_daemon_whose_home_is_gone_does_not_say_that_it_is_well(start: Start) -> None:
    running = await start()
    aside = running.home.data_dir.with_name("aside")
    running.home.data_dir.rename(aside)
    refused = await running.call("POST", f"{API}/jobs", as_json={"type": "count", "input": {}})
    assert refused.status == 503
    told = (await running.call("GET", "/health", token=None)).json
    assert told["status"] == "degraded" and "not there any more" in told["fault"]
    aside.rename(running.home.data_dir)
    await running.submit("count", steps=0)
    assert (await running.call("GET", "/health", token=None)).json["status"] == "ok"
