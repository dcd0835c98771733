"""Exchanges between devices with real stores: they get level, whatever breaks on the way."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from regend.errors import BadInput, Busy, RegendError, Retryable
from regend.limits import BLOB_CHUNK_BYTES, MIB, OWED_TO_DEVICE, PIECES_AHEAD
from regend.store import cells
from regend.sync.exchange import Exchange
from regend.sync.lanclient import connect
from regend.sync.lanserver import LanServer
from regend.sync.link import Link, memory_pair
from regend.sync.session import Session
from tests.sync.devices import read_device
from tests.sync.houses import Household, joined, level, until
from tests.sync.persons import identity, mesh
from tests.sync.replicas import CLOCK

NAMES = ("one", "two", "three")


@pytest.fixture
async def houses(tmp_path: Path) -> AsyncIterator[list[Household]]:
    roster = mesh(*NAMES)
    made = [await Household(tmp_path, roster, name).join() for name in NAMES]
    yield made
    for one in made:
        await one.close()


async def put(device: Household, count: int, size_bytes: int = 0) -> None:
    """Write changes, each of about this size."""

    name = f"of {device.identity.id.hex()}"
    changes = [(name, {f"f{number % 9}": os.urandom(size_bytes)}) for number in range(count)]
    await device.store.write(lambda c: cells.write(c, changes, CLOCK.wall_ms()))


def payload(device: Household, size_bytes: int) -> str:
    """Let a payload lie on a device; return its digest."""
    return device.store.blobs.put(os.urandom(size_bytes))


class Counted(Link):
    """A link that breaks before the n-th message that it is to carry, and counts what is asked."""

    def __init__(self, inner: Link, breaks_at: int | None = None) -> None:
        super().__init__(inner.device, inner.way, inner.address)
        self.inner = inner
        self.closed = inner.closed
        self.breaks_at = breaks_at
        self.sent = 0
        self.asked: list[int] = []

    async def send(self, message: bytes) -> None:
        if self.sent == self.breaks_at:
            await self.inner.cut()
        self.sent += 1
        name, *fields = msgpack.unpackb(message, strict_map_key=False)
        if name == "get":
            self.asked.append(fields[1])
        await self.inner.send(message)

    async def receive(self) -> bytes | None:
        return await self.inner.receive()

    async def close(self, reason: str = "") -> None:
        await self.inner.close(reason)

    async def cut(self) -> None:
        await self.inner.cut()


def void(_made: Exchange) -> None:
    """Take what an exchange is called for by: nothing is made of it here."""


async def test_two_devices_get_level_and_stay_so(houses: list[Household]) -> None:
    one, two, _ = houses
    await put(one, 700)
    await put(two, 30)
    exchanges = joined(one, two)
    await level(one, two)
    await put(one, 1)
    await put(two, 2)
    await level(one, two)

    async def both_know() -> bool:
        hashes = {exchange.state_hash for exchange in exchanges}
        vectors = [dict(exchange.theirs) for exchange in exchanges]
        same = vectors == [await two.house.vector(), await one.house.vector()]
        return same and len(hashes) == 1 and b"" not in hashes

    await until(both_know)


async def test_a_third_device_gets_over_one_what_another_wrote(houses: list[Household]) -> None:
    one, two, three = houses
    await put(one, 300)
    joined(one, two)
    joined(two, three)
    await level(one, two, three)
    await put(three, 5)
    await put(one, 5)
    await level(one, two, three)


async def test_a_log_that_cannot_be_sent_holds_up_no_other(houses: list[Household]) -> None:
    one, two, three = houses
    await put(three, 1)
    joined(two, three)
    await level(two, three)
    await two.store.write(lambda c: c.execute("DELETE FROM frames").rowcount)
    await put(two, 300)  # more than is lacking of the log that comes first
    joined(one, two)

    async def came() -> bool:
        return (await one.house.vector()).get(two.log) == (await two.house.vector())[two.log]

    await until(came)
    assert three.log not in await one.house.vector()


async def test_over_the_network_it_is_the_same(houses: list[Household], tmp_path: Path) -> None:
    one, two, _ = houses
    for name in NAMES[:2]:
        person = identity(name)
        folder = tmp_path / f"keys-{name}"
        folder.mkdir()
        (folder / "certificate.der").write_bytes(person.certificate)
        (folder / "tls.pem").write_bytes(person.pem())
    own, other = (read_device(tmp_path / f"keys-{name}") for name in NAMES[:2])
    server = LanServer(own.credentials, lambda link: void(one.exchange(link)))
    server.set_members([other.certificate])
    port = await server.start(0)
    await put(one, 500, 2000)
    await put(two, 500, 2000)
    digest = payload(one, 3 * MIB)
    await two.want(digest, one.identity.id)
    link = await connect(other.credentials, "127.0.0.1", port, own.certificate)
    two.exchange(link)
    await level(one, two)
    await until(lambda: _is_so(two.has(digest)))
    await link.close()
    await server.stop()


async def _is_so(value: bool) -> bool:
    return value


async def test_a_link_that_breaks_at_any_message_loses_nothing(houses: list[Household]) -> None:
    one, two, _ = houses
    for breaks_at in range(12):
        await put(one, 40, 20_000)
        await put(two, 3)
        digest = payload(one, BLOB_CHUNK_BYTES + 7)
        await two.want(digest, one.identity.id)
        ends = memory_pair(one.identity.id, two.identity.id)
        broken = Counted(ends[breaks_at % 2], breaks_at // 2)
        sides = [broken, ends[1]] if breaks_at % 2 == 0 else [ends[0], broken]
        for device, end in zip((one, two), sides, strict=True):
            device.exchange(end)
        async with asyncio.timeout(10):
            await ends[0].closed.wait() if breaks_at < 8 else None
        await ends[0].cut()
        joined(one, two)
        await level(one, two)
        await until(lambda digest=digest: _is_so(two.has(digest)))  # type: ignore[misc]
        for device in (one, two):
            for task in device.running:
                task.cancel()
            await asyncio.gather(*device.running, return_exceptions=True)
            device.running.clear()


async def test_two_devices_that_send_much_and_fetch_much_at_once_do_not_wait_for_one_another(
    houses: list[Household],
) -> None:
    one, two, _ = houses
    digests = []
    for device, other in ((one, two), (two, one)):
        await put(device, 150, 100_000)
        for _ in range(3):
            digests.append((other, payload(device, 3 * MIB)))
            await other.want(digests[-1][1], device.identity.id)
    joined(one, two)
    await level(one, two)
    await until(lambda: _is_so(all(device.has(digest) for device, digest in digests)))


async def test_a_payload_goes_on_behind_what_came_before_the_link_broke(
    houses: list[Household],
) -> None:
    one, two, _ = houses
    size_bytes = 5 * MIB + 17
    digest = payload(one, size_bytes)
    await two.want(digest, one.identity.id)
    part = two.home.incoming_dir / f"{digest}.part"

    def came() -> int:
        return part.stat().st_size if part.exists() else 0

    ends = memory_pair(one.identity.id, two.identity.id)
    first = Counted(ends[1])
    one.exchange(ends[0])
    two.exchange(first)
    await until(lambda: _is_so(came() > MIB))
    await ends[1].cut()
    await asyncio.gather(*one.running, *two.running)
    before = came()
    assert MIB < before < size_bytes and before % BLOB_CHUNK_BYTES == 0
    ends = memory_pair(one.identity.id, two.identity.id)
    second = Counted(ends[1])
    one.exchange(ends[0])
    two.exchange(second)
    await until(lambda: _is_so(two.has(digest)))
    assert second.asked == list(range(before, size_bytes, BLOB_CHUNK_BYTES))
    assert len(first.asked) <= before // BLOB_CHUNK_BYTES + PIECES_AHEAD
    assert hashlib.sha256(two.store.blobs.get(digest)).hexdigest() == digest
    assert not part.exists()
    await until(lambda: _empty(two))


async def _empty(device: Household) -> bool:
    return not await device.wanted()


def damage(device: Household, digest: str) -> None:
    path = device.store.blobs.path(digest)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("fault", ["damaged", "shorter", "gone"])
async def test_a_payload_that_its_writer_has_no_more_comes_from_another_device(
    houses: list[Household], fault: str
) -> None:
    one, two, three = houses
    digest = payload(one, 2 * BLOB_CHUNK_BYTES + 5)
    three.store.blobs.put(one.store.blobs.get(digest))
    path = one.store.blobs.path(digest)
    if fault == "damaged":
        damage(one, digest)
    elif fault == "shorter":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    await two.want(digest, one.identity.id)
    joined(one, two)

    async def was_asked() -> bool:
        return any(digest in lacking for lacking in two.fetcher._lacking.values())

    await until(was_asked)
    assert not two.has(digest)
    assert [one.digest for one in await two.wanted()] == [digest]
    joined(three, two)
    await until(lambda: _is_so(two.has(digest)))
    assert hashlib.sha256(two.store.blobs.get(digest)).hexdigest() == digest


async def test_payloads_that_nobody_has_keep_back_none_that_somebody_has(
    houses: list[Household],
) -> None:
    one, two, three = houses
    old = [payload(one, 10), payload(three, 10)]
    for digest, device in zip(old, (one, three), strict=True):
        await two.want(digest, device.identity.id)
    for number in range(120):
        await two.want(f"{number:064}", (one, three)[number % 2].identity.id)
    joined(one, two)
    joined(three, two)

    async def came() -> bool:
        return len(await two.wanted()) == 120

    await until(came)
    assert all(two.has(digest) for digest in old)


async def test_a_payload_that_a_device_gets_only_later_is_asked_of_it_again(
    houses: list[Household], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regend.sync.fetching.PAYLOAD_AGAIN_FIRST_S", 0.01)
    one, two, three = houses
    content = os.urandom(10)
    digest = hashlib.sha256(content).hexdigest()
    await two.want(digest, one.identity.id)
    joined(three, two)
    await until(lambda: _is_so(any(digest in one for one in two.fetcher._lacking.values())))
    assert not two.fetcher.may_come(digest)
    three.store.blobs.put(content)
    await put(three, 1)  # what happens there wakes this side; else it looks every few seconds
    await until(lambda: _is_so(two.has(digest)))


@pytest.mark.parametrize("size_bytes", [0, 1, BLOB_CHUNK_BYTES, BLOB_CHUNK_BYTES + 1])
async def test_payloads_of_any_size_come(houses: list[Household], size_bytes: int) -> None:
    one, two, _ = houses
    digest = payload(one, size_bytes)
    await two.want(digest, one.identity.id)
    joined(one, two)
    await until(lambda: _is_so(two.has(digest)))
    await until(lambda: _empty(two))


async def test_a_disk_that_is_full_slows_the_other_side_and_loses_nothing(
    houses: list[Household], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, _ = houses
    await put(one, 300, 100_000)
    monkeypatch.setattr("regend.sync.exchange._BUSY_RETRY_S", 0.02)
    take, refused = two.house.take, 0

    async def full(blobs: list[bytes]) -> Any:
        nonlocal refused
        if refused < 20:
            refused += 1
            raise Busy("disk_full", "The disk is full.")
        return await take(blobs)

    two.house.take = full  # type: ignore[method-assign]
    exchange, _ = joined(one, two)
    await until(lambda: _is_so(refused == 20))
    assert not exchange.link.closed.is_set()
    assert exchange._session._window.size_bytes < 12 * MIB
    await level(one, two)


async def test_what_is_written_here_is_not_held_up_by_what_comes(houses: list[Household]) -> None:
    """Local writes are done in between, not after all that another device has to say."""
    one, two, _ = houses
    await put(one, 20_000, 20)
    joined(one, two)
    seen: list[int] = []
    while not seen or seen[-1] < 20_000:
        await two.store.write(lambda c: cells.write(c, [("here", {"f": 1})], CLOCK.wall_ms()))
        place = (await two.house.vector()).get(one.log)
        seen.append(place.seq if place else 0)
    between = [seq for seq in seen if 0 < seq < 20_000]
    assert len(set(between)) >= 2, "they were done between its parts"
    await level(one, two)


async def test_calls_are_answered_and_refused_as_they_are(houses: list[Household]) -> None:
    one, two, _ = houses

    async def serve(_exchange: Any, name: str, arguments: dict[str, Any]) -> Any:
        if name == "give":
            return arguments
        if name == "never":
            await asyncio.sleep(3600)
        raise BadInput("call_unknown", "It is not known.", hint="Ask another.")

    two.serve = serve
    exchange, _ = joined(one, two)
    assert await exchange.call("give", job="x", more=[1]) == {"job": "x", "more": [1]}
    with pytest.raises(RegendError) as refused:
        await exchange.call("other")
    assert (refused.value.code, refused.value.status) == ("call_unknown", 400)
    waiting = asyncio.create_task(exchange.call("never"))
    await asyncio.sleep(0.05)
    await exchange.link.cut()
    with pytest.raises(Retryable):
        await waiting
    with pytest.raises(Retryable):
        await exchange.call("give")


Flood = Callable[[Session, int], bytes]


@pytest.mark.parametrize(
    "flood",
    [
        lambda session, number: session.call("never", {"n": number})[1],
        lambda session, number: session.get(number.to_bytes(32, "big"), 0),
    ],
)
async def test_who_asks_for_more_than_can_be_done_is_left(
    houses: list[Household], flood: Flood
) -> None:
    """Nothing that a device asks for piles up here."""
    one, two, _ = houses

    async def serve(_exchange: Any, _name: str, _arguments: dict[str, Any]) -> Any:
        await asyncio.sleep(3600)

    two.serve = serve
    own, theirs = memory_pair(one.identity.id, two.identity.id)
    exchange = two.exchange(theirs)
    session = Session(one.house.mesh)
    await own.send(session.hello(b"i" * 8, [], {}, b""))

    async def ask() -> None:
        for number in range(100 * OWED_TO_DEVICE):
            await own.send(flood(session, number))

    asking: Awaitable[Any] = asyncio.gather(ask(), return_exceptions=True)
    async with asyncio.timeout(20):
        await own.closed.wait()
        await asking
        await asyncio.gather(*two.running)
    assert len(exchange._calls.serving) <= OWED_TO_DEVICE
    assert not exchange.link.reason or "more than" in exchange.reason


@pytest.mark.parametrize(
    "message",
    [
        b"\xc1",
        b"",
        msgpack.packb(["frames", [b"no frame"]]),
        msgpack.packb(["roster", [b"no entry"]]),
        msgpack.packb(["frames", [b"\xc6\xff\xff\xff\xff"]]),
        msgpack.packb(["have", [[b"x"]], b""]),
    ],
)
async def test_nonsense_ends_the_exchange_and_nothing_else(
    houses: list[Household], message: bytes
) -> None:
    one, two, _ = houses
    await put(two, 5)
    own, theirs = memory_pair(one.identity.id, two.identity.id)
    exchange = two.exchange(theirs)
    await own.send(Session(one.house.mesh).hello(b"i" * 8, [], {}, b""))
    await own.send(message)
    async with asyncio.timeout(10):
        await asyncio.gather(*two.running)
    assert exchange.reason and theirs.closed.is_set()
    joined(one, two)
    await level(one, two)
