"""A link that is slower than a job saves places: the other device gets them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import msgpack
import pytest

from regend.jobs import arrivals, handover, journal, repository
from regend.jobs.journal import Checkpoint
from regend.limits import BLOB_CHUNK_BYTES
from regend.store.blobs import Blobs
from regend.sync import sending
from regend.sync.link import Link, memory_pair
from regend.sync.sending import Sender
from tests.jobs.test_lifecycle_machine import new_job
from tests.sync.houses import Household, until
from tests.sync.persons import mesh

PIECES = 8


class Slow(Link):
    """A link on which the pieces of payloads come one by one, as they are let; all else at once."""

    def __init__(self, inner: Link) -> None:
        super().__init__(inner.device, inner.way, inner.address)
        self.inner = inner
        self.closed = inner.closed
        self.let = asyncio.Semaphore(0)
        self.pieces: list[str] = []
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._carrying = asyncio.create_task(self._carry())

    async def send(self, message: bytes) -> None:
        name, *fields = msgpack.unpackb(message, strict_map_key=False)
        if name == "piece":
            self.pieces.append(fields[0].hex())
            self._queue.put_nowait(message)
        else:
            await self.inner.send(message)

    async def _carry(self) -> None:
        while True:
            message = await self._queue.get()
            await self.let.acquire()
            await self.inner.send(message)

    async def receive(self) -> bytes | None:
        return await self.inner.receive()

    async def close(self, reason: str = "") -> None:
        self._carrying.cancel()
        await self.inner.close(reason)

    async def cut(self) -> None:
        self._carrying.cancel()
        await self.inner.cut()


class Writing:
    """A device that writes a text and saves a place of it again and again."""

    def __init__(self, one: Household, two: Household) -> None:
        self.one, self.two = one, two
        self.position = 0
        self.slow = self.link()

    def link(self) -> Slow:
        ends = memory_pair(self.one.identity.id, self.two.identity.id)
        slow = Slow(ends[0])
        self.one.exchange(slow)
        self.two.exchange(ends[1])
        return slow

    async def begin(self) -> None:
        def claim(connection: sqlite3.Connection) -> int:
            repository.create(connection, new_job("a"), 1)
            claimed = repository.claim(connection, "boot", 1)
            assert claimed is not None
            return claimed.fence

        self.fence = await self.one.store.write(claim)

    async def save(self) -> str:
        """Save a place as a running generation does, and wait until the other knows of it."""
        self.position += 1
        slot = self.one.store.blobs.put(os.urandom(PIECES * BLOB_CHUNK_BYTES))
        place = Checkpoint(1, self.position, f'"{self.position}"', slot)
        before = await self.one.store.write(
            lambda c: journal.record_checkpoint(c, 1, self.fence, place, self.position)
        )
        self.one.store.blobs.discard([before] if before else [])
        return slot

    async def known(self, slot: str) -> None:
        async def holds() -> bool:
            return slot in await self.coming()

        await until(holds)

    async def coming(self) -> list[str]:
        return await self.two.store.query(lambda c: arrivals.coming_slots(c, 1))

    async def place(self) -> Checkpoint | None:
        return await self.two.store.query(lambda c: journal.checkpoint(c, 1))

    async def until_at(self, slot: str) -> None:
        async def holds() -> bool:
            place = await self.place()
            return place is not None and place.slot == slot

        await until(holds)


@pytest.fixture
async def writing(tmp_path: Path) -> AsyncIterator[Writing]:
    roster = mesh("one", "two")
    devices = [await Household(tmp_path, roster, name).join() for name in ("one", "two")]
    writing = Writing(*devices)
    await writing.begin()
    yield writing
    for device in devices:
        await device.close()


async def begun(writing: Writing) -> str:
    """Return the state of a place of which a part has come."""
    first = await writing.save()
    await writing.known(first)
    writing.slow.let.release()
    await until(lambda: _is_so(part(writing, first) > 0))
    return first


async def _is_so(value: bool) -> bool:
    return value


def part(writing: Writing, slot: str) -> int:
    file = writing.two.home.incoming_dir / f"{slot}.part"
    return file.stat().st_size if file.exists() else 0


async def test_a_place_comes_though_newer_ones_are_saved_faster_than_it_does(
    writing: Writing,
) -> None:
    first = await begun(writing)
    between: list[str] = []
    for _ in range(4):
        between.append(await writing.save())
        writing.slow.let.release()
        await writing.known(between[-1])
        assert await writing.coming() == [first, between[-1]], "the one that comes, and the newest"
    assert not writing.one.has(first), "no name is kept for it where it was written"
    for _ in range(2 * PIECES):
        writing.slow.let.release()
    await writing.until_at(first)
    await writing.until_at(between[-1])
    assert set(writing.slow.pieces) == {first, between[-1]}
    await until(lambda: _is_so(not writing.two.has(first)))  # it goes once no place names it
    assert await writing.coming() == [] and await writing.two.wanted() == []


async def test_a_place_goes_on_to_come_over_the_next_link(writing: Writing) -> None:
    first = await begun(writing)
    await writing.save()
    await writing.slow.cut()
    await asyncio.gather(*writing.one.running, *writing.two.running)
    before = part(writing, first)
    assert before > 0
    writing.slow = writing.link()
    for _ in range(2 * PIECES):
        writing.slow.let.release()
    await writing.until_at(first)
    assert writing.slow.pieces.count(first) == PIECES - before // BLOB_CHUNK_BYTES


async def test_who_takes_the_job_wants_its_newest_place(writing: Writing) -> None:
    first = await begun(writing)
    newest = await writing.save()
    await writing.known(newest)
    assert [one.digest for one in await writing.two.wanted()] == [first]
    await writing.two.store.write(lambda c: handover.take(c, repository.find(c, None, "a"), 9))
    assert {one.digest for one in await writing.two.wanted()} == {first, newest}
    assert not await writing.two.store.write(lambda c: handover.let_go(c, 1))
    await writing.two.store.write(lambda c: arrivals.blob_came(c, newest))
    assert await writing.two.wanted() == [], "the place before it is of no use any more"
    assert await writing.two.store.write(lambda c: handover.let_go(c, 1))


async def test_what_nobody_wants_any_more_leaves_no_beginning(writing: Writing) -> None:
    first = await begun(writing)
    step = journal.Step(1, "s", "0" * 64, '"done"', 0, 1)
    await writing.one.store.write(lambda c: journal.record_step(c, 1, writing.fence, step, 9))

    async def forgotten() -> bool:
        return await writing.coming() == []

    await until(forgotten)
    writing.slow.let.release()
    await until(lambda: _is_so(part(writing, first) == 0))
    assert not writing.two.has(first) and await writing.two.wanted() == []


async def test_beginnings_that_nobody_wants_are_swept_at_the_start(writing: Writing) -> None:
    folder = writing.two.home.incoming_dir
    folder.mkdir(exist_ok=True)
    wanted, needless = folder / f"{'a' * 64}.part", folder / f"{'b' * 64}.part"
    for file in (wanted, needless):
        file.write_bytes(b"begun")
    await writing.two.want("a" * 64, writing.one.identity.id)
    await writing.two.fetcher.sweep()
    assert wanted.exists() and not needless.exists()


async def test_a_file_that_is_read_as_its_link_breaks_is_closed_with_the_sender(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = Blobs(tmp_path)
    digest = blobs.put(os.urandom(2 * BLOB_CHUNK_BYTES))

    async def nowhere(_digest: str) -> None:
        return None

    opened: list[BinaryIO] = []
    reading, may_end = threading.Event(), threading.Event()

    def read(file: BinaryIO, _offset: int) -> tuple[int, bytes]:
        opened.append(file)
        reading.set()
        may_end.wait(10)
        return 2 * BLOB_CHUNK_BYTES, b"x"

    monkeypatch.setattr(sending, "_read", read)
    sender = Sender(blobs, nowhere)
    piece = asyncio.create_task(sender.read_piece(b"device", digest, 0))
    assert await asyncio.to_thread(reading.wait, 10)
    piece.cancel()
    await asyncio.gather(piece, return_exceptions=True)
    may_end.set()
    sender.close()
    async with asyncio.timeout(10):
        while not opened[0].closed:
            await asyncio.sleep(0.01)
