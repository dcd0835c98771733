"""What strangers say by mDNS: it hides nobody, fills nothing and makes nobody call them."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from regend.limits import SIGHTING_ADDRESSES, SIGHTINGS
from regend.sync import mdns
from regend.sync.discovery import Discovery
from tests.sync.announcing import (
    DEVICE_A,
    KEY,
    PORT,
    addresses_of,
    announced,
    forged,
    pointer,
    response,
    running,
    send,
)


def sees_a(discovery: Discovery) -> bool:
    return DEVICE_A in {one.device for one in discovery.found}


async def test_a_flood_of_forged_devices_is_bounded_and_the_mesh_stays() -> None:
    async with running(2) as [a, b]:
        b.discovery.know([DEVICE_A], [KEY])
        a.discovery.know([], [KEY])
        async with asyncio.timeout(15):
            while len(b.discovery.found) < SIGHTINGS:  # some are lost, where others send too
                for packet in forged(SIGHTINGS + 40):
                    send(packet)
                    await asyncio.sleep(0)
                await asyncio.sleep(0.1)
        a.discovery.advertise(PORT, DEVICE_A)
        await b.until(sees_a)
        for packet in forged(200, first=10_000):
            send(packet)
        await asyncio.sleep(0.3)
        assert SIGHTINGS - 2 <= len(b.discovery.found) <= SIGHTINGS  # what went may make room
        assert DEVICE_A in {one.device for one in b.discovery.found}


async def test_names_that_nobody_explains_hide_nobody() -> None:
    async with running(2) as [a, b]:
        b.discovery.know([DEVICE_A], [KEY])
        a.discovery.know([], [KEY])
        await b.hears("d" * 16, announced("d" * 16, "127.0.0.1"))
        for number in range(200):
            send(response(pointer(f"{number:016x}")))
        a.discovery.advertise(PORT, DEVICE_A)
        await b.until(sees_a)


async def test_a_goodbye_that_a_stranger_says_for_a_device_is_soon_made_good() -> None:
    async with running(2) as [a, b]:
        b.discovery.know([DEVICE_A], [KEY])
        a.discovery.know([], [KEY])
        a.discovery.advertise(PORT, DEVICE_A)
        await b.until(sees_a)
        [seen] = [one for one in b.discovery.found if one.device == DEVICE_A]
        for number in range(2):  # the same packet twice in a second would count once
            send(response(pointer(seen.instance, ttl_s=0), pointer(f"{number:016x}", ttl_s=0)))
            await b.until(lambda found: not sees_a(found))
            await b.until(sees_a)


async def test_nobody_is_looked_for_on_another_machine_than_the_one_that_is_looked_on() -> None:
    async with running(1) as [a]:
        elsewhere = announced("a" * 16, "10.0.0.1", "192.168.7.7")
        here = announced("b" * 16, "10.0.0.1", "127.0.0.1", "93.184.216.34")
        assert await a.hears("b" * 16, elsewhere, here) == ("127.0.0.1",)
        assert addresses_of(a.discovery, "a" * 16) is None


async def test_a_device_with_thousands_of_addresses_has_a_few() -> None:
    async with running(1) as [a]:
        packets = [
            announced("a" * 16, *(f"127.0.{third}.{last}" for last in range(1, 100)))
            for third in range(20)
        ]
        assert len(await a.hears("a" * 16, *packets)) == SIGHTING_ADDRESSES
        long = announced("b" * 16, "127.0.0.1", texts=b"\xff" + bytes(255))
        assert await a.hears("b" * 16, long)


async def test_who_says_too_much_is_forgotten_and_the_mesh_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mdns, "MDNS_RECORDS", 500)
    async with running(2) as [a, b]:
        b.discovery.know([DEVICE_A], [KEY])
        a.discovery.know([], [KEY])
        a.discovery.advertise(PORT, DEVICE_A)
        await b.until(sees_a)
        heard = b.discovery._mdns
        assert heard is not None and heard._browser is not None
        first = heard._browser.query_scheduler
        for number in range(700):
            send(response(pointer("c" * 16, ttl_s=2000 + 20 * number)))
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while heard._browser.query_scheduler is first:
                await asyncio.sleep(0.01)
        assert sees_a(b.discovery)


async def test_packets_that_are_none_break_nothing() -> None:
    chance, broke = random.Random(7), []

    def note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        broke.append(context)

    asyncio.get_running_loop().set_exception_handler(note)
    async with running(2) as [a, b]:
        b.discovery.know([DEVICE_A], [KEY])
        a.discovery.know([], [KEY])
        for packet in forged(300):
            bytes_ = bytearray(packet)
            for _ in range(chance.randrange(1, 6)):
                bytes_[chance.randrange(len(bytes_))] = chance.randrange(256)
            send(bytes(bytes_[: chance.randrange(1, 2 * len(bytes_))]))
            await asyncio.sleep(0)
        a.discovery.advertise(PORT, DEVICE_A)
        await b.until(sees_a)
    assert not broke
