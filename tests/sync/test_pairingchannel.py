"""Newcomers: who may pair, for how long, and with how much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regend.errors import Busy, NotAllowed, Refused, TooLarge
from regend.limits import (
    PAIRING_MESSAGE_BYTES,
    WELCOME_MESSAGE_BYTES,
)
from regend.sync.device import device_of_certificate
from regend.sync.lanclient import connect_for_pairing
from regend.sync.pairingchannel import PairingChannel
from regend.sync.tls import newcomer_context
from tests.sync.lan import Lan, open_lan, wire


@pytest.fixture
async def lan(tmp_path: Path) -> AsyncIterator[Lan]:
    async with open_lan(tmp_path) as lan:
        yield lan


async def test_pairing_is_open_only_while_somebody_invites(lan: Lan) -> None:
    with pytest.raises(NotAllowed) as error:
        await connect_for_pairing("127.0.0.1", lan.port)
    assert error.value.code == "not_inviting"
    lan.server.set_pairing(echo)
    channel = await connect_for_pairing("127.0.0.1", lan.port)
    assert channel.certificate == lan.own.certificate
    assert device_of_certificate(channel.certificate) == lan.own.id
    largest = bytes(PAIRING_MESSAGE_BYTES)
    for message in (b"first", b"", largest):
        await channel.send(message)
        assert await channel.receive() == message
    with pytest.raises(TooLarge):
        await channel.send(bytes(WELCOME_MESSAGE_BYTES + 1))
    await channel.close()
    lan.server.set_pairing(None)
    with pytest.raises(NotAllowed):
        await connect_for_pairing("127.0.0.1", lan.port)


async def echo(channel: PairingChannel) -> None:
    while (message := await channel.receive()) is not None:
        await channel.send(message)


async def test_one_address_pairs_once_at_a_time(lan: Lan) -> None:
    lan.server.set_pairing(echo)
    first = await connect_for_pairing("127.0.0.1", lan.port)
    with pytest.raises(Busy):
        await connect_for_pairing("127.0.0.1", lan.port)
    other = await connect_for_pairing("::1", lan.port)
    await asyncio.gather(first.close(), other.close())
    again = await connect_for_pairing("127.0.0.1", lan.port)
    await again.close()


async def test_a_pairing_that_fails_closes_the_channel_and_nothing_else(lan: Lan) -> None:
    async def fail(channel: PairingChannel) -> None:
        await channel.receive()
        raise Refused("wrong_code", "The code is wrong.")

    lan.server.set_pairing(fail)
    channel = await connect_for_pairing("127.0.0.1", lan.port)
    await channel.send(b"guess")
    assert await channel.receive() is None
    await channel.close()
    link = await lan.connect(lan.member)
    await link.close()


async def test_a_newcomer_that_claims_a_huge_message_is_cut(lan: Lan) -> None:
    lan.server.set_pairing(echo)
    async with wire(lan.port, newcomer_context(), "/pair") as newcomer:
        newcomer.claim(PAIRING_MESSAGE_BYTES + 1)
        assert await newcomer.close_code() == 1009


async def test_a_server_that_stops_tells_its_links_and_ends_pairings(lan: Lan) -> None:
    lan.server.set_pairing(echo)
    link = await lan.connect(lan.member)
    channel = await connect_for_pairing("::1", lan.port)
    await lan.server.stop()
    assert await link.receive() is None
    assert "stops" in link.reason
    assert await channel.receive() is None
    await asyncio.gather(link.close(), channel.close())
