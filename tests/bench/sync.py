"""What sync costs: writing changes, taking them in, bytes, and how many meetings make all alike.

Run as `python -m tests.bench sync [--changes N]`.

The work is that of a list of jobs that changes: 500 objects with four fields, two of which each
change sets. Written by `store.cells` in transactions of 32 from eight writers, durable at FULL;
sealed, signed, and taken in by a device that has nothing, with every check, durable too.
The ceiling writes the same rows and the same log with bare sqlite3 in the same transactions, and
takes them in without seal, signature or check. pycrdt and Loro do the same updates in memory, where
they are installed. Then all is packed; the ceiling deletes as many rows and inserts blobs of as
much in their place, in as many transactions.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import importlib.util
import random
import sqlite3
import statistics
import string
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgpack

from regend.home import Home
from regend.limits import FRAME_CHANGES, SYNC_MESSAGE_BYTES
from regend.store import Store, cells
from regend.store.change import next_head
from regend.sync import supply
from tests.bench import _packing
from tests.sync.replicas import CLOCK, Replica

_OBJECTS = 500
_GROUP = 32
_WRITERS = 8
_DEVICES = 20
_SHORT = (32, 8, 1)
_STATES = ("queued", "running", "paused", "done")

Update = tuple[str, dict[str, Any]]


def main(argv: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench sync")
    parser.add_argument("--changes", type=int, default=100_000)
    options = parser.parse_args(argv)
    asyncio.run(_measure(options.changes))
    asyncio.run(_meetings())


def updates(count: int, seed: int = 1) -> list[Update]:
    """Return changes of jobs, two fields of one to each."""
    chance = random.Random(seed)
    made: list[Update] = []
    for number in range(count):
        fields = {
            "state": chance.choice(_STATES),
            "progress": number,
            "step": f"s{number}",
            "note": f"n{number}",
        }
        chosen = chance.sample(sorted(fields), 2)
        name = f"job-{chance.randrange(_OBJECTS):06d}"
        made.append((name, {field: fields[field] for field in chosen}))
    return made


async def _measure(count: int) -> None:
    work = updates(count)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        one, two = Replica(root / "one"), Replica(root / "two")
        for device in (one, two):
            await device.join()
        started = time.perf_counter()
        await _write_all(one, work)
        written_s = time.perf_counter() - started
        each = await _frames_in_a_message(one)
        in_one = each * FRAME_CHANGES
        bare_s, bare_import_s = _bare(root / "bare.db", root / "bare-two.db", work, in_one)
        print(
            f"written, {_GROUP} to a transaction, FULL: {count / written_s:,.0f} changes a second; "
            f"bare sqlite3: {count / bare_s:,.0f}; ratio {bare_s / written_s:.0%}"
        )
        frames = await one.frames_for(two)
        started = time.perf_counter()
        received = await _take_all(two, frames, each)
        taken_s = time.perf_counter() - started
        assert received == count
        print(
            f"taken in by a new device, {in_one} to a message, checked and durable: "
            f"{taken_s:.2f} s (100,000 at most 1); bare sqlite3 without seal or checks: "
            f"{bare_import_s:.2f} s"
        )
        await _same(one, two)
        size = sum(map(len, frames))
        short = [f"{await _bytes_a_change(one, count, of):.0f} in frames of {of}" for of in _SHORT]
        print(f"bytes a change: {size / count:.1f} in full frames (at most 20), {', '.join(short)}")
        print(f"where the values are random: {await _incompressible(root, work):.1f} (at most 60)")
        tail = await one.frames(one.log, count - 1000, count)
        print(f"the last 1,000 changes: {sum(map(len, tail)) / 1024:.1f} KiB (at most 15)")
        await _first_missing(root, frames, count, each)
        await _packing.measure(root, one, count)
        for device in (one, two):
            device.store.close()
    _peers(work)


async def _write_all(device: Replica, work: list[Update]) -> None:
    """Hand the groups in from several writers, as jobs do."""
    left = _groups(work)

    async def write() -> None:
        for group in left:
            await device.store.write(lambda c, group=group: _write(c, group))  # type: ignore[misc]

    await asyncio.gather(*(write() for _ in range(_WRITERS)))


def _write(connection: sqlite3.Connection, group: list[Update]) -> None:
    cells.write(connection, group, CLOCK.wall_ms())


async def _bytes_a_change(device: Replica, count: int, length: int) -> float:
    """Return the median over frames that carry so many changes each."""

    def read(connection: sqlite3.Connection, after: int) -> supply.Written:
        more = supply.own_after(connection, device.log, after, 1)[0]
        bodies, head = more.bodies[:length], more.previous
        for seq, body in enumerate(bodies, after + 1):
            head = next_head(head, seq, body)
        return supply.Written(device.log, after + 1, more.previous, head, bodies)

    sizes = []
    for after in range(count - 20 * length, count, length):
        frame = device.seal(await device.store.query(lambda c, at=after: read(c, at)))  # type: ignore[misc]
        sizes.append(len(frame))
    return statistics.median(sizes) / length


async def _incompressible(root: Path, work: list[Update]) -> float:
    """Return the bytes a change in full frames, for the same work with values of random letters."""
    chance = random.Random(2)
    hard = [
        (
            name,
            {f: "".join(chance.choices(string.printable, k=len(str(v)))) for f, v in set_.items()},
        )
        for name, set_ in work[: 40 * FRAME_CHANGES]
    ]
    device, other = Replica(root / "random"), Replica(root / "random-other")
    for one in (device, other):
        await one.join()
    await _write_all(device, hard)
    size = sum(map(len, await device.frames_for(other)))
    for one in (device, other):
        one.store.close()
    return size / len(hard)


async def _frames_in_a_message(device: Replica) -> int:
    """Return how many frames an exchange sends at once of what a device wrote."""
    first = await device.store.query(
        lambda c: supply.own_after(c, device.log, 0, SYNC_MESSAGE_BYTES)
    )
    return len(first)


async def _take_all(device: Replica, frames: list[bytes], each: int) -> int:
    done = 0
    left = iter(frames)
    while batch := list(islice(left, each)):
        done += (await device.take(batch)).changes
    return done


async def _first_missing(root: Path, frames: list[bytes], count: int, each: int) -> None:
    """Hand in everything but the first frame, then what is asked for again."""
    three = Replica(root / "three")
    await three.join()
    started = time.perf_counter()
    refused = await three.take(frames[1:])
    assert refused.changes == 0 and list(refused.missing.values()) == [0]
    done = await _take_all(three, frames, each)
    assert done == count
    print(
        f"the first frame missing: {time.perf_counter() - started:.2f} s for all, after it came; "
        "nothing is kept of what came too early"
    )
    three.store.close()


async def _same(one: Replica, two: Replica) -> None:
    query = "SELECT * FROM cells ORDER BY object, field"
    rows = [await d.store.query(lambda c: c.execute(query).fetchall()) for d in (one, two)]
    assert rows[0] == rows[1] and rows[0]


def _groups(work: list[Update]) -> Iterator[list[Update]]:
    for start in range(0, len(work), _GROUP):
        yield work[start : start + _GROUP]


_TABLES = (
    "CREATE TABLE log (seq INTEGER PRIMARY KEY, head BLOB, body BLOB)",
    "CREATE TABLE cell (object TEXT, field TEXT, value BLOB, stamp INT, "
    "PRIMARY KEY (object, field)) WITHOUT ROWID",
)
_SET = (
    "INSERT INTO cell VALUES (?, ?, ?, ?) ON CONFLICT (object, field) DO UPDATE SET "
    "value = excluded.value, stamp = excluded.stamp WHERE excluded.stamp > cell.stamp"
)


def _bare(path: Path, other: Path, work: list[Update], in_one: int) -> tuple[float, float]:
    """Return how long bare sqlite3 takes to write the log and the rows, and to copy them.

    Args:
        in_one: how many changes are copied in a transaction.
    """
    head, seq = b"", 0
    bodies: list[list[tuple[int, bytes, bytes]]] = []
    first = _open(path)
    started = time.perf_counter()
    for group in _groups(work):
        rows, cell = [], []
        for name, values in group:
            seq += 1
            body = msgpack.packb((seq, name, values))
            head = hashlib.blake2b(head + body, digest_size=32).digest()
            rows.append((seq, head, body))
            cell += [(name, field, msgpack.packb(value), seq) for field, value in values.items()]
        first.execute("BEGIN IMMEDIATE")
        first.executemany("INSERT INTO log VALUES (?, ?, ?)", rows)
        first.executemany(_SET, cell)
        first.execute("COMMIT")
        bodies.append(rows)
    written_s = time.perf_counter() - started
    second = _open(other)
    started = time.perf_counter()
    groups = in_one // _GROUP
    for at in range(0, len(bodies), groups):
        second.execute("BEGIN IMMEDIATE")
        for rows in bodies[at : at + groups]:
            unpacked = [msgpack.unpackb(row[2]) for row in rows]
            second.executemany("INSERT INTO log VALUES (?, ?, ?)", rows)
            second.executemany(
                _SET,
                [
                    (name, field, msgpack.packb(value), stamp)
                    for stamp, name, values in unpacked
                    for field, value in values.items()
                ],
            )
        second.execute("COMMIT")
    copied_s = time.perf_counter() - started
    first.close()
    second.close()
    return written_s, copied_s


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    for table in _TABLES:
        connection.execute(table)
    return connection


def _peers(work: list[Update]) -> None:
    """Do the same updates with the libraries that are here: in memory, without seal or disk."""
    for name, run in (("pycrdt", _pycrdt), ("loro", _loro)):
        if importlib.util.find_spec(name) is None:
            print(f"{name}: not installed, not run")
            continue
        written_s, taken_s, size = run(work)
        print(
            f"{name}, in memory, without seal or disk: written {len(work) / written_s:,.0f} a "
            f"second, taken in {taken_s:.2f} s, {size / len(work):.1f} bytes a change"
        )


def _pycrdt(work: list[Update]) -> tuple[float, float, int]:
    pycrdt: Any = importlib.import_module("pycrdt")
    sent: list[bytes] = []
    document = pycrdt.Doc()
    jobs = document.get("jobs", type=pycrdt.Map)
    watch = document.observe(lambda event: sent.append(event.update))
    started = time.perf_counter()
    for name, values in work:
        with document.transaction():
            if name not in jobs:
                jobs[name] = pycrdt.Map()
            for field, value in values.items():
                jobs[name][field] = value
    written_s = time.perf_counter() - started
    document.unobserve(watch)
    other = pycrdt.Doc()
    started = time.perf_counter()
    for update in sent:
        other.apply_update(update)
    return written_s, time.perf_counter() - started, sum(map(len, sent))


def _loro(work: list[Update]) -> tuple[float, float, int]:
    loro: Any = importlib.import_module("loro")
    sent: list[bytes] = []
    document = loro.LoroDoc()
    jobs = document.get_map("jobs")
    made: dict[str, Any] = {}
    started = time.perf_counter()
    for name, values in work:
        before = document.oplog_vv
        if name not in made:
            made[name] = jobs.insert_container(name, loro.LoroMap())
        for field, value in values.items():
            made[name].insert(field, value)
        document.commit()
        sent.append(document.export(loro.ExportMode.Updates(before)))
    written_s = time.perf_counter() - started
    other = loro.LoroDoc()
    started = time.perf_counter()
    other.import_batch(sent)
    return written_s, time.perf_counter() - started, sum(map(len, sent))


async def _meetings() -> None:
    """Let twenty devices write and meet at random until all have the same."""
    for per_device in (10, 100, 1000):
        chance = random.Random(7)
        with tempfile.TemporaryDirectory() as folder:
            devices = [
                Replica(Path(folder), Store(Home.at(Path(folder) / str(n))))
                for n in range(_DEVICES)
            ]
            for number, device in enumerate(devices):
                await device.join()
                work = updates(per_device, seed=number)
                await device.store.write(lambda c, work=work: _write(c, work))  # type: ignore[misc]
            meetings, sent = 0, 0
            while len({str(sorted((await d.vector()).items())) for d in devices}) > 1:
                one, two = chance.sample(devices, 2)
                for giver, taker in ((one, two), (two, one)):
                    frames = await giver.frames_for(taker)
                    sent += sum(map(len, frames))
                    await taker.take(frames)
                meetings += 1
            for device in devices[1:]:
                await _same(devices[0], device)
            for device in devices:
                device.store.close()
        total = per_device * _DEVICES
        print(
            f"{_DEVICES} devices, {total:,} changes: alike after {meetings} meetings at random, "
            f"{sent / total / (_DEVICES - 1):.1f} bytes a change and device"
        )
