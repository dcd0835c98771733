"""Disks that are full: a limit on file sizes, which needs no rights, and a small real one.

Run as `python -m tests.store.disk CASE HOME`: a full disk is tried in a process of its own. It
prints `ok` at its end; an assertion that fails ends it with a traceback.
"""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import sys
from pathlib import Path
from typing import Protocol

from regend.errors import Busy
from regend.home import Home
from regend.limits import INLINE_PAYLOAD_BYTES, KIB, MIB
from regend.store import Store
from tests.store.rows import names, names_in, put


class Disk(Protocol):
    """Something that can be full for a while."""

    def fill(self, room_bytes: int) -> None: ...

    def free(self) -> None: ...


class FileSizeLimit:
    """The system refuses to let any file of this process grow beyond the largest there is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def fill(self, room_bytes: int) -> None:
        largest = max(f.stat().st_size for f in self._folder.rglob("*") if f.is_file())
        self._set(largest + room_bytes)

    def free(self) -> None:
        self._set(resource.RLIM_INFINITY)

    def _set(self, soft: int) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class SmallDisk:
    """A real file system of a few megabytes with the home on it, and a ballast file."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def fill(self, room_bytes: int) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4 * KIB)
            except OSError:
                file.truncate(max(0, file.tell() - room_bytes))

    def free(self) -> None:
        self._ballast.unlink()


async def _log(home: Home, disk: Disk) -> None:
    """The log cannot grow: writes are refused, reads go on, and it heals by itself."""
    store = Store(home)
    await store.write(lambda c: put(c, "before"))
    disk.fill(40 * KIB)
    taken, refused = {"before"}, 0
    for number in range(30):
        try:
            taken.add(await store.write(lambda c, n=number: put(c, f"n{n}", "v" * 4000)))  # type: ignore[misc]
        except Busy as error:
            assert error.code in ("disk_full", "disk_error"), error.code
            refused += 1
    assert refused
    assert await store.query(names) == taken
    disk.free()
    taken.add(await store.write(lambda c: put(c, "after", "v" * 4000)))
    assert await store.query(names) == taken
    store.close()
    assert names_in(home.database) == taken


async def _checkpoint(home: Home, disk: Disk) -> None:
    """The log cannot be folded into the database: it stays, and nothing is lost."""
    store = Store(home)
    await store.write(lambda c: put(c, "large", "v" * 6 * MIB))
    disk.fill(20 * KIB)
    taken, refused = {"large"}, 0
    for number in range(60):
        try:
            taken.add(await store.write(lambda c, n=number: put(c, f"n{n}", "v" * 200_000)))  # type: ignore[misc]
        except Busy:
            refused += 1
    assert refused
    assert await store.query(names) == taken
    disk.free()
    taken.add(await store.write(lambda c: put(c, "after")))
    store.close()
    assert names_in(home.database) == taken


async def _blob(home: Home, disk: Disk) -> None:
    """A payload does not fit: it is refused, nothing is left of it, and later it fits."""
    store = Store(home)
    payload = '"' + "v" * (2 * MIB) + '"'
    disk.fill(INLINE_PAYLOAD_BYTES)
    for _ in range(3):
        try:
            await asyncio.to_thread(store.blobs.pack, payload)
        except Busy as error:
            assert error.retryable, error
        else:
            raise AssertionError("a payload was taken that has no room")
    assert not [f for f in home.blobs_dir.rglob("*") if f.is_file()]
    disk.free()
    column = await asyncio.to_thread(store.blobs.pack, payload)
    assert store.blobs.unpack(column) == payload
    store.close()


async def _start(home: Home, disk: Disk) -> None:
    """A daemon that starts on a full disk says so or serves; what was stored stays."""
    store = Store(home)
    await store.write(lambda c: put(c, "kept"))
    store.close()
    disk.fill(0)
    try:
        Store(home).close()
    except Busy as error:
        assert error.code in ("disk_full", "disk_error"), error.code
    disk.free()
    assert names_in(home.database) == {"kept"}
    store = Store(home)
    assert await store.query(names) == {"kept"}
    store.close()


CASES = {"log": _log, "checkpoint": _checkpoint, "blob": _blob, "start": _start}


def main(case: str, folder: str, kind: str) -> None:
    """Try one case on the disk that holds `folder`."""
    home = Home.at(Path(folder) / "home")
    home.make()
    sqlite3.connect(home.database).close()
    disk: Disk = SmallDisk(Path(folder)) if kind == "small" else FileSizeLimit(Path(folder))
    asyncio.run(CASES[case](home, disk))
    print("ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
