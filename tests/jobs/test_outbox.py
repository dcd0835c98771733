"""What an attempt buffers: nothing of it is lost by what is refused, and nothing comes twice."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import pytest

from regend.clock import SystemClock, new_id
from regend.errors import Conflict
from regend.home import Home
from regend.jobs import history, repository
from regend.jobs.history import Draft
from regend.jobs.outbox import Outbox
from regend.jobs.repository import Claim, NewJob
from regend.store import Store
from regend.store.writer import Operation

CLOCK = SystemClock()


class Buffered:
    """A claimed job, and the outbox of its attempt."""

    def __init__(self, store: Store, claim: Claim) -> None:
        self.store = store
        self.claim = claim
        self.outbox = Outbox(store, claim, CLOCK)

    async def progress(self) -> tuple[float, str]:
        row = await self.store.query(lambda c: repository.by_number(c, self.claim.job))
        return row["progress"], row["step"]

    async def shown(self) -> list[str]:
        found = await self.store.query(lambda c: history.of_job(c, self.claim.job, 0, 100))
        return [event.data for event in found if event.type == "search:result:v1"]


@pytest.fixture
async def buffered(tmp_path: Path) -> AsyncIterator[Buffered]:
    store = Store(Home.at(tmp_path / "home"))
    new = NewJob(new_id(CLOCK), "owner", "chat", "A job", "{}", "none", 0, 3, 1, "this")
    await store.write(lambda c: repository.create(c, new, 0))
    claim = await store.write(lambda c: repository.claim(c, "boot", 0))
    assert claim is not None
    buffered = Buffered(store, claim)
    yield buffered
    buffered.outbox.close()
    store.close()


def nothing(_connection: sqlite3.Connection) -> None:
    pass


def refuse(_connection: sqlite3.Connection) -> NoReturn:
    raise Conflict("refused", "Not this.")


def overflow(connection: sqlite3.Connection) -> None:
    connection.execute("SELECT ?", (2**63,))


@pytest.mark.parametrize("operation", [refuse, overflow])
async def test_what_was_said_before_something_refused_is_stored_with_the_next_write(
    buffered: Buffered, operation: Operation[None]
) -> None:
    buffered.outbox.add(Draft("search:result:v1", '{"n":1}'))
    buffered.outbox.set_progress(40.0, "reading")
    with pytest.raises((Conflict, OverflowError)):
        await buffered.outbox.commit(operation)
    buffered.outbox.add(Draft("search:result:v1", '{"n":2}'))
    await buffered.outbox.commit(nothing)
    assert await buffered.shown() == ['{"n":1}', '{"n":2}']
    assert await buffered.progress() == (40.0, "reading")


async def test_a_refused_write_brings_no_older_progress_back(buffered: Buffered) -> None:
    buffered.outbox.set_progress(40.0, "reading")

    def refuse_later(_connection: sqlite3.Connection) -> NoReturn:
        buffered.outbox.set_progress(60.0, "writing")
        raise Conflict("refused", "Not this.")

    with pytest.raises(Conflict):
        await buffered.outbox.commit(refuse_later)
    await buffered.outbox.commit(nothing)
    assert await buffered.progress() == (60.0, "writing")


async def test_what_is_cancelled_while_a_full_disk_is_waited_for_loses_nothing(
    buffered: Buffered,
) -> None:
    store, outbox = buffered.store, buffered.outbox
    long = '{"text":"' + "x" * 20_000 + '"}'
    await store.write(lambda c: c.execute("PRAGMA max_page_count = 1") and None)
    outbox.add(Draft("search:result:v1", long))
    outbox.set_progress(40.0, "reading")
    waiting = asyncio.create_task(outbox.commit(nothing))
    while not outbox.stalled:
        await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await store.write(lambda c: c.execute("PRAGMA max_page_count = 1073741823") and None)
    outbox.add(Draft("search:result:v1", '{"n":2}'))
    await outbox.commit(nothing)
    assert await buffered.shown() == [long, '{"n":2}']
    assert await buffered.progress() == (40.0, "reading")


async def test_what_is_cancelled_in_the_writers_hands_is_written_once(buffered: Buffered) -> None:
    buffered.outbox.add(Draft("search:result:v1", '{"n":1}'))
    writing = asyncio.create_task(buffered.outbox.commit(nothing))
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await buffered.outbox.commit(nothing)
    assert await buffered.shown() == ['{"n":1}']
