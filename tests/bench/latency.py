"""From handing a job in to its first event at a connected client, without a model.

    python -m tests.bench latency [--jobs 300]

Each job goes over HTTP, is committed with `synchronous=FULL`, and its first event comes back over
a WebSocket that was open before; the time runs from the first byte sent to the event's arrival.
Beside it the ceiling: an aiohttp server that commits one row to a database of the same settings
and writes one frame. The two take turns, so that both meet the same machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from pathlib import Path

import aiohttp

from tests.bench.stream import HELLO, Process

_BLOCK = 25  # jobs in a row before the other has its turn
_REST_S = 0.25  # after a job: the daemon readies the next worker, and people are no faster


class Caller:
    """A client with one stream open; jobs are posted to `submit`."""

    def __init__(self, session: aiohttp.ClientSession, url: str, token: str, submit: str) -> None:
        self._session = session
        self._url = url
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._submit = submit
        self._first: asyncio.Future[float] | None = None
        self._ended = asyncio.Event()

    async def open(self, path: str) -> asyncio.Task[None]:
        """Open the stream; the task reads it."""
        socket = await self._session.ws_connect(
            self._url + path, headers={"Authorization": self._headers["Authorization"]}
        )
        await socket.send_str(HELLO)
        assert (await socket.receive_json())["op"] == "hello"
        return asyncio.create_task(self._read(socket))

    async def once(self) -> float:
        """Hand one job in; return the milliseconds to its first event, after the job's end."""
        self._first = asyncio.get_running_loop().create_future()
        self._ended.clear()
        start = time.perf_counter()
        body = b'{"type":"nothing","input":{}}'
        url = self._url + self._submit
        async with self._session.post(url, data=body, headers=self._headers) as response:
            assert response.status == 202
            await response.read()
        arrived = await self._first
        await self._ended.wait()
        return (arrived - start) * 1000

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        async for message in socket:
            now = time.perf_counter()
            for event in json.loads(message.data)["events"]:
                if event["type"] == "job:created:v1" and self._first is not None:
                    self._first.set_result(now)
                elif event["type"] == "job:completed:v1":
                    self._ended.set()


async def _measure(
    jobs: int, address: str, token: str, bare_address: str
) -> dict[str, list[float]]:
    """Return the latencies of both, measured in turns."""
    async with aiohttp.ClientSession() as session:
        daemon_url = address.removesuffix("/api/v1/ws")
        callers = {
            "bare": Caller(session, bare_address.removesuffix("/"), "none", "/"),
            "daemon": Caller(session, daemon_url, token, "/api/v1/jobs"),
        }
        reading = [await callers["daemon"].open("/api/v1/ws"), await callers["bare"].open("/ws")]
        found: dict[str, list[float]] = {name: [] for name in callers}
        for caller in callers.values():
            for _ in range(10):
                await caller.once()
        while len(found["daemon"]) < jobs:
            for name, caller in callers.items():
                for _ in range(_BLOCK):
                    found[name].append(await caller.once())
                    await asyncio.sleep(_REST_S)
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
    return found


def main(argv: list[str]) -> None:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench latency")
    parser.add_argument("--jobs", type=int, default=300)
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        server = Process("tests.bench._stream_server", "daemon", str(Path(folder) / "home"))
        ceiling = Process("tests.bench._commit_server", str(Path(folder) / "bare.db"))
        try:
            _, address, token = server.line().split()
            _, bare_address = ceiling.line().split()
            found = asyncio.run(_measure(options.jobs, address, token, bare_address))
        finally:
            server.close()
            ceiling.close()
    print(f"submit to first event at a connected client, {len(found['daemon'])} jobs")
    for name, latencies in found.items():
        ordered = sorted(latencies)
        p50, p95 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.95)]
        print(f"  {name:8} p50 {p50:6.2f} ms   p95 {p95:6.2f} ms")
    print("  the daemon's p95 should be at most 15 ms")
