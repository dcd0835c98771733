"""Who is on the network and of no mesh: what they send and how often keeps nobody out."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import sys
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regend.limits import STRANGERS
from regend.sync.near import is_near
from regend.sync.pairingchannel import PairingChannel
from regend.sync.tls import newcomer_context
from tests.sync.lan import UPGRADE, Lan, Wire, member_wire, open_lan, raw, request, until, wire


@pytest.fixture
async def lan(tmp_path: Path) -> AsyncIterator[Lan]:
    async with open_lan(tmp_path) as lan:
        yield lan


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def flood(port: int, hosts: list[str]) -> None:
    """Keep hundreds of connections that say nothing, always new ones instead of the oldest."""
    silent: deque[socket.socket] = deque()
    try:
        while True:
            for host in hosts:
                silent.append(socket.socket())
                silent[-1].bind((host, 0))
                silent[-1].setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    silent[-1].connect(("127.0.0.1", port))
            while len(silent) > 4 * STRANGERS:
                silent.popleft().close()
            await asyncio.sleep(0.02)
    finally:
        for one in silent:
            one.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127/8")
@pytest.mark.parametrize("hosts", [1, 32], ids=["one address", "many addresses"])
async def test_members_get_in_while_connections_are_opened_without_end(
    lan: Lan, hosts: int
) -> None:
    before = open_files()
    flooding = asyncio.create_task(flood(lan.port, [f"127.0.0.{2 + n}" for n in range(hosts)]))
    await asyncio.sleep(0.5)
    for host in ("127.0.0.1", "::1"):
        link = await lan.connect(lan.member, host)
        assert lan.server.strangers <= STRANGERS
        await (await lan.links.get()).close()
        await link.close()
    assert open_files() - before < 8 * STRANGERS, "the flood's own ends, and the strangers"
    flooding.cancel()
    await asyncio.wait([flooding])
    await until(lambda: lan.server.strangers == 0 and open_files() <= before)


async def trickle(writer: asyncio.StreamWriter, content: bytes) -> None:
    with contextlib.suppress(OSError):
        for byte in content:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        newcomer_context().wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("inside", [False, True], ids=["in TLS's own words", "in the request"])
async def test_who_speaks_byte_by_byte_gets_no_longer_than_who_is_silent(
    lan: Lan, inside: bool
) -> None:
    context = newcomer_context() if inside else None
    said = request("/mesh", *UPGRADE) if inside else client_hello()
    async with raw(lan.port, context, b"") as (reader, writer):
        speaking = asyncio.create_task(trickle(writer, said))
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError, ssl.SSLError):
                await reader.read()
        await speaking
    await until(lambda: lan.server.strangers == 0)


async def test_who_calls_at_a_public_address_is_hung_up_on(
    lan: Lan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "regend.sync.doorstep.is_near", lambda host: host != "127.0.0.9" and is_near(host)
    )
    for host in ("127.0.0.9", "127.0.0.1"):
        with socket.create_connection((host, lan.port)) as one:
            one.setblocking(False)
            closed = asyncio.get_running_loop().sock_recv(one, 1)
            if host == "127.0.0.9":
                assert await asyncio.wait_for(closed, 0.8) == b""
            else:
                await until(lambda: lan.server.strangers == 1)
                closed.close()


class Newcomers:
    """Takes newcomers, and keeps what they say."""

    def __init__(self, lan: Lan) -> None:
        self.said: list[bytes | None] = []
        lan.server.set_pairing(self.listen)

    async def listen(self, channel: PairingChannel) -> None:
        while (message := await channel.receive()) is not None:
            self.said.append(message)
        self.said.append(None)


FIN, CONTINUED, BINARY, PING, COMPRESSED = 0x80, 0, 2, 9, 0x40


async def send_fragments(peer: Wire) -> None:
    """Send the parts of a message that has no end."""
    with contextlib.suppress(OSError):
        for number in range(400):
            part = bytes(1000)
            head = bytes([BINARY if number == 0 else CONTINUED, 0xFE])
            peer.writer.write(head + len(part).to_bytes(2, "big") + bytes(4) + part)
            await peer.writer.drain()


async def send_bomb(peer: Wire) -> None:
    """Send a message that says it is compressed."""
    peer.writer.write(bytes([FIN | COMPRESSED | BINARY, 0x84]) + bytes(4) + b"bomb")


async def send_pings(peer: Wire) -> None:
    """Ask for life without end, and listen to no answer."""
    with contextlib.suppress(OSError):
        for _ in range(2000):
            peer.writer.write((bytes([FIN | PING, 0xFD]) + bytes(4) + bytes(125)) * 50)
            await peer.writer.drain()


@pytest.mark.parametrize("send", [send_fragments, send_bomb, send_pings])
@pytest.mark.parametrize("path", ["/mesh", "/pair"])
async def test_what_no_device_sends_ends_the_connection_at_once(
    lan: Lan, send: object, path: str
) -> None:
    assert callable(send)
    if path == "/mesh":
        async with member_wire(lan) as (peer, link):
            await asyncio.wait_for(send(peer), 5)
            assert await asyncio.wait_for(link.receive(), 0.3) is None
            assert "sent" in link.reason
    else:
        newcomers = Newcomers(lan)
        async with wire(lan.port, newcomer_context(), path) as peer:
            await asyncio.wait_for(send(peer), 5)
            await until(lambda: bool(newcomers.said))
            assert newcomers.said == [None]
