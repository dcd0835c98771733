"""The clients of the stream benchmark, in a process of their own.

    python -m tests.bench._stream_client URL TOKEN CLIENTS HELLO

Connects, says `ready`, and waits for lines on its input. `begin` starts a measurement, `end`
prints it as JSON once nothing more comes: latencies in milliseconds from the time in an event's
text to its arrival, and how many events came. `stall` adds a client that does not read, `release`
takes those away. The reading is as cheap as Python allows, so that what is measured is the
server: frames are cut out of the byte stream and only their newest event's time is looked at.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from urllib.parse import urlsplit

_QUIET_S = 0.5
_MARK = b'"text":"'


class Measure:
    """What the clients saw since `begin`."""

    def __init__(self) -> None:
        self.latencies_ms: list[float] = []
        self.events = 0
        self.open = 0
        self.closed = 0

    def begin(self) -> None:
        self.latencies_ms.clear()
        self.events = 0

    def take(self, payload: bytes, now_ns: int) -> None:
        """Count a frame's events and note how old its newest is."""
        count = payload.count(_MARK)
        if not count:
            return
        self.events += count
        start = payload.rindex(_MARK) + len(_MARK)
        sent_ns = int(payload[start : start + 20].split(b" ", 1)[0])
        self.latencies_ms.append((now_ns - sent_ns) / 1e6)

    def result(self) -> dict[str, float]:
        ordered = sorted(self.latencies_ms) or [0.0]
        return {
            "p50_ms": ordered[len(ordered) // 2],
            "p95_ms": ordered[int(len(ordered) * 0.95)],
            "events": self.events,
            "closed": self.closed,
        }


class Client(asyncio.Protocol):
    """One WebSocket: shakes hands, says hello, cuts frames."""

    def __init__(self, request: bytes, hello: bytes, measure: Measure) -> None:
        self._request = request
        self._hello = hello
        self._measure = measure
        self._buffer = bytearray()
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now_ns = time.monotonic_ns()
        self._buffer += data
        if not self._is_open and not self._shake():
            return
        while (payload := self._next()) is not None:
            self._measure.take(payload, now_ns)

    def connection_lost(self, exc: Exception | None) -> None:
        self._measure.closed += 1

    def _shake(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        assert self._buffer.startswith(b"HTTP/1.1 101"), bytes(self._buffer[:200])
        del self._buffer[: end + 4]
        self._is_open = True
        self._measure.open += 1
        if self._hello:
            self._transport.write(masked(self._hello))
        return True

    def _next(self) -> bytes | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, start = buffer[1], 2
        if length == 126:
            length, start = int.from_bytes(buffer[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(buffer[2:10], "big"), 10
        if len(buffer) < start + length:
            return None
        payload = bytes(buffer[start : start + length])
        del buffer[: start + length]
        return payload


def masked(payload: bytes) -> bytes:
    """Return a client's text frame; a mask of zeros is a mask."""
    return bytes((0x81, 0x80 | len(payload), 0, 0, 0, 0)) + payload


async def _main(url: str, token: str, clients: int, hello: str) -> None:
    place = urlsplit(url)
    host, port = place.hostname or "", place.port or 0
    request = (
        f"GET {place.path or '/'} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nAuthorization: Bearer {token}\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()
    loop, measure = asyncio.get_running_loop(), Measure()
    silent: list[socket.socket] = []
    for first in range(0, clients, 50):
        await asyncio.gather(
            *(
                loop.create_connection(lambda: Client(request, hello.encode(), measure), host, port)
                for _ in range(min(50, clients - first))
            )
        )
    while measure.open < clients:
        await asyncio.sleep(0.02)
    await asyncio.sleep(0.5)
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line.strip() == "begin":
            measure.begin()
        elif line.strip() == "end":
            seen = -1
            while seen != measure.events:
                seen = measure.events
                await asyncio.sleep(_QUIET_S)
            print(json.dumps(measure.result()), flush=True)
        elif line.strip() == "stall":
            silent.append(_stall(host, port, request, hello))
        elif line.strip() == "release":
            while silent:
                silent.pop().close()


def _stall(host: str, port: int, request: bytes, hello: str) -> socket.socket:
    """Open a stream that will not read."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.connect((host, port))
    line.sendall(request + (masked(hello.encode()) if hello else b""))
    return line


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]))
