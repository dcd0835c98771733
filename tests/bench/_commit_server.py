"""The ceiling of the latency benchmark: one durable row and one frame for each request.

python -m tests.bench._commit_server DATABASE
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from aiohttp import web

from regend.api.hub import text_frame
from regend.store.connection import open_writer


async def _main(path: Path) -> None:
    connection = open_writer(path)
    connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT")
    transports: list[asyncio.Transport] = []

    def commit(body: str) -> None:
        connection.execute("INSERT INTO jobs (body) VALUES (?)", (body,))

    async def submit(request: web.Request) -> web.Response:
        await asyncio.to_thread(commit, await request.text())
        for kind in ("job:created:v1", "job:completed:v1"):
            frame = text_frame(f'{{"op":"events","events":[{{"type":"{kind}"}}]}}'.encode())
            for transport in transports:
                transport.write(frame)
        return web.json_response({}, status=202)

    async def stream(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        await socket.receive()
        await socket.send_str('{"op":"hello"}')
        assert isinstance(request.transport, asyncio.Transport)
        transports.append(request.transport)
        await socket.receive()
        return socket

    app = web.Application()
    app.add_routes([web.post("/", submit), web.get("/ws", stream)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print("serving", f"http://127.0.0.1:{runner.addresses[0][1]}/", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # nothing here is worth a slow end


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
