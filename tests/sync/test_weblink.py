"""What a peer on the network may do to a link, and what ends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regend.limits import (
    LINK_MESSAGE_BYTES,
    LINK_PIECE_BYTES,
    LINK_WINDOW_BYTES,
)
from regend.sync.lanclient import connect
from regend.sync.link import Link
from regend.sync.pieces import BEAT, LAST, MORE, TAKEN
from tests.sync.lan import SILENCE_S, Lan, member_wire, open_lan


@pytest.fixture
async def lan(tmp_path: Path) -> AsyncIterator[Lan]:
    async with open_lan(tmp_path) as lan:
        yield lan


async def test_a_claim_of_a_huge_frame_ends_the_link_before_its_bytes_come(lan: Lan) -> None:
    for size in (LINK_PIECE_BYTES + 2, LINK_MESSAGE_BYTES, 2**62, 2**64 - 1):
        async with member_wire(lan) as (peer, link):
            peer.claim(size)
            assert await peer.close_code() == 1009
            assert await link.receive() is None
            assert "1009" in link.reason


@pytest.mark.parametrize(
    "piece",
    [
        b"",
        b"\x09what",
        bytes([BEAT]) + b"more",
        bytes([TAKEN]) + b"\x00",
        bytes([TAKEN]) + (1 << 40).to_bytes(8, "big"),
    ],
)
async def test_what_is_no_piece_ends_the_link(lan: Lan, piece: bytes) -> None:
    async with member_wire(lan) as (peer, link):
        peer.frame(piece)
        assert await peer.close_code() == 1008
        await link.closed.wait()
        assert link.reason.startswith("The other device ")


async def test_a_peer_that_minds_no_window_ends_the_link(lan: Lan) -> None:
    async with member_wire(lan) as (peer, link):
        for _ in range(LINK_WINDOW_BYTES // LINK_PIECE_BYTES + 1):
            peer.frame(bytes([LAST]) + bytes(LINK_PIECE_BYTES))
        assert await peer.close_code() == 1008
        await link.closed.wait()
        assert "room" in link.reason


async def test_text_ends_the_link(lan: Lan) -> None:
    async with member_wire(lan) as (peer, link):
        peer.frame(b"ahoj", opcode=1)
        await link.closed.wait()
        assert "text" in link.reason


async def test_half_a_message_is_never_received(lan: Lan) -> None:
    async with member_wire(lan) as (peer, link):
        peer.frame(bytes([LAST]) + b"whole")
        peer.frame(bytes([MORE]) + b"half")
        assert await link.receive() == b"whole"
        peer.writer.transport.abort()
        assert await link.receive() is None
        assert link.reason == "the connection broke"


async def test_a_silent_peer_is_gone(lan: Lan) -> None:
    async with member_wire(lan) as (peer, link):
        assert await link.receive() is None
        assert "nothing was heard" in link.reason
        with contextlib.suppress(ConnectionResetError):
            await peer.reader.read()


async def test_a_peer_that_takes_nothing_for_long_is_not_gone(lan: Lan) -> None:
    link = await connect(
        lan.member.credentials, "127.0.0.1", lan.port, lan.own.certificate, silence_s=SILENCE_S
    )
    other = await lan.links.get()
    sending = asyncio.create_task(send_much(link))
    await asyncio.sleep(2 * SILENCE_S)
    assert not link.closed.is_set() and not other.closed.is_set() and not sending.done()
    while not sending.done():
        assert len(await other.receive() or b"") == LINK_MESSAGE_BYTES
    await link.close()


async def send_much(link: Link) -> None:
    for _ in range(8):
        await link.send(bytes(LINK_MESSAGE_BYTES))
