"""The servers of the stream benchmark, each in a process of its own.

    python -m tests.bench._stream_server daemon|bare HOME

Prints `serving URL TOKEN`, then obeys lines: `pace SECONDS RATE SIZE` makes RATE events a second,
one commit each; `flood SECONDS BATCH SIZE` makes as many as it can, BATCH to a commit. After each
it prints JSON: events made, seconds, processor seconds, and resident megabytes.

`daemon` is the whole daemon: events go through the store. `bare` is the ceiling: the same aiohttp
loop that encodes an event (or a batch) once and writes the bytes to each transport.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import WSMsgType, web

from regend.api.hub import text_frame
from regend.config import Config, LimitsConfig, ModelsConfig, ServerConfig
from regend.daemon import Daemon
from regend.events import MODEL_CHUNK
from regend.home import Home
from regend.jobs import history
from regend.jobs.history import Draft
from regend.jobs.inputs import InputType
from regend.jsonschema import fields
from tests.api.log import Log

Emit = Callable[[int, int], Awaitable[None]]
_BACKLOG_BYTES = 256 * 1024  # the bare loop waits while a client has more unread


def draft(size: int) -> Draft:
    """Return a chunk whose text begins with the present time."""
    text = f"{time.monotonic_ns()} ".ljust(size, "x")
    return Draft(MODEL_CHUNK, f'{{"text":"{text}","offset":0,"tokens":1,"step":1}}')


async def serve_daemon(folder: Path) -> tuple[str, Emit, Callable[[], Awaitable[None]]]:
    """Start a daemon and return its address, what makes events, and what waits for the clients."""
    config = Config(
        server=ServerConfig(port=0), models=ModelsConfig(discover=False), limits=LimitsConfig(0, 0)
    )
    home = Home.at(folder)
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[2])  # for workers
    types = {"nothing": InputType(fields(), lambda _input: "Nothing")}
    daemon = Daemon(home, config, agents={"nothing": "tests.bench._nothing"}, types=types)
    url = await daemon.start()
    store, hub = daemon._store, daemon._hub
    job = await Log(store).job()

    async def emit(count: int, size: int) -> None:
        drafts = [draft(size) for _ in range(count)]
        now_ms = time.time_ns() // 1_000_000

        def write(connection: object) -> None:
            for one in drafts:
                history.append(connection, job.number, one, now_ms)  # type: ignore[arg-type]

        await store.write(write)

    async def drained() -> None:
        newest = await store.query(history.newest_seq)
        while hub.seq < newest or hub._catching_up:
            await asyncio.sleep(0.005)

    token = home.token_file.read_text(encoding="utf-8").strip()
    return f"{url}/api/v1/ws {token}", emit, drained


async def serve_bare(folder: Path) -> tuple[str, Emit, Callable[[], Awaitable[None]]]:
    """Start the bare loop; see `serve_daemon`."""
    transports: set[asyncio.Transport] = set()

    async def handle(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        assert isinstance(request.transport, asyncio.Transport)
        transports.add(request.transport)
        try:
            async for message in socket:
                assert message.type is WSMsgType.TEXT
        finally:
            transports.discard(request.transport)
        return socket

    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=2048).start()
    seq = 0

    async def emit(count: int, size: int) -> None:
        nonlocal seq
        lines = []
        for _ in range(count):
            seq += 1
            one = draft(size)
            lines.append(
                f'{{"seq":{seq},"job_id":"019c0000-0000-7000-8000-000000000000","job_seq":{seq},'
                f'"type":"{one.type}","at":"2026-01-01T00:00:00.000Z","data":{one.data}}}'
            )
        frame = text_frame(f'{{"op":"events","events":[{",".join(lines)}]}}'.encode())
        for transport in transports:
            transport.write(frame)
        await asyncio.sleep(0)
        if count > 1:
            await drained()

    async def drained() -> None:
        while any(one.get_write_buffer_size() > _BACKLOG_BYTES for one in transports):
            await asyncio.sleep(0.001)

    return f"http://127.0.0.1:{runner.addresses[0][1]}/ none", emit, drained


async def _pace(emit: Emit, seconds: float, rate: float, size: int) -> int:
    start, made = time.monotonic(), 0
    while made < seconds * rate:
        await emit(1, size)
        made += 1
        await asyncio.sleep(max(0.0, start + made / rate - time.monotonic()))
    return made


async def _flood(emit: Emit, seconds: float, batch: int, size: int) -> int:
    start, made = time.monotonic(), 0
    while time.monotonic() < start + seconds:
        await emit(batch, size)
        made += batch
    return made


def _resident_mb() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


async def _main(kind: str, folder: Path) -> None:
    address, emit, drained = await (serve_daemon if kind == "daemon" else serve_bare)(folder)
    print("serving", address, flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        name, seconds, number, size = line.split()
        cpu, start = time.process_time(), time.monotonic()
        run = _pace if name == "pace" else _flood
        made = await run(emit, float(seconds), int(number), int(size))
        await drained()
        told = {
            "events": made,
            "seconds": time.monotonic() - start,
            "cpu_s": time.process_time() - cpu,
            "rss_mb": _resident_mb(),
        }
        print(json.dumps(told), flush=True)
    os._exit(0)  # the home is the benchmark's to remove; nothing here is worth a slow end


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], Path(sys.argv[2])))
