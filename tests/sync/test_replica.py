"""Taking frames in: whatever comes twice, late, early or unfit, each log is here once, in order."""

from __future__ import annotations

import os
import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgpack
import pytest

from regend import events
from regend.home import Home
from regend.jobs import repository
from regend.jobs.history import Draft
from regend.jsontext import dumps
from regend.limits import FRAME_CHANGES
from regend.mesh.jobs import JOB_FOLDERS, take_in
from regend.mesh.statehash import state_hash
from regend.store import Store, cells, changelog
from regend.store.change import HEAD_BYTES, Change, LogId
from regend.store.hlc import AHEAD_MS
from regend.sync import frame, replica, supply
from regend.sync.forks import head_at
from regend.sync.payloads import Cut
from regend.sync.replica import Opened, Received, Source
from regend.sync.supply import Written
from tests.jobs.test_lifecycle_machine import new_job
from tests.sync.replicas import CLOCK, KEY, Replica, anything, bodies_of, kept, of, reopened


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Replica, Replica]]:
    one, two = Replica(tmp_path / "one"), Replica(tmp_path / "two")
    for device in (one, two):
        await device.join()
    yield one, two
    for device in (one, two):
        device.store.close()


async def put(device: Replica, count: int, name: str = "thing") -> None:
    for number in range(count):
        await device.store.write(
            lambda c, n=number: cells.write(c, [(name, {f"f{n % 7}": n})], CLOCK.wall_ms())  # type: ignore[misc]
        )


async def own_frames(device: Replica, *sizes: int) -> list[bytes]:
    """Return a device's log in frames of these many changes, the last with all that is left."""
    place = (await device.vector())[device.log]
    found, at = [], 0
    for size in (*sizes, place.seq - sum(sizes)):
        if size:
            found.append(await cut_out(device, at, size))
            at += size
    return found


async def cut_out(device: Replica, after: int, count: int) -> bytes:
    """Return the frame with `count` changes of a device's log after one."""

    def read(connection: sqlite3.Connection) -> Written:
        rows = connection.execute(
            "SELECT c.head, c.body FROM changes c JOIN logs l ON l.number = c.log "
            "WHERE l.current = 1 AND c.seq > ? ORDER BY c.seq LIMIT ?",
            (after, count),
        ).fetchall()
        number = changelog.number_of(connection, device.log)
        previous = head_at(connection, number, device.log, after)
        assert previous is not None
        return Written(device.log, after + 1, previous, rows[-1][0], [row[1] for row in rows])

    return device.seal(await device.store.query(read))


async def state_of(device: Replica) -> Any:
    def read(connection: sqlite3.Connection) -> Any:
        stored = connection.execute("SELECT * FROM cells ORDER BY object, field").fetchall()
        kept = connection.execute("SELECT seq, body FROM unfolded ORDER BY log, seq").fetchall()
        return replica.vector(connection), stored, kept, state_hash(connection)

    return await device.store.query(read)


