"""Group commit: what is acknowledged is durable, what fails fails alone, whatever the disk does."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from regend.errors import BadInput, Busy, Failed, RegendError
from regend.home import Home
from regend.limits import WRITES_OVERTAKING
from regend.store import Store
from tests.store.conftest import Open
from tests.store.rows import names, names_in, put


class Gate:
    """Holds the writer inside an operation, so that what follows is one batch."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, _connection: sqlite3.Connection) -> None:
        self.entered.set()
        self.opened.wait(20)


async def held(store: Store) -> tuple[Gate, asyncio.Task[None]]:
    gate = Gate()
    task = asyncio.create_task(store.write(gate))
    await asyncio.to_thread(gate.entered.wait, 20)
    return gate, task


async def test_an_operation_is_acknowledged_only_after_its_commit(open_store: Open) -> None:
    seen: list[set[str]] = []
    path: list[Path] = []

    def probe(point: str) -> None:
        if point == "commit:before" and path:
            seen.append(names_in(path[0]))

    store = open_store(probe)
    path.append(store.path)
    acknowledged = asyncio.create_task(store.write(lambda c: put(c, "a")))
    await acknowledged
    assert "a" in names_in(store.path)
    assert all("a" not in before for before in seen)


async def test_an_operation_that_fails_takes_nothing_else_of_its_batch_with_it(
    open_store: Open,
) -> None:
    store = open_store()
    gate, first = await held(store)

    def fail(connection: sqlite3.Connection) -> None:
        put(connection, "half")
        raise BadInput("no", "It is refused.")

    def clash(connection: sqlite3.Connection) -> None:
        put(connection, "other half")
        put(connection, "before")

    tasks = [
        asyncio.create_task(store.write(operation))
        for operation in (lambda c: put(c, "before"), fail, clash, lambda c: put(c, "after"))
    ]
    await asyncio.sleep(0)
    gate.opened.set()
    before, failed, clashed, after = await asyncio.gather(*tasks, return_exceptions=True)
    await first
    assert (before, after) == ("before", "after")
    assert isinstance(failed, BadInput)
    assert isinstance(clashed, sqlite3.IntegrityError)
    assert names_in(store.path) == {"before", "after"}


async def test_operations_run_in_the_order_in_which_they_were_handed_in(open_store: Open) -> None:
    store = open_store()
    ran: list[int] = []
    await asyncio.gather(
        *(store.write(lambda _c, n=number: ran.append(n)) for number in range(2000))  # type: ignore[misc]
    )
    assert ran == list(range(2000))


