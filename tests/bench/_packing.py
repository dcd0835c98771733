"""What packing costs, and what it gives back."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Final

import msgpack
import zstandard

from regend.sync import packing
from tests.sync.replicas import Replica

_LEVEL: Final = 3  # of zstd, as in frames
_PAGE: Final = 8  # frames in a transaction of the ceiling, about as many as in a page


async def measure(root: Path, device: Replica, count: int) -> None:
    """Pack what a device wrote, as if another had it all; print."""
    bodies = [row[0] for row in await device.store.query(_bodies)]
    before = await device.store.query(lambda c: size_of(c, "changes"))
    vector = [await device.vector()]
    started = time.perf_counter()
    while page := await device.store.query(lambda c: packing.next_page(c, vector)):
        sealed = await asyncio.to_thread(lambda page=page: [device.seal(one) for one in page])  # type: ignore[misc]
        assert await device.store.write(
            lambda c, page=page, sealed=sealed: packing.pack(c, page, sealed)  # type: ignore[misc]
        )
    packed_s = time.perf_counter() - started
    left, after = await device.store.query(_left)
    assert left < 256
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    whole = len(compressor.compress(msgpack.packb(bodies)))
    bare_s = await asyncio.to_thread(_bare, root / "bare-packed.db", bodies)
    print(
        f"packed once another device has them: {count / packed_s:,.0f} changes a second; bare "
        f"sqlite3 deletes the same rows and inserts as much for them at {count / bare_s:,.0f}; "
        f"ratio {bare_s / packed_s:.0%}"
    )
    print(
        f"in the database they take {after / count:.1f} bytes a change, {before / count:.1f} in "
        f"plain; zstd alone makes {whole / count:.1f} of all bodies at once"
    )


def _bodies(connection: sqlite3.Connection) -> list[tuple[bytes]]:
    return connection.execute("SELECT body FROM changes ORDER BY log, seq").fetchall()


def _left(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return how many changes stand in plain, and what all take in pages of the database."""
    (left,) = connection.execute("SELECT count(*) FROM changes").fetchone()
    return left, size_of(connection, "changes") + size_of(connection, "frames")


def size_of(connection: sqlite3.Connection, table: str) -> int:
    """Return what a table takes in pages of the database."""
    row = connection.execute("SELECT sum(pgsize) FROM dbstat WHERE name = ?", (table,)).fetchone()
    return int(row[0] or 0)


def _bare(path: Path, bodies: list[bytes]) -> float:
    """Return how long bare sqlite3 takes to put blobs in the place of rows, without any sealing."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE plain (seq INT PRIMARY KEY, head BLOB, body BLOB)")
    connection.execute("CREATE TABLE packed (last INT PRIMARY KEY, blob BLOB)")
    connection.execute("BEGIN")
    rows = [(seq, bytes(32), body) for seq, body in enumerate(bodies, 1)]
    connection.executemany("INSERT INTO plain VALUES (?, ?, ?)", rows)
    connection.execute("COMMIT")
    started = time.perf_counter()
    for at in range(0, len(bodies), 256 * _PAGE):
        connection.execute("BEGIN IMMEDIATE")
        for first in range(at, min(at + 256 * _PAGE, len(bodies)), 256):
            found = connection.execute(
                "SELECT seq, head, body FROM plain WHERE seq > ? AND seq <= ?", (first, first + 256)
            ).fetchall()
            blob = bytes(14 * len(found))
            connection.execute("INSERT INTO packed VALUES (?, ?)", (found[-1][0], blob))
        connection.execute("DELETE FROM plain WHERE seq <= ?", (at + 256 * _PAGE,))
        connection.execute("COMMIT")
    taken_s = time.perf_counter() - started
    connection.close()
    return taken_s
