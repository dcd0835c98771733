"""Events of no job: kept in the one order of all, bounded in number, told to no other device."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from regend import events
from regend.home import Home
from regend.jobs import history, jobless, mirror
from regend.jobs.history import Draft
from regend.jsontext import dumps
from regend.store import Store, changelog
from regend.store.change import LogId

PRESENCE = (events.DEVICE_ONLINE, events.DEVICE_OFFLINE)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(Home.at(tmp_path))
    yield store
    store.close()


def say(connection: sqlite3.Connection, type_name: str, device: str, **more: object) -> int:
    said = {"device": device, "name": device.upper(), **more}
    return jobless.append(connection, Draft(type_name, dumps(said)), 1000)


async def test_they_are_read_in_order_and_of_no_job(store: Store) -> None:
    def write(connection: sqlite3.Connection) -> list[int]:
        return [say(connection, PRESENCE[n % 2], "a") for n in range(4)]

    seqs = await store.write(write)
    assert seqs == [1, 2, 3, 4]
    told = await store.query(lambda c: history.after(c, 1, 2))
    assert [(one.user, one.event.seq, one.event.job_id) for one in told] == [
        (None, 2, None),
        (None, 3, None),
    ]
    shown = told[0].event.to_dict()
    assert shown["job_id"] is None and shown["job_seq"] is None
    assert shown["data"] == {"device": "a", "name": "A"}
    assert await store.query(lambda c: jobless.after(c, 1, 2)) == [one.event for one in told]


async def test_the_newest_progress_of_a_device_takes_the_place_of_the_one_before(
    store: Store,
) -> None:
    def write(connection: sqlite3.Connection) -> None:
        for behind in range(1000, 0, -1):
            for device in ("a", "b"):
                say(connection, events.SYNC_PROGRESS, device, behind=behind)

    await store.write(write)
    told = await store.query(lambda c: jobless.after(c, 0, 1000))
    assert [(e.to_dict()["data"]["device"], e.to_dict()["data"]["behind"]) for e in told] == [
        ("a", 1),
        ("b", 1),
    ]
    assert [e.seq for e in told] == [1999, 2000]
    assert await store.query(history.floor) == 0  # nothing is missed that is not told anew


async def test_a_thousand_comings_and_goings_leave_the_newest_and_each_last_one(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobless, "PRESENCE_EVENTS", 20)

    def write(connection: sqlite3.Connection) -> None:
        say(connection, events.DEVICE_ONLINE, "quiet")
        for n in range(2000):
            say(connection, PRESENCE[n % 2], "loud")

    await store.write(write)
    told = await store.query(lambda c: jobless.after(c, 0, 5000))
    assert [event.seq for event in told] == [1, *range(1982, 2002)]
    assert await store.query(history.floor) == 1981  # who stands before it is told of the gap
    assert await store.query(jobless.last_presence) == {
        "quiet": (True, "QUIET"),
        "loud": (False, "LOUD"),
    }


async def test_they_are_told_to_no_other_device(store: Store) -> None:
    def write(connection: sqlite3.Connection) -> int:
        changelog.begin(connection, LogId(b"d" * 16, b"i" * 8))
        for _ in range(5):
            say(connection, events.DEVICE_ONLINE, "a")
            while mirror.collect(connection, 1000):
                pass
        return int(connection.execute("SELECT count(*) FROM changes").fetchone()[0])

    assert await store.write(write) == 0
