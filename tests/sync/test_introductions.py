"""Several devices introduce one job: every device shows the same of it, whatever came first."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from regend.jobs import repository
from regend.jobs.terms import first_term, next_term
from regend.mesh.statehash import state_hash
from regend.mesh.unfolding import unfold
from regend.store.change import LogId, first_head
from regend.sync.payloads import Cut
from tests.sync.replicas import Replica, bodies_of, of, reopened
from tests.sync.test_told import COLUMNS, CREATED, JOB_ID, told_history, told_job

LOGS = [LogId(bytes([number]) * 16, bytes([number]) * 8) for number in (1, 2, 3)]
FIRST = [first_term(JOB_ID, *log, 1) for log in LOGS]
HIGHEST = max(range(3), key=lambda number: FIRST[number].id)
LOWEST = min(range(3), key=lambda number: FIRST[number].id)


def named(number: int) -> list[Any]:
    """Return what a device says that the job is."""
    return [*COLUMNS[:2], f"By device {number}", number, *COLUMNS[4:]]


def log_of(number: int, *further: tuple[Any, ...]) -> list[bytes]:
    log = LOGS[number]
    return bodies_of([told_job(log, named(number)), told_history(log, CREATED), *further])


async def shown(device: Replica) -> tuple[Any, ...]:
    def read(connection: sqlite3.Connection) -> tuple[Any, ...]:
        row = repository.find(connection, None, JOB_ID)
        return row["title"], row["priority"], state_hash(connection)

    return await device.store.query(read)


async def all_shown(folder: Path, logs: Sequence[list[bytes]]) -> set[tuple[Any, ...]]:
    """Return what devices show that take in these logs, each in another order."""
    found = set()
    for order in permutations(range(len(logs))):
        device = Replica(folder / "".join(map(str, order)))
        await device.join()
        for number in order:
            await device.take([of(device, *logs[number], log=LOGS[number])])
        found.add(await shown(device))
        device.store.close()
    return found


async def test_the_introduction_of_the_history_that_holds_is_shown(tmp_path: Path) -> None:
    ((title, priority, _),) = await all_shown(tmp_path / "a", [log_of(n) for n in range(3)])
    assert (title, priority) == (f"By device {HIGHEST}", HIGHEST)
    # A second term makes the history of another introduction the one that holds.
    taken = next_term(JOB_ID, FIRST[LOWEST], 1, "forced", *LOGS[LOWEST], 2)
    logs = [log_of(n, *([("term", JOB_ID, list(taken))] * (n == LOWEST))) for n in range(3)]
    ((title, priority, _),) = await all_shown(tmp_path / "b", logs)
    assert (title, priority) == (f"By device {LOWEST}", LOWEST)


async def test_one_that_counts_no_more_gives_way_as_if_it_had_never_come(tmp_path: Path) -> None:
    had, never = Replica(tmp_path / "had"), Replica(tmp_path / "never")
    for device in (had, never):
        await device.join()
        for number in range(3):
            if device is had or number != HIGHEST:
                await device.take([of(device, *log_of(number), log=LOGS[number])])
    gone = LOGS[HIGHEST]
    cut = Cut(0, first_head(gone))
    await had.store.write(lambda c: unfold(c, gone, cut, reopened, 1))
    assert await shown(had) == await shown(never)
    for device in (had, never):
        device.store.close()


async def test_nobody_introduces_a_job_in_the_name_of_another_device(tmp_path: Path) -> None:
    device = Replica(tmp_path / "a")
    await device.join()
    await device.take([of(device, *log_of(0), log=LOGS[0])])
    before = await shown(device)
    lie = told_job(LOGS[0], ["zzz", *named(2)[1:]])
    await device.take([of(device, *bodies_of([lie]), log=LOGS[1])])
    assert (await shown(device))[:2] == before[:2]
    device.store.close()


@pytest.mark.parametrize("first", [0, 1])
async def test_of_two_things_that_one_device_says_the_same_is_shown(
    tmp_path: Path, first: int
) -> None:
    ways = [told_job(LOGS[0], named(0)), told_job(LOGS[0], named(1))]
    device = Replica(tmp_path / "a")
    await device.join()
    await device.take([of(device, *bodies_of([ways[first], ways[1 - first]]), log=LOGS[0])])
    shown_here = (await shown(device))[0]
    device.store.close()
    other = Replica(tmp_path / "b")
    await other.join()
    await other.take([of(other, *bodies_of([ways[1 - first], ways[first]]), log=LOGS[0])])
    assert (await shown(other))[0] == shown_here
    other.store.close()
