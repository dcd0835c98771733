"""One port on loopback, and peers that speak to it byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from regend.sync.lanclient import connect
from regend.sync.lanserver import LanServer
from regend.sync.link import Link
from regend.sync.tls import member_context
from tests.sync.devices import Device, make_device

STRANGER_S = 1.0
SILENCE_S = 0.6


@dataclass
class Lan:
    """A server, and devices: `member` is in its roster, `outsider` is not."""

    server: LanServer
    port: int
    own: Device
    member: Device
    outsider: Device
    links: asyncio.Queue[Link]

    async def connect(self, who: Device, host: str = "127.0.0.1") -> Link:
        return await connect(who.credentials, host, self.port, self.own.certificate)


@contextlib.asynccontextmanager
async def open_lan(folder: Path) -> AsyncIterator[Lan]:
    """A server on loopback, stopped in the end."""
    own, member, outsider = (make_device(folder / name) for name in ("own", "member", "out"))
    links: asyncio.Queue[Link] = asyncio.Queue()
    server = LanServer(
        own.credentials, links.put_nowait, silence_s=SILENCE_S, stranger_s=STRANGER_S
    )
    server.set_members([own.certificate, member.certificate])
    try:
        yield Lan(server, await server.start(0), own, member, outsider, links)
    finally:
        await server.stop()


@dataclass
class Wire:
    """A WebSocket that a test speaks byte by byte, inside TLS."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def frame(self, payload: bytes, opcode: int = 2) -> None:
        """Send a masked frame (with the mask that changes nothing)."""
        self.claim(len(payload), opcode)
        self.writer.write(payload)

    def claim(self, size: int, opcode: int = 2) -> None:
        """Send the head of a frame that would have `size` bytes."""
        self.writer.write(bytes([0x80 | opcode, 0xFF]) + size.to_bytes(8, "big") + bytes(4))

    async def close_code(self) -> int:
        """Read until the server closes, and return its code."""
        while True:
            head = await self.reader.readexactly(2)
            length = head[1]
            if length >= 126:
                width = 2 if length == 126 else 8
                length = int.from_bytes(await self.reader.readexactly(width), "big")
            payload = await self.reader.readexactly(length)
            if head[0] & 0x0F == 8:
                return int.from_bytes(payload[:2], "big")


@contextlib.asynccontextmanager
async def raw(
    port: int, context: ssl.SSLContext | None, first: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        writer.write(first)
        yield reader, writer
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def request(path: str, *more: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: x", *more, "", ""]
    return "\r\n".join(lines).encode()


UPGRADE = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
)


@contextlib.asynccontextmanager
async def wire(port: int, context: ssl.SSLContext, path: str) -> AsyncIterator[Wire]:
    async with raw(port, context, request(path, *UPGRADE)) as (reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        yield Wire(reader, writer)


@contextlib.asynccontextmanager
async def member_wire(lan: Lan) -> AsyncIterator[tuple[Wire, Link]]:
    context = member_context(lan.member.credentials, lan.own.certificate)
    async with wire(lan.port, context, "/mesh") as opened:
        yield opened, await lan.links.get()


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)