async def test_what_may_wait_holds_up_nobody_and_is_not_put_off_for_ever(
    open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regend.store.writer.WRITE_BATCH_LENGTH", 1)
    store = open_store()
    gate, first = await held(store)
    order: list[int] = []

    def queue(number: int, *, may_wait: bool = False) -> asyncio.Task[None]:
        return asyncio.create_task(store.write(lambda _: order.append(number), may_wait=may_wait))

    queued = [queue(-1, may_wait=True), queue(-2, may_wait=True)]
    queued += [queue(number) for number in range(WRITES_OVERTAKING + 3)]
    await asyncio.sleep(0)
    gate.opened.set()
    await asyncio.gather(first, *queued)
    ahead = list(range(WRITES_OVERTAKING + 1))
    assert order == [*ahead, -1, *range(len(ahead), WRITES_OVERTAKING + 3), -2]


async def test_a_caller_that_went_away_does_not_undo_or_block_the_others(open_store: Open) -> None:
    store = open_store()
    gate, first = await held(store)
    gone = asyncio.create_task(store.write(lambda c: put(c, "gone")))
    stays = asyncio.create_task(store.write(lambda c: put(c, "stays")))
    await asyncio.sleep(0)
    gone.cancel()
    gate.opened.set()
    assert await stays == "stays"
    await first
    assert "stays" in names_in(store.path)


async def test_a_full_disk_is_refused_without_a_false_acknowledgement_and_heals_by_itself(
    open_store: Open,
) -> None:
    store = open_store()

    def limit(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")

    await store.write(limit)
    results = await asyncio.gather(
        *(store.write(lambda c, n=n: put(c, f"big-{n}", "v" * 9000)) for n in range(8)),  # type: ignore[misc]
        return_exceptions=True,
    )
    refused = [r for r in results if not isinstance(r, str)]
    assert refused
    assert all(isinstance(r, Busy) and r.code == "disk_full" and r.retryable for r in refused)
    assert names_in(store.path) == {r for r in results if isinstance(r, str)}
    assert await store.query(names) == names_in(store.path)
    await store.write(lambda c: c.execute("PRAGMA max_page_count = 1073741823") and None)
    assert await store.write(lambda c: put(c, "later", "v" * 9000)) == "later"
    assert "later" in names_in(store.path)


async def test_a_full_queue_is_refused_at_once_and_drops_nothing(
    open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regend.store.writer.WRITE_QUEUE_LENGTH", 50)
    store = open_store()
    gate, first = await held(store)
    tasks = [asyncio.create_task(store.write(lambda c, n=n: put(c, f"q{n}"))) for n in range(80)]  # type: ignore[misc]
    await asyncio.sleep(0.01)
    gate.opened.set()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await first
    taken = {r for r in results if isinstance(r, str)}
    assert len(taken) == 50
    assert all(isinstance(r, Busy) and r.retry_after_s for r in results if not isinstance(r, str))
    assert names_in(store.path) == taken


async def test_a_database_that_another_program_holds_is_waited_for_and_then_refused_plainly(
    open_store: Open,
) -> None:
    store = open_store()
    await store.write(lambda c: c.execute("PRAGMA busy_timeout = 50") and None)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy) as refused:
        await store.write(lambda c: put(c, "a"))
    assert refused.value.code == "database_locked"
    other.execute("ROLLBACK")
    other.close()
    assert await store.write(lambda c: put(c, "a")) == "a"


async def test_an_operation_that_ends_the_transaction_itself_harms_only_its_batch(
    open_store: Open,
) -> None:
    store = open_store()
    with pytest.raises(RegendError):
        await store.write(lambda c: c.execute("ROLLBACK") and None)
    assert await store.write(lambda c: put(c, "a")) == "a"


async def test_closing_commits_what_is_queued_and_refuses_what_comes_later(
    open_store: Open, home: Home
) -> None:
    store = open_store()
    tasks = [asyncio.create_task(store.write(lambda c, n=n: put(c, f"n{n}"))) for n in range(1500)]  # type: ignore[misc]
    await asyncio.sleep(0)
    store.close()
    store.close()
    assert len(names_in(home.database)) == 1500
    assert set(await asyncio.gather(*tasks)) == names_in(home.database)
    with pytest.raises(Busy):
        await store.write(lambda c: put(c, "late"))
    with pytest.raises(Busy):
        await store.query(names)
    with pytest.raises(Busy), store.reading():
        pass
    assert not home.database.with_name("regend.db-wal").exists()


async def test_a_reader_that_outlasts_its_store_is_closed_when_it_is_done(open_store: Open) -> None:
    store = open_store()
    with store.reading() as connection:
        store.close()
        assert names(connection) == set()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        names(connection)


async def test_readers_see_whole_transactions_while_the_writer_writes(open_store: Open) -> None:
    store = open_store()
    stopped = False

    def pair(connection: sqlite3.Connection, number: int) -> None:
        put(connection, f"left-{number}")
        put(connection, f"right-{number}")

    def count(connection: sqlite3.Connection) -> tuple[int, int]:
        sides = "SELECT count(*) FROM settings WHERE name LIKE ?"
        left = connection.execute(sides, ("left-%",)).fetchone()[0]
        return left, connection.execute(sides, ("right-%",)).fetchone()[0]

    async def read() -> int:
        reads = 0
        while not stopped:
            left, right = await store.query(count)
            assert left == right
            reads += 1
        return reads

    readers = [asyncio.create_task(read()) for _ in range(6)]
    await asyncio.gather(*(store.write(lambda c, n=n: pair(c, n)) for n in range(600)))  # type: ignore[misc]
    stopped = True
    assert sum(await asyncio.gather(*readers)) > 0
    assert await store.query(count) == (600, 600)


async def test_a_reader_cannot_write(open_store: Open) -> None:
    store = open_store()
    with pytest.raises(Failed):
        await store.query(lambda c: put(c, "a"))
    assert names_in(store.path) == set()


@pytest.mark.skipif(sys.platform == "win32", reason="a file that is open cannot be removed there")
@pytest.mark.parametrize("what", ["removed", "moved", "replaced"])
async def test_nothing_is_acknowledged_once_the_home_is_gone_from_its_place(
    open_store: Open, what: str
) -> None:
    store = open_store()
    await store.write(lambda c: put(c, "before"))
    aside = store.path.parent.with_name("aside")
    if what == "removed":
        shutil.rmtree(store.path.parent)
    else:
        store.path.parent.rename(aside)
    if what == "replaced":
        shutil.copytree(aside, store.path.parent)
    with pytest.raises(Busy) as refused:
        await store.write(lambda c: put(c, "lost"))
    assert refused.value.code == "home_gone" and str(store.path) in refused.value.message
    if what == "moved":
        aside.rename(store.path.parent)
        await store.write(lambda c: put(c, "after"))
        assert {"before", "after"} <= names_in(store.path)