async def test_what_comes_twice_changes_nothing(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    await put(one, 10)
    frames = await own_frames(one, 3, 3)
    assert (await two.take(frames)).changes == 10
    before = await state_of(two)
    for again in (frames, frames[:1], frames[1:], frames[::-1]):
        received = await two.take(again)
        assert received.changes == 0 and not received.missing and not received.forks
        assert received.cells == []
    assert await state_of(two) == before


async def test_frames_of_other_cuts_overlap_and_bring_only_what_is_new(
    pair: tuple[Replica, Replica], tmp_path: Path
) -> None:
    one, two = pair
    await put(one, 20)
    whole = Replica(tmp_path / "whole")
    await whole.join()
    await whole.take(await own_frames(one))
    assert (await two.take([await cut_out(one, 0, 7)])).changes == 7
    assert (await two.take([await cut_out(one, 4, 6)])).changes == 3
    assert (await two.take([await cut_out(one, 0, 5)])).changes == 0
    assert (await two.take([await cut_out(one, 0, 20)])).changes == 10
    assert (await state_of(two))[:3] == (await state_of(whole))[:3]
    third = Replica(tmp_path / "third")
    await third.join()
    await third.take(await two.frames_for(third))
    assert (await state_of(third))[:3] == (await state_of(whole))[:3], "passed on, it is the same"
    for device in (whole, third):
        device.store.close()


async def test_a_log_is_taken_in_order_and_what_is_missing_is_named(
    pair: tuple[Replica, Replica],
) -> None:
    one, two = pair
    await put(one, 12)
    first, second, third, fourth = await own_frames(one, 3, 3, 3)
    received = await two.take([second])
    assert received.changes == 0 and received.missing == {one.log: 0}
    assert one.log not in await two.vector()
    received = await two.take([third, first, fourth])
    assert received.changes == 3 and received.missing == {one.log: 3}
    assert (await two.take([second, third, fourth])).changes == 9
    assert await two.vector() == await one.vector()


async def test_any_order_with_any_repeats_ends_in_the_same(
    pair: tuple[Replica, Replica], tmp_path: Path
) -> None:
    one, two = pair
    await put(one, 30)
    await put(two, 30)
    frames = [*await own_frames(one, 1, 4, 9, 2), *await own_frames(two, 5, 5, 11)]
    states = []
    for seed in range(4):
        chance = random.Random(seed)
        other = Replica(tmp_path / f"other-{seed}")
        await other.join()
        while sum(place.seq for place in (await other.vector()).values()) < 60:
            await other.take([chance.choice(frames) for _ in range(chance.randrange(1, 9))])
        states.append((await state_of(other))[:3])
        other.store.close()
    assert all(state == states[0] for state in states)


async def test_another_history_of_a_log_is_a_fork_and_not_mixed_in(
    pair: tuple[Replica, Replica], tmp_path: Path
) -> None:
    one, two = pair
    await put(one, 6)
    await two.take(await own_frames(one))
    before = await state_of(two)
    bodies = await one.store.query(lambda c: supply.own_after(c, one.log, 0, 1 << 20)[0].bodies)
    other = changed(bodies[3])
    forged = of(one, *bodies[:3], other, *bodies[4:], b"more")
    received = await two.take([forged])
    assert [fork.log for fork in received.forks] == [one.log] and received.changes == 0
    assert await state_of(two) == before


def changed(body: bytes) -> bytes:
    clock, *rest = msgpack.unpackb(body)
    packed: bytes = msgpack.packb([clock + 1, *rest])
    return packed


@pytest.mark.parametrize("limit", [0, 1, 4, 5, 6, 9, 10, 50])
async def test_a_cut_holds_in_the_middle_of_a_frame(
    pair: tuple[Replica, Replica], limit: int
) -> None:
    one, two = pair
    await put(one, 10)
    frames = await own_frames(one, 5)
    number = await one.store.query(lambda c: changelog.number_of(c, one.log))
    head = await one.store.query(lambda c: head_at(c, number, one.log, limit))
    cut = Cut(limit, head or bytes(HEAD_BYTES))

    async def take(blobs: Sequence[bytes]) -> Received:
        opened = []
        for blob in blobs:
            parsed = frame.parse(blob)
            opened.append(Opened(blob, parsed, frame.open_bodies(parsed, KEY)))
        received, _ = await two.store.write(
            lambda c: take_in(c, opened, {}, lambda _log: cut, reopened, CLOCK.wall_ms())
        )
        return received

    taken = (await take(frames)).changes
    assert taken == min(limit, 10)
    assert (await take(frames)).changes == 0
    assert (await take([await cut_out(one, 0, 10)])).changes == 0
    place = (await two.vector()).get(one.log)
    if 0 < limit < 10:
        assert place == (limit, head), "the head is that of the last change that counts"


async def test_what_an_older_program_does_not_know_is_kept_and_folded_later(
    pair: tuple[Replica, Replica],
) -> None:
    one, two = pair

    def write(connection: sqlite3.Connection) -> None:
        with changelog.writing(connection, CLOCK.wall_ms()) as log:
            assert log is not None
            for number in range(5):
                log.add("newer", number, {"more": [1, 2]})
                log.add("set", "thing", ["f", number, number + 1])

    await one.store.write(write)
    await one.meet(two)
    assert await kept(two) == [1, 3, 5, 7, 9]
    assert await two.store.query(lambda c: cells.read(c, "thing", "f")) == 4
    found: list[tuple[Source, Change]] = []
    folders = {"newer": lambda _c, source, change: found.append((source, change))}
    folded = []
    while (more := await two.store.write(lambda c: replica.fold_kept(c, folders, 5, 2))).changes:
        folded.append(more.changes)
    assert folded == [2, 2, 1] and await kept(two) == []
    assert [source.seq for source, _ in found] == [1, 3, 5, 7, 9]
    assert {source.log for source, _ in found} == {one.log}
    assert [change.fields for _, change in found] == [[n, {"more": [1, 2]}] for n in range(5)]


async def test_a_newer_kind_that_cannot_be_folded_stays_for_a_still_newer_program(
    pair: tuple[Replica, Replica],
) -> None:
    one, two = pair
    readable = msgpack.packb((1, "newer", 1))
    await two.take([of(one, b"\xc1", readable, msgpack.packb((1, "newest", 1)), readable)])
    assert await kept(two) == [1, 2, 3, 4]

    def refuse(_connection: sqlite3.Connection, source: Source, _change: Change) -> None:
        if source.seq == 2:
            raise ValueError("unfit")

    folded = await two.store.write(lambda c: replica.fold_kept(c, {"newer": refuse}, 5, 100))
    assert folded.changes == 1
    assert await kept(two) == [1, 2, 3]


GOOD = ("set", "good", ["f", "value", 1])
DEEP: Any = []
for _ in range(400):
    DEEP = [DEEP]
ODD: tuple[Any, ...] = (
    *(None, True, 1.5, float("nan"), float("inf"), -1, 1 << 63, (1 << 64) - 1, -(1 << 63)),
    *("", "text", b"bytes", [], {}, [[]], {"a": {1: 2}}, msgpack.Timestamp(1, 1), DEEP),
)


UNREADABLE = (
    *(b"", b"\xc1", b"\x93", b"\xdd\xff\xff\xff\xff", b"\x91" * 3000, os.urandom(64)),
    *(msgpack.packb(value) for value in (None, 5, [], [1], ["set", 1], {1: 2, 3: 4})),
    *(msgpack.packb([clock, "set", "x", []]) for clock in (-1, 1 << 63, (1 << 64) - 1, 1.5, None)),
    *(msgpack.packb([1, kind, "x", []]) for kind in anything(None, 5, b"set", [])),
)
UNFIT_CELLS: tuple[Any, ...] = (
    *(("set", name, ["f", 1, 1]) for name in ODD if type(name) is not str),
    *(("set", "x", written) for written in ODD if written != []),
    *(("set", "x", [field, 1, 1]) for field in ODD if type(field) is not str),
    *(("set", "x", ["f", 1, version]) for version in ODD),
    *(("set", "x", ["f", 1, (1 << 62) + 1]), ("set", "x", ["f", 1, 0]), ("set", "x", ["f", 1])),
    *(("set",), ("set", "x"), ("set", "x", [], 1), ("set", "x", ["f", 1, 1, "g", 1])),
)


async def test_a_change_that_cannot_be_read_costs_only_itself(
    pair: tuple[Replica, Replica],
) -> None:
    one, two = pair
    good = msgpack.packb((5, *GOOD))
    bodies = [good, *UNREADABLE, msgpack.packb((6, "set", "good", ["f", "later", 2]))]
    received = await two.take([of(one, *bodies)])
    assert received.changes == len(bodies)
    assert await kept(two) == list(range(2, len(bodies)))
    assert await two.store.query(lambda c: cells.read(c, "good", "f")) == "later"
    folded = await two.store.write(lambda c: replica.fold_kept(c, JOB_FOLDERS, 5, 1000))
    assert folded.changes == 0


@pytest.mark.parametrize("at", range(0, len(UNFIT_CELLS), 25))
async def test_a_cell_that_does_not_fit_costs_only_its_change(
    pair: tuple[Replica, Replica], at: int
) -> None:
    one, two = pair
    unfit = UNFIT_CELLS[at : at + 25]
    await two.take([of(one, *bodies_of([GOOD, *unfit]))])
    assert await kept(two) == list(range(2, 2 + len(unfit)))
    assert await two.store.query(lambda c: cells.read(c, "good", "f")) == "value"
    rows = await two.store.query(lambda c: c.execute("SELECT count(*) FROM cells").fetchone())
    assert rows == (1,)
    await two.store.write(lambda c: cells.write(c, [("x", {"f": 2})], CLOCK.wall_ms()))


async def test_values_of_any_kind_are_carried_as_they_are(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    values = [value for value in ODD if value is not DEEP]
    changes = [("set", "x", [f"f{n}", value, 1]) for n, value in enumerate(values)]
    await two.take([of(one, *bodies_of(changes))])
    for number, value in enumerate(values):
        found = await two.store.query(lambda c, n=number: cells.read(c, "x", f"f{n}"))  # type: ignore[misc]
        assert repr(found) == repr(value)


@pytest.mark.parametrize(("shift", "winner"), [(-(1 << 40), "own"), (1 << 60, "theirs")])
async def test_the_highest_version_is_followed_by_the_clock_alike_everywhere(
    pair: tuple[Replica, Replica], shift: int, winner: str
) -> None:
    one, two = pair
    clock = (CLOCK.wall_ms() << 16) + shift
    body = msgpack.packb((clock, "set", "x", ["f", "theirs", 1 << 62]))
    for device in (one, two):
        await device.take([of(device, body, log=LogId(b"s" * 16, b"t" * 8))])
    await one.store.write(lambda c: cells.write(c, [("x", {"f": "own"})], CLOCK.wall_ms()))
    await one.meet(two)
    for device in (one, two):
        assert await device.store.query(lambda c: cells.read(c, "x", "f")) == winner


async def test_a_device_whose_clock_is_far_ahead_wins_no_later_edit(
    pair: tuple[Replica, Replica],
) -> None:
    one, two = pair
    year = 365 * 24 * 3600 * 1000
    await one.store.write(lambda c: cells.write(c, [("x", {"f": 1})], CLOCK.wall_ms() + year))
    await one.meet(two)
    await two.store.write(lambda c: cells.write(c, [("x", {"f": 2})], CLOCK.wall_ms() - year))
    await one.meet(two)
    for device in (one, two):
        assert await device.store.query(lambda c: cells.read(c, "x", "f")) == 2
    clocks = await two.store.query(lambda c: c.execute("SELECT clock FROM logs").fetchall())
    ahead = max(row[0] for row in clocks) >> 16
    assert ahead < CLOCK.wall_ms() + AHEAD_MS + 1000


async def test_a_cell_that_was_overtaken_is_not_told_as_set(pair: tuple[Replica, Replica]) -> None:
    one, two = pair
    await put(one, 1, "x")
    await one.meet(two)
    await put(two, 1, "x")
    early = LogId(b"e" * 16, b"f" * 8)
    received = await two.take([of(two, *bodies_of([("set", "x", ["f0", "old", 1])]), log=early)])
    assert received.changes == 1 and received.cells == []
    late = LogId(b"l" * 16, b"f" * 8)
    received = await two.take([of(two, *bodies_of([("set", "x", ["f0", "new", 9])]), log=late)])
    assert received.cells == [("x", "f0")]


async def test_a_history_of_wide_characters_is_cut_into_changes_that_may_be_sent(
    tmp_path: Path,
) -> None:
    """What was before the mesh is told in one go, and a change is bounded in bytes."""
    one, two = Replica(tmp_path / "one"), Replica(tmp_path / "two")
    data = dumps({"step": 1, "offset": 0, "tokens": 1, "text": "😀" * 7000})

    def fill(connection: sqlite3.Connection) -> None:
        repository.create(connection, new_job("a"), 1)
        claim = repository.claim(connection, "boot", 1)
        assert claim is not None
        for _ in range(60):
            draft = Draft(events.MODEL_CHUNK, data)
            repository.show(connection, claim.job, claim.fence, [draft], 1)

    await one.store.write(fill)
    await one.join()
    await two.join()
    await one.meet(two)
    count = "SELECT count(*) FROM events"
    for device in (one, two):
        assert await device.store.query(lambda c: c.execute(count).fetchone()) == (62,)
    for device in (one, two):
        device.store.close()


async def test_frames_hold_no_more_changes_and_bytes_than_they_may(tmp_path: Path) -> None:
    device = Replica(tmp_path / "device")
    await device.join()

    def fill(connection: sqlite3.Connection) -> None:
        with changelog.writing(connection, 1) as log:
            assert log is not None
            for number in range(2 * FRAME_CHANGES + 3):
                log.add("newer", number)
            for _ in range(30):
                log.add("newer", os.urandom(300_000))

    await device.store.write(fill)
    total = (await device.vector())[device.log].seq
    for size in (1, 1 << 19, 1 << 30):
        at, found = 0, []
        while at < total:
            written = await device.store.query(
                lambda c, at=at, size=size: supply.own_after(c, device.log, at, size)  # type: ignore[misc]
            )
            assert written, at
            for one in written:
                assert one.first == at + 1
                at += len(one.bodies)
                found.append(device.seal(one))
                assert frame.parse(found[-1]).header.length <= FRAME_CHANGES
        assert at == total
    device.store.close()


async def test_a_log_goes_on_after_its_store_was_closed(tmp_path: Path) -> None:
    one, two = Replica(tmp_path / "one"), Replica(tmp_path / "two")
    for device in (one, two):
        await device.join()
    await put(one, 3)
    await one.meet(two)
    one.store.close()
    one.store = Store(Home.at(tmp_path / "one"))
    await put(one, 3)
    received = await two.take(await one.frames_for(two))
    assert received.changes == 3 and not received.forks
    for device in (one, two):
        device.store.close()
