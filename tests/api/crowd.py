"""Many stream clients in one process, for `test_storm`.

    python -m tests.api.crowd URL TOKEN CLIENTS

Obeys lines: `drop` breaks every connection and comes back from each client's position; `until SEQ`
waits for an event and prints how many clients have everything from 1 to it, and in how many the
order was wrong at any time.
"""

from __future__ import annotations

import asyncio
import json
import sys
from urllib.parse import urlsplit

from tests.bench._stream_client import Client, Measure, masked


class Uncounted(Measure):
    """Takes no times: these clients are after what comes, not when."""

    def take(self, payload: bytes, now_ns: int) -> None:
        pass


class Member(Client):
    """A client that keeps its position over its connections."""

    def __init__(self, request: bytes) -> None:
        super().__init__(request, b"", Uncounted())
        self.position = 0
        self.wrong = False
        self.greeted = False

    def connect_again(self) -> None:
        """Forget the old connection, not the position."""
        self._buffer.clear()
        self._is_open = self.greeted = False

    def connection_lost(self, exc: Exception | None) -> None:
        pass

    def _shake(self) -> bool:
        if not super()._shake():
            return False
        hello = {"op": "hello", "epoch": None, "after_seq": self.position, "jobs": None}
        self._transport.write(masked(json.dumps(hello).encode()))
        return True

    def _next(self) -> bytes | None:
        payload = super()._next()
        if payload is not None:
            frame = json.loads(payload)
            if frame["op"] == "hello":
                self.greeted = True
            for event in frame.get("events", ()):
                self.wrong |= event["seq"] != self.position + 1
                self.position = event["seq"]
        return payload

    def drop(self) -> None:
        """Break the connection as a lost network would."""
        self._transport.abort()


class Crowd:
    """All of them."""

    def __init__(self, url: str, token: str, count: int) -> None:
        place = urlsplit(url)
        self._host, self._port = place.hostname or "", place.port or 0
        request = (
            f"GET /api/v1/ws HTTP/1.1\r\nHost: {place.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nAuthorization: Bearer {token}\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ).encode()
        self.members = [Member(request) for _ in range(count)]

    async def connect(self) -> None:
        """Connect everybody at the same moment, and wait for their hellos."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(
            *(
                loop.create_connection(lambda one=one: one, self._host, self._port)  # type: ignore[misc]
                for one in self.members
            )
        )
        while not all(one.greeted for one in self.members):
            await asyncio.sleep(0.02)

    async def drop(self) -> None:
        for one in self.members:
            one.drop()
        await asyncio.sleep(0.05)
        for one in self.members:
            one.connect_again()

    async def until(self, seq: int) -> dict[str, int]:
        async with asyncio.timeout(60):
            while not all(one.position >= seq for one in self.members):
                await asyncio.sleep(0.05)
        return {
            "clients": len(self.members),
            "complete": sum(one.position == seq for one in self.members),
            "wrong": sum(one.wrong for one in self.members),
        }


async def _main(url: str, token: str, count: int) -> None:
    crowd = Crowd(url, token, count)
    await crowd.connect()
    print("ready", flush=True)
    while line := (await asyncio.to_thread(sys.stdin.readline)).split():
        if line[0] == "drop":
            await crowd.drop()
            print("dropped", flush=True)
            await crowd.connect()
            print("ready", flush=True)
        else:
            print(json.dumps(await crowd.until(int(line[1]))), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
