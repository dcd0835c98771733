"""A server that speaks the stream contract over a log in memory, and does its worst.

It never lies about the log: every event is there, in order, once. All else may go wrong:
connections are cut between frames and inside one, frames are delayed and repeated, commands are
carried out and not answered or answered twice, the server restarts with its log or with another,
history is compacted, closes carry every code, and frames of unknown kinds come in between.
`executed` counts what each idempotency key did; the only truth that a client is held to.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from regend.web import files as web_files

TOKEN = "the-token"
CSRF = "the-csrf"


@dataclass
class Faults:
    """How likely each fault is, for each frame that goes out (or command that comes in)."""

    drop: float = 0.0
    drop_inside_frame: float = 0.0
    repeat: float = 0.0
    old_again: float = 0.0
    unknown: float = 0.0
    close_4008: float = 0.0
    close_4429: float = 0.0
    close_1011: float = 0.0
    delay: float = 0.0
    reply_lost: float = 0.0
    reply_twice: float = 0.0
    refuse_opening: float = 0.0

    @staticmethod
    def all() -> Faults:
        """Return every fault at once."""
        return Faults(
            drop=0.04,
            drop_inside_frame=0.04,
            repeat=0.1,
            old_again=0.1,
            unknown=0.1,
            close_4008=0.02,
            close_4429=0.02,
            close_1011=0.02,
            delay=0.05,
            reply_lost=0.3,
            reply_twice=0.3,
            refuse_opening=0.1,
        )


@dataclass
class History:
    """The log of one epoch; events up to `floor` are compacted away."""

    epoch: str = "epoch-1"
    events: list[dict[str, Any]] = field(default_factory=list)
    floor: int = 0

    @property
    def seq(self) -> int:
        return self.events[-1]["seq"] if self.events else 0


class HostileServer:
    """The server; start it, shape it while clients are connected, stop it.

    Args:
        seed: seeds every decision.
        faults: what goes wrong.
    """

    def __init__(self, seed: int = 0, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.history = History()
        self.executed: Counter[str] = Counter()
        self.commands: dict[str, dict[str, Any]] = {}
        self.hellos: list[dict[str, Any]] = []
        self.tickets: set[str] = set()
        self.batch_length = 7
        self.close_next_hello: tuple[int, str] | None = None
        self.raw_after_hello: list[str] = []
        self._results: dict[str, dict[str, Any]] = {}
        self._dice = random.Random(seed)
        self._changed = asyncio.Condition()
        self._sockets: set[web.WebSocketResponse] = set()
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen; on the same port as before, if there was one."""
        app = web.Application()
        app.router.add_get("/api/v1/ws", self._stream)
        app.router.add_post("/api/v1/auth/ticket", self._ticket)
        for path in web_files():
            app.router.add_get(path, self._script)
        app.router.add_get("/", self._page)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        # A listener of our own rather than a site: `stop` must reach its sockets.
        assert self._runner.server is not None
        self._listener = await asyncio.get_running_loop().create_server(
            self._runner.server, "127.0.0.1", self.port, reuse_address=True
        )
        self.port = self._listener.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Die without a word to anybody."""
        if self._runner is None or self._listener is None:
            return
        # Python 3.11 leaks a connection whose accepting is under way when its listener closes:
        # accept no more, let the accepted ones arrive, and close then.
        for listening in self._listener.sockets:
            asyncio.get_running_loop().remove_reader(listening.fileno())
        for _ in range(10):
            await asyncio.sleep(0)
        self._listener.close()
        self.cut_all()
        await self._runner.cleanup()
        self._runner = self._listener = None

    async def restart(self, history: History | None = None) -> None:
        """Die and come back, with the log kept or with another one."""
        await self.stop()
        if history is not None:
            self.history = history
        await self.start()

    def cut_all(self) -> None:
        """Cut every connection at once."""
        for socket in self._sockets:
            _cut(socket)

    async def append(self, count: int, *, text_length: int = 3, job_id: str = "j1") -> None:
        """Add events to the log; seq has holes, for other users' events take places too."""
        for _ in range(count):
            seq = self.history.seq + self._dice.choice([1, 1, 1, 2, 5])
            kind = self._dice.choice(["model:chunk:v1", "job:progress:v1", "job:dance:v9"])
            self.history.events.append(
                {
                    "seq": seq,
                    "job_id": job_id,
                    "job_seq": len(self.history.events) + 1,
                    "type": kind,
                    "at": "2026-01-01T00:00:00.000Z",
                    "data": {"text": "नमस्ते"[: self._dice.randrange(1, 6)] * text_length},
                }
            )
        await self.ring()

    async def compact(self, floor: int) -> None:
        """Forget single events up to `floor`; clients that still want them get a snapshot."""
        self.history.floor = max(self.history.floor, floor)
        self.cut_all()

    async def ring(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # HTTP

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>client</title>", content_type="text/html")

    async def _script(self, request: web.Request) -> web.Response:
        return web.Response(body=web_files()[request.path], content_type="text/javascript")

    async def _ticket(self, request: web.Request) -> web.Response:
        bearer = request.headers.get("Authorization") == f"Bearer {TOKEN}"
        if not bearer and request.headers.get("X-CSRF-Token") != CSRF:
            body = {"error": {"code": "not_authenticated", "message": "Who are you?"}}
            return web.json_response(body, status=401)
        ticket = f"ticket-{self._dice.random()}"
        self.tickets.add(ticket)
        return web.json_response({"ticket": ticket})

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        ticket = request.query.get("ticket")
        bearer = request.headers.get("Authorization") == f"Bearer {TOKEN}"
        if not bearer and ticket not in self.tickets:
            return web.Response(status=401)
        self.tickets.discard(ticket or "")
        if self._happens(self.faults.refuse_opening):
            return web.Response(status=503)
        socket = web.WebSocketResponse(protocols=("regend.v1",), timeout=0.2, max_msg_size=65536)
        await socket.prepare(request)
        if socket.ws_protocol != "regend.v1":
            await socket.close(code=WSCloseCode.PROTOCOL_ERROR)
            return socket
        self._sockets.add(socket)
        try:
            await self._converse(socket)
        except ConnectionError:
            _cut(socket)
        finally:
            self._sockets.discard(socket)
        return socket

    # One connection

    async def _converse(self, socket: web.WebSocketResponse) -> None:
        first = await socket.receive()
        if first.type is not WSMsgType.TEXT:
            return
        hello = json.loads(first.data)
        assert hello["op"] == "hello", "a client said something before hello"
        self.hellos.append(hello)
        if self.close_next_hello is not None:
            (code, reason), self.close_next_hello = self.close_next_hello, None
            await socket.close(code=code, message=reason.encode())
            return
        connection = _Connection(self, socket, hello)
        sender = asyncio.create_task(connection.send_events())
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await connection.obey(json.loads(message.data))
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def _happens(self, likelihood: float) -> bool:
        return self._dice.random() < likelihood

    def execute(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a command, or return what its key did before."""
        key = command["idempotency_key"]
        if key not in self._results:
            self.executed[key] += 1
            self.commands[key] = dict(command)
            job = {"id": command.get("job_id", f"job-{len(self.commands)}"), "state": "created"}
            self._results[key] = {"ok": True, "job": job}
            if command.get("job_id") == "missing":
                error = {"code": "job_not_found", "message": "There is no such job.", "status": 404}
                self._results[key] = {"ok": False, "error": error}
        return self._results[key]


class _Connection:
    """What one client is owed; every frame may meet a fault on its way."""

    def __init__(
        self, server: HostileServer, socket: web.WebSocketResponse, hello: dict[str, Any]
    ) -> None:
        self.server = server
        self.socket = socket
        self.jobs: set[str] | None = None if hello["jobs"] is None else set(hello["jobs"])
        self.history = server.history
        self.known_epoch = hello["epoch"] in (None, self.history.epoch)
        after_seq = hello["after_seq"]
        self.position = self.history.seq if after_seq is None else after_seq

    async def send_events(self) -> None:
        """Greet, then send the log from the client's position on, for ever."""
        server, history = self.server, self.history
        gap = None
        if self.known_epoch and self.position < history.floor:
            gap = {"from": self.position + 1, "to": history.floor}
        greeting = {"epoch": history.epoch, "seq": history.seq, "resumed": gap is None, "gap": gap}
        await self._send({"op": "hello", **greeting})
        if not self.known_epoch:
            return
        for text in server.raw_after_hello:
            await self.socket.send_str(text)
        if gap is not None:
            await self._send({"op": "snapshot", "jobs": [{"id": "j1", "last_seq": gap["to"]}]})
            self.position = history.floor
        while True:
            await self._send_batch()

    async def _send_batch(self) -> None:
        server, events = self.server, self.history.events
        batch = [one for one in events if one["seq"] > self.position and self._wanted(one)]
        batch = batch[: server.batch_length]
        if not batch:
            async with server._changed:
                await server._changed.wait()
            return
        if server._happens(server.faults.old_again):
            old = [one for one in events if self.history.floor < one["seq"] <= self.position]
            batch = server._dice.sample(old, min(3, len(old))) + batch
        self.position = batch[-1]["seq"]
        await self._send({"op": "events", "events": batch})

    def _wanted(self, one: dict[str, Any]) -> bool:
        return self.jobs is None or one["job_id"] in self.jobs

    async def obey(self, command: dict[str, Any]) -> None:
        """Carry out one command; its answer may be lost or come twice."""
        server = self.server
        if command["op"] == "subscribe" and self.jobs is not None:
            self.jobs |= set(command["jobs"])
        if command["op"] == "unsubscribe" and self.jobs is not None:
            self.jobs -= set(command["jobs"])
        result = server.execute(command)
        await server.ring()
        if server._happens(server.faults.reply_lost):
            _cut(self.socket)
            return
        for _ in range(2 if server._happens(server.faults.reply_twice) else 1):
            await self._send({"op": "reply", "id": command["id"], **result})

    async def _send(self, content: dict[str, Any]) -> None:
        """Send a frame, or do what the dice say."""
        faults, happens = self.server.faults, self.server._happens
        text = json.dumps(content, ensure_ascii=False)
        if happens(faults.unknown):
            await self.socket.send_str('{"op": "dance", "steps": [1, 2, 3]}')
        if happens(faults.delay):
            await asyncio.sleep(0.02)
        if happens(faults.drop):
            _cut(self.socket)
        elif happens(faults.drop_inside_frame):
            _cut_inside_frame(self.socket, text)
        elif happens(faults.close_1011):
            await self.socket.close(code=1011)
        elif happens(faults.close_4429):
            await self.socket.close(code=4429)
        else:
            await self.socket.send_str(text)
            if happens(faults.repeat):
                await self.socket.send_str(text)
            if happens(faults.close_4008):
                resume_point = json.dumps({"after_seq": self.position})
                await self.socket.close(code=4008, message=resume_point.encode())


def _cut(socket: web.WebSocketResponse) -> None:
    transport = socket._req.transport if socket._req is not None else None
    if transport is not None:
        transport.abort()


def _cut_inside_frame(socket: web.WebSocketResponse, text: str) -> None:
    """Announce a frame, send half of it, and cut."""
    transport = socket._req.transport if socket._req is not None else None
    if transport is None:
        return
    content = text.encode()
    header = bytes([0x81, 127]) + len(content).to_bytes(8, "big")
    transport.write(header + content[: len(content) // 2])
    transport.close()
