"""The contract of a link, held by every way that there is (numbered in `regend.sync.link`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from regend.errors import Retryable, TooLarge
from regend.limits import LINK_MESSAGE_BYTES, LINK_WINDOW_BYTES
from regend.sync.lanclient import connect
from regend.sync.lanserver import LanServer
from regend.sync.link import Link, Way, memory_pair
from regend.sync.pieces import PIECE_COST_BYTES
from tests.sync.devices import make_device

WAYS: tuple[Way, ...] = ("memory", "lan")
MUCH = 4 * LINK_WINDOW_BYTES


@dataclass
class Ends:
    """The two ends of a link: `here` opened it, `there` was called."""

    here: Link
    there: Link


@pytest.fixture(params=WAYS)
async def ends(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ends]:
    if request.param == "memory":
        here, there = memory_pair(b"a" * 16, b"b" * 16)
        yield Ends(here, there)
        return
    a, b = make_device(tmp_path / "a"), make_device(tmp_path / "b")
    links: asyncio.Queue[Link] = asyncio.Queue()
    server = LanServer(b.credentials, links.put_nowait)
    server.set_members([a.certificate])
    port = await server.start(0)
    caller = await connect(a.credentials, "127.0.0.1", port, b.certificate)
    yield Ends(caller, await links.get())
    await caller.close()
    await server.stop()


async def send_all(link: Link, messages: list[bytes]) -> None:
    for message in messages:
        await link.send(message)


async def receive_until_end(link: Link) -> list[bytes]:
    received = []
    while (message := await link.receive()) is not None:
        received.append(message)
    return received


class Filling:
    """Sends one message over and over until the link takes no more.

    Attributes:
        count: how often it was taken.
        task: the sending, which goes on waiting.
    """

    def __init__(self, link: Link, message: bytes) -> None:
        self.count = 0
        self.task = asyncio.create_task(self._send(link, message))

    async def _send(self, link: Link, message: bytes) -> None:
        while True:
            await link.send(message)
            self.count += 1


async def fill(link: Link, message: bytes) -> Filling:
    """Send until nothing was taken for a while."""
    filling, before = Filling(link, message), -1
    while filling.count != before:
        before = filling.count
        assert before * len(message) < 10 * MUCH, "it took all, and nobody received"
        await asyncio.sleep(0.1)
    return filling


def numbered(count: int, size_bytes: int) -> list[bytes]:
    return [number.to_bytes(4, "big") * (size_bytes // 4) for number in range(count)]


async def test_each_end_knows_who_is_at_the_other(ends: Ends) -> None:
    assert ends.here.device != ends.there.device
    assert len(ends.here.device) == len(ends.there.device) == 16
    assert ends.here.way == ends.there.way
    assert ends.here.way in WAYS and ends.here.address
    assert not ends.here.closed.is_set() and ends.here.reason == ""


async def test_messages_arrive_in_order_both_ways_at_once(ends: Ends) -> None:
    there = [bytes([number % 251]) * (number * 37) for number in range(400)]
    back = [bytes([number % 241]) * (number * 53) for number in range(400)]
    sending = [
        asyncio.create_task(send_all(ends.here, there)),
        asyncio.create_task(send_all(ends.there, back)),
    ]
    for expected, other in zip(there, back, strict=True):
        assert await ends.there.receive() == expected
        assert await ends.here.receive() == other
    await asyncio.gather(*sending)


async def test_several_senders_share_a_link_and_no_message_is_mixed(ends: Ends) -> None:
    messages = [bytes([number]) * 300_000 for number in range(20)]
    sending = [asyncio.create_task(ends.here.send(message)) for message in messages]
    assert [await ends.there.receive() for _ in messages] == messages
    await asyncio.gather(*sending)


async def test_the_largest_and_the_empty_message_arrive(ends: Ends) -> None:
    largest = bytes(range(256)) * (LINK_MESSAGE_BYTES // 256)
    for message in (largest, b"", largest):
        sending = asyncio.create_task(ends.here.send(message))
        assert await ends.there.receive() == message
        await sending


async def test_a_message_over_the_bound_is_refused_and_the_link_lives(ends: Ends) -> None:
    with pytest.raises(TooLarge, match="at most"):
        await ends.here.send(bytes(LINK_MESSAGE_BYTES + 1))
    await ends.here.send(b"small")
    assert await ends.there.receive() == b"small"


async def test_bytes_are_bytes(ends: Ends) -> None:
    messages = ["žluťoučký 🐎".encode(), b"\xff\xfe\xed\xa0\x80", b"\x00", b'{"text": "x"}\r\n']
    await send_all(ends.here, messages)
    assert [await ends.there.receive() for _ in messages] == messages


async def test_a_sender_waits_while_nobody_receives_and_nothing_grows(ends: Ends) -> None:
    message = bytes(256 * 1024)
    filling = await fill(ends.here, message)
    assert filling.count * len(message) <= 2 * LINK_WINDOW_BYTES + LINK_MESSAGE_BYTES
    before = filling.count
    for _ in range(2 * before):
        assert await ends.there.receive() == message
    assert filling.count > before
    await ends.here.cut()
    with pytest.raises(Retryable):
        await filling.task


async def test_many_small_messages_are_bounded_too(ends: Ends) -> None:
    filling = await fill(ends.here, b"tiny")
    assert filling.count * PIECE_COST_BYTES <= 2 * LINK_WINDOW_BYTES
    await ends.there.cut()
    with pytest.raises(Retryable):
        await filling.task


async def test_a_send_that_was_cancelled_was_not_sent(ends: Ends) -> None:
    message = bytes(1024 * 1024)
    filling = await fill(ends.here, message)
    filling.task.cancel()
    await asyncio.wait([filling.task])
    for _ in range(filling.count):
        assert await ends.there.receive() == message
    await ends.here.send(b"next")
    assert await ends.there.receive() == b"next"


async def test_what_was_sent_before_a_close_arrives_and_then_the_reason(ends: Ends) -> None:
    messages = numbered(40, 100_000)
    await send_all(ends.here, messages)
    closing = asyncio.create_task(ends.here.close("it goes\nto sleep 😴"))
    assert await receive_until_end(ends.there) == messages
    await closing
    assert ends.there.closed.is_set()
    assert ends.there.reason == "the other device closed it: it goesto sleep 😴"
    assert ends.here.closed.is_set() and ends.here.reason


async def test_either_side_may_close_and_twice_is_once(ends: Ends) -> None:
    await ends.there.close("é" * 1000)
    await ends.there.close()
    assert await ends.here.receive() is None
    await asyncio.gather(ends.here.close(), ends.here.close(), ends.there.close())
    assert "é" * 50 in ends.here.reason


async def test_an_ended_link_takes_no_message_and_says_why(ends: Ends) -> None:
    await ends.here.close("enough")
    await ends.there.closed.wait()
    for end in (ends.here, ends.there):
        with pytest.raises(Retryable, match="enough") as error:
            await end.send(b"late")
        assert error.value.code == "link_ended"


async def test_a_close_ends_who_waits_on_either_side(ends: Ends) -> None:
    filling = await fill(ends.here, bytes(1024 * 1024))
    receiving = asyncio.create_task(ends.here.receive())
    await asyncio.sleep(0)
    await ends.there.close("no more")
    with pytest.raises(Retryable):
        await filling.task
    assert await receiving is None


@pytest.mark.parametrize("who", ["here", "there"])
async def test_a_cut_leaves_a_beginning_of_whole_messages(ends: Ends, who: str) -> None:
    messages = numbered(60, 1_000_000)
    sending = asyncio.create_task(send_all(ends.here, messages))
    received = [await ends.there.receive() for _ in range(5)]
    await getattr(ends, who).cut()
    received += await receive_until_end(ends.there)
    assert received == messages[: len(received)]
    assert len(received) < len(messages)
    with pytest.raises(Retryable):
        await sending
    await ends.here.closed.wait()
    assert ends.here.reason and ends.there.reason
