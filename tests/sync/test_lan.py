"""The one port on the network: who gets in, who does not, and what strangers cost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regend.errors import BadInput, NotAllowed, Refused, Retryable
from regend.limits import (
    STRANGERS,
    STRANGERS_PER_ADDRESS,
)
from regend.sync.lanclient import connect
from regend.sync.lanserver import LanServer
from regend.sync.tls import newcomer_context
from tests.sync.devices import make_device
from tests.sync.lan import UPGRADE, Lan, open_lan, raw, request, until


@pytest.fixture
async def lan(tmp_path: Path) -> AsyncIterator[Lan]:
    async with open_lan(tmp_path) as lan:
        yield lan


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_member_gets_a_link_and_both_know_who_the_other_is(lan: Lan, host: str) -> None:
    link = await lan.connect(lan.member, host)
    other = await lan.links.get()
    assert (link.device, other.device) == (lan.own.id, lan.member.id)
    assert link.address == (f"[::1]:{lan.port}" if ":" in host else f"{host}:{lan.port}")
    await link.close()


async def test_dates_and_clocks_decide_nothing(lan: Lan, tmp_path: Path) -> None:
    past = make_device(tmp_path / "past", expired=True)
    lan.server.set_members([past.certificate])
    link = await lan.connect(past)
    assert (await lan.links.get()).device == past.id
    await link.close()


async def test_an_outsider_with_a_certificate_of_its_own_gets_nothing(lan: Lan) -> None:
    with pytest.raises(NotAllowed) as error:
        await lan.connect(lan.outsider)
    assert error.value.code == "not_a_member"
    assert lan.links.empty()


async def test_a_stranger_without_certificate_is_refused_and_learns_nothing(lan: Lan) -> None:
    for path in ("/mesh", "/", "/pair", "/mesh/../pair", "/api/v1/jobs"):
        async with raw(lan.port, newcomer_context(), request(path, *UPGRADE)) as (reader, _):
            answer = (await reader.read()).lower()
        assert answer.startswith((b"http/1.1 403 ", b"http/1.1 404 "))
        for word in (b"python", b"aiohttp", b"regend", b"mesh", b"device"):
            assert word not in answer
    assert lan.links.empty()


async def test_whoever_answers_for_another_device_is_hung_up_on(lan: Lan) -> None:
    with pytest.raises(Refused) as error:
        await connect(lan.member.credentials, "127.0.0.1", lan.port, lan.outsider.certificate)
    assert error.value.code == "wrong_device"
    assert lan.links.empty()


async def test_a_revoked_device_gets_in_no_more_and_its_open_link_is_left_alone(lan: Lan) -> None:
    link = await lan.connect(lan.member)
    other = await lan.links.get()
    lan.server.set_members([lan.own.certificate])
    with pytest.raises(NotAllowed):
        await lan.connect(lan.member)
    await link.send(b"still here")
    assert await other.receive() == b"still here"
    lan.server.set_members([lan.member.certificate])
    again = await lan.connect(lan.member)
    await asyncio.gather(link.close(), again.close())


async def test_a_device_does_not_link_with_itself(lan: Lan) -> None:
    with pytest.raises(NotAllowed):
        await lan.connect(lan.own)


async def test_tls_before_1_3_is_refused(lan: Lan) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(OSError):
        async with raw(lan.port, context, b""):
            pass
    await until(lambda: lan.server.strangers == 0)


@pytest.mark.parametrize(
    "garbage", [b"GET /mesh HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 9000, b"\x00" * 99]
)
async def test_garbage_instead_of_tls_is_hung_up_on(lan: Lan, garbage: bytes) -> None:
    async with raw(lan.port, None, garbage) as (reader, _):
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
    await until(lambda: lan.server.strangers == 0)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        request("/mesh", "X: " + "y" * 100_000),
        request("/pair", *(f"X-{number}: y" for number in range(1000))),
    ],
)
async def test_garbage_inside_tls_is_answered_in_few_words(lan: Lan, garbage: bytes) -> None:
    async with raw(lan.port, newcomer_context(), garbage) as (reader, _):
        with contextlib.suppress(ConnectionResetError, ssl.SSLError):
            answer = await reader.read()
            assert len(answer) < 300 and b"aiohttp" not in answer
    await until(lambda: lan.server.strangers == 0)


async def test_who_says_nothing_is_cut_before_and_after_tls(lan: Lan) -> None:
    async with (
        raw(lan.port, None, b"") as (reader_a, _),
        raw(lan.port, newcomer_context(), b"GET /mesh HT") as (reader_b, _),
    ):
        await until(lambda: lan.server.strangers == 2)
        with contextlib.suppress(ConnectionResetError):
            await asyncio.gather(reader_a.read(), reader_b.read())
    await until(lambda: lan.server.strangers == 0)


async def test_a_flood_of_connects_is_bounded_and_keeps_no_member_out(lan: Lan) -> None:
    # Linux has all of 127/8; elsewhere the flood comes from one address only.
    sources = [f"127.0.0.{last}" for last in range(2, 18)] if sys.platform == "linux" else [""]
    flood = []
    for source in sources:
        for _ in range(2 * STRANGERS_PER_ADDRESS):
            one = socket.socket()
            flood.append(one)
            if source:
                one.bind((source, 0))
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(("127.0.0.1", lan.port))
    most = min(STRANGERS, STRANGERS_PER_ADDRESS * len(sources))
    await until(lambda: lan.server.strangers == most)
    for one in flood[: 4 * STRANGERS_PER_ADDRESS]:
        one.close()
    await until(lambda: lan.server.strangers < most)
    link = await lan.connect(lan.member, "::1")
    assert lan.server.strangers <= STRANGERS
    await link.close()
    for one in flood:
        one.close()
    await until(lambda: lan.server.strangers == 0)


async def test_a_taken_port_is_an_error_with_a_remedy(lan: Lan) -> None:
    second = LanServer(lan.member.credentials, lan.links.put_nowait)
    with pytest.raises(BadInput, match=str(lan.port)) as error:
        await second.start(lan.port)
    assert error.value.code == "port_in_use" and error.value.hint
    await second.stop()


async def test_a_port_taken_in_ipv6_alone_is_an_error_too(lan: Lan) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        second = LanServer(lan.member.credentials, lan.links.put_nowait)
        with pytest.raises(BadInput):
            await second.start(taken.getsockname()[1])
        await second.stop()


async def test_nobody_there_is_worth_another_try(lan: Lan) -> None:
    await lan.server.stop()
    with pytest.raises(Retryable, match="Connect") as error:
        await lan.connect(lan.member)
    assert error.value.code == "device_unreachable"


async def test_another_program_there_is_told_in_words(lan: Lan) -> None:
    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example\r\n")
        writer.close()
        await writer.wait_closed()

    other = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    with pytest.raises(Retryable, match="does not speak as a device") as error:
        await connect(lan.member.credentials, "127.0.0.1", port, lan.own.certificate)
    assert "<" not in error.value.message
    other.close()
    await other.wait_closed()


@pytest.mark.parametrize("address", ["8.8.8.8", "2001:4860:4860::8888", "::ffff:1.1.1.1", "host"])
async def test_what_is_far_away_is_not_called(lan: Lan, address: str) -> None:
    with pytest.raises(Refused) as error:
        await lan.connect(lan.member, address)
    assert error.value.code == "address_not_near"
