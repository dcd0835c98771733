"""A home that goes on in another log notes why, and nothing else does."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest

from regend.store import changelog
from regend.store.change import LogId
from regend.sync.renewals import note, renewals
from tests.sync.pocket import memory

DEVICE = b"d" * 16
OLD, NEW = LogId(DEVICE, b"1" * 8), LogId(DEVICE, b"2" * 8)


@pytest.fixture
def store() -> Iterator[sqlite3.Connection]:
    with contextlib.closing(memory()) as connection:
        yield connection


@pytest.mark.parametrize(
    ("reason", "told", "beginning"),
    [
        ("database", "database", "This home was restored from a backup."),
        ("machine", "machine", "This home came from another machine."),
        ("forked", "forked", "This home was copied, or put back to an earlier state,"),
        ("unreadable", "lost", "This home lost the mark of its own history"),
        ("missing", "lost", "This home lost the mark of its own history"),
    ],
)
def test_each_reason_has_its_words(
    store: sqlite3.Connection, reason: str, told: str, beginning: str
) -> None:
    changelog.begin(store, OLD)
    store.execute("UPDATE logs SET seq = 204")
    note(store, OLD, NEW, reason, 1000)
    (one,) = renewals(store)
    assert (one["reason"], one["at"]) == (told, "1970-01-01T00:00:01.000Z")
    assert one["incarnation"] == NEW.incarnation.hex()
    assert one["earlier"] == {"incarnation": OLD.incarnation.hex(), "changes": 204}
    assert one["text"].startswith(beginning) and "is kept" in one["text"]


def test_the_newest_come_first_and_the_oldest_are_forgotten(store: sqlite3.Connection) -> None:
    lives = [LogId(DEVICE, bytes([n]) * 8) for n in range(50)]
    for n in range(1, 50):
        note(store, lives[n - 1], lives[n], "database", n)
    found = [one["incarnation"] for one in renewals(store)]
    assert found == [life.incarnation.hex() for life in reversed(lives[30:])]


def test_a_first_log_a_rejoined_one_and_anothers_are_no_renewal(store: sqlite3.Connection) -> None:
    note(store, None, NEW, "missing", 1)
    note(store, NEW, NEW, "kept", 1)
    note(store, OLD, NEW, "revoked", 1)
    note(store, LogId(b"e" * 16, b"1" * 8), NEW, "missing", 1)
    assert renewals(store) == []
