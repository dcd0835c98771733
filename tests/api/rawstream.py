"""A stream client without manners or memory: it says what a test says and keeps what comes."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, Self

import aiohttp

from tests.api.conftest import API, Running

FRAME_BYTES = 32 * 2**20


class RawStream:
    """One WebSocket of a daemon under test."""

    def __init__(self, running: Running, token: str = "", *, autoping: bool = True) -> None:
        self._running = running
        self._token = token or running.token
        self._autoping = autoping
        self.events: list[dict[str, Any]] = []
        self.hello: dict[str, Any] = {}
        self.snapshot: list[dict[str, Any]] | None = None
        self.code: int | None = None
        self.reason = ""

    async def __aenter__(self) -> Self:
        self.socket = await self._running.session.ws_connect(
            f"{self._running.url}{API}/ws",
            protocols=("regend.v1",),
            headers={"Authorization": f"Bearer {self._token}"},
            max_msg_size=FRAME_BYTES,
            autoping=self._autoping,
            timeout=aiohttp.ClientWSTimeout(ws_close=0.2),
        )
        assert self.socket.protocol == "regend.v1"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.socket.close()

    async def greet(
        self, after_seq: int | None = 0, epoch: str | None = None, jobs: list[str] | None = None
    ) -> dict[str, Any]:
        """Say hello and return the answer; a snapshot that is owed is taken too."""
        await self.send(op="hello", after_seq=after_seq, epoch=epoch, jobs=jobs)
        self.hello = await self.frame()
        assert self.hello["op"] == "hello", self.hello
        if self.hello["gap"] is not None or epoch not in (None, self.hello["epoch"]):
            snapshot = await self.frame()
            assert snapshot["op"] == "snapshot"
            self.snapshot = snapshot["jobs"]
        return self.hello

    async def send(self, **frame: Any) -> None:
        await self.socket.send_str(json.dumps(frame))

    async def frame(self) -> dict[str, Any]:
        """Return the next frame; an end of the connection is a frame with op “closed”."""
        async with asyncio.timeout(30):
            message = await self.socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            frame: dict[str, Any] = json.loads(message.data)
            if frame["op"] == "events":
                self.events += frame["events"]
            return frame
        if message.type is aiohttp.WSMsgType.CLOSE:
            self.code, self.reason = message.data, message.extra or ""
        else:
            self.code = self.socket.close_code
        return {"op": "closed"}

    async def reply(self, command_id: str) -> dict[str, Any]:
        """Return the answer to a command; events that come before it are kept."""
        while True:
            frame = await self.frame()
            if frame["op"] == "reply" and frame["id"] == command_id:
                return frame
            assert frame["op"] == "events", frame

    async def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Give a command and return its answer."""
        await self.send(op=op, id="c", **fields)
        return await self.reply("c")

    async def until(self, seq: int) -> None:
        """Take frames until the event `seq` has come."""
        while not self.events or self.events[-1]["seq"] < seq:
            frame = await self.frame()
            assert frame["op"] == "events", (frame, self.code, self.reason)

    async def closed(self) -> int | None:
        """Take frames until the connection ends; return the close code."""
        while (await self.frame())["op"] != "closed":
            pass
        return self.code
