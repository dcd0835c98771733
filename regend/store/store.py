"""The store: one SQLite database, one writer thread, many short readers, and the blob folder.

Only the daemon opens it. Opening takes the home's lock, checks the file, migrates it, and says
plainly what is wrong where something is: a damaged database is left as it is, never replaced by
an empty one in silence.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from regend.config import Home
from regend.errors import Busy, Failed
from regend.limits import MIB
from regend.store.bell import Bell
from regend.store.blobs import Blobs
from regend.store.connection import open_reader, open_writer
from regend.store.lock import HomeLock
from regend.store.migrations import migrate
from regend.store.writer import Operation, Probe, Writer, no_probe

T = TypeVar("T")

_READERS = 4  # SQLite reads of this size are processor-bound; more threads only wait
_CHECK_AT_START_BYTES = 32 * MIB  # larger files are checked by `verify` once the daemon is up


class Store:
    """An open home.

    Attributes:
        bell: rings after every commit.
        blobs: payloads as files.
    """

    def __init__(self, home: Home, probe: Probe = no_probe) -> None:
        """Open the home's database, creating it where there is none.

        Raises:
            Conflict: another daemon holds the home.
            Refused: the database is newer than this program.
            Failed: the database is damaged.
            BadInput: the home is not writable.
        """
        home.make()
        self._lock = HomeLock(home.lock_file)
        try:
            connection = _open_checked(home.database)
        except BaseException:
            self._lock.release()
            raise
        self.path = home.database
        self.bell = Bell()
        self.blobs = Blobs(home.blobs_dir, probe)
        self._writer = Writer(connection, self.bell.ring, probe)
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")

    @property
    def queued(self) -> int:
        """Operations that wait for the writer, about."""
        return self._writer.queued

    async def write(self, operation: Operation[T]) -> T:
        """Run `operation(connection)` in the next group commit; return its result after COMMIT.

        The operation runs in the writer's thread, in a SAVEPOINT: if it raises, it alone is undone
        and the error comes back here.

        Raises:
            Busy: the queue or the disk is full; nothing was changed.
        """
        return await self._writer.submit(operation)

    async def query(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run `operation(connection)` in a reader thread, on one consistent view."""
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, self._read_with, operation
        )

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a read-only connection to the current thread, for one short transaction."""
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = open_reader(self.path)
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._idle.put(connection)

    async def verify(self) -> str | None:
        """Read the whole database once; return what is damaged, or None."""
        try:
            await self.query(_check)
        except sqlite3.DatabaseError as error:
            return str(error)
        return None

    def close(self) -> None:
        """Commit what is queued and free the home."""
        self._writer.close()
        self._pool.shutdown()
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                break
        self._lock.release()

    def _read_with(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        with self.reading() as connection:
            return operation(connection)


def _open_checked(path: Path) -> sqlite3.Connection:
    """Open and migrate the database, turning SQLite's refusals into advice."""
    existed = path.exists() and path.stat().st_size > 0
    if not existed:
        path.touch(mode=0o600)
    connection: sqlite3.Connection | None = None
    try:
        connection = open_writer(path)
        if existed and path.stat().st_size <= _CHECK_AT_START_BYTES:
            _check(connection)
        migrate(connection, path)
        return connection
    except sqlite3.OperationalError as error:
        _close(connection)
        if "full" in str(error):
            raise Busy(
                "disk_full",
                f"There is no space left for {path}.",
                hint="Free some space and start again.",
            ) from error
        raise Failed("database_unusable", f"{path} cannot be used: {error}.") from error
    except sqlite3.DatabaseError as error:
        _close(connection)
        raise _damaged(path, str(error)) from error
    except BaseException:
        _close(connection)
        raise


def _check(connection: sqlite3.Connection) -> None:
    """Read the whole structure once.

    Raises:
        sqlite3.DatabaseError: a page is not what it should be.
    """
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def _damaged(path: Path, what: str) -> Failed:
    """Return the error for a damaged database, naming the newest copy that could replace it."""
    copies = sorted(path.parent.glob(f"{path.name}.before-*"), key=lambda p: p.stat().st_mtime)
    backup = copies[-1] if copies else "your last backup"
    return Failed(
        "database_damaged",
        f"{path} is damaged ({what.splitlines()[0]}). It was left as it is, and nothing was lost "
        "by this start.",
        hint=f"Keep a copy of it, then restore: regend restore {backup}",
    )


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        connection.close()
