"""The store: one SQLite database, one writer thread, many short readers, and the blob folder.

Only the daemon opens it. Opening takes the home's lock, and then the database by `opening`.
"""

from __future__ import annotations

import asyncio
import queue
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from regend.home import Home
from regend.limits import INLINE_PAYLOAD_BYTES
from regend.store.bell import Bell
from regend.store.blobs import Blobs
from regend.store.connection import open_reader
from regend.store.lock import HomeLock
from regend.store.opening import check, open_database
from regend.store.writer import (
    Operation,
    Probe,
    Writer,
    closed,
    is_of_storage,
    no_probe,
    refusal,
)

T = TypeVar("T")

_READERS = 4  # SQLite reads of this size are processor-bound; more threads only wait
_SURELY_INLINE_CHARACTERS = INLINE_PAYLOAD_BYTES // 4  # UTF-8 takes four bytes at most


class Store:
    """An open home.

    Attributes:
        bell: rings after every commit that changed something.
        blobs: payloads as files.
        closed: whether nothing can be read or written any more.
    """

    def __init__(self, home: Home, probe: Probe = no_probe) -> None:
        """Open the home's database, creating it where there is none.

        Raises:
            Conflict: another daemon holds the home.
            Refused: the database is newer than this program.
            Failed: the database is damaged or gone.
            Busy: the disk is full.
            BadInput: the home is not writable.
        """
        home.make()
        self._lock = HomeLock(home.lock_file)
        try:
            connection = open_database(home.database)
        except BaseException:
            self._lock.release()
            raise
        self.path = home.database
        self.bell = Bell()
        self.blobs = Blobs(home.blobs_dir, probe)
        self._writer = Writer(connection, home.database, self.bell.ring, probe)
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self.closed = False
        self._pool = ThreadPoolExecutor(_READERS, thread_name_prefix="store-reader")

    @property
    def queued(self) -> int:
        """Operations that wait for the writer, about."""
        return self._writer.queued

    @property
    def fault(self) -> str | None:
        """Why the storage refused the last transaction; None where it took it."""
        return self._writer.fault

    async def write(self, operation: Operation[T], *, may_wait: bool = False) -> T:
        """Run `operation(connection)` in the next group commit; return its result after COMMIT.

        The operation runs in the writer's thread, in a SAVEPOINT: if it raises, it alone is undone
        and the error comes back here.

        Args:
            may_wait: whether others may go before it: for what takes long and nobody waits for.

        Raises:
            Busy: the queue or the disk is full, or the home is gone; nothing was changed.
        """
        return await self._writer.submit(operation, may_wait=may_wait)

    def before_commit(self, operation: Operation[object]) -> None:
        """Run `operation(connection)` in every transaction before its COMMIT from now on."""
        self._writer.closing = operation

    async def query(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Run `operation(connection)` in a reader thread, on one consistent view.

        Raises:
            Busy: the disk fails, or another program holds the database.
            Failed: the database is damaged.
        """
        try:
            return await self._read(operation)
        except sqlite3.Error as error:
            if is_of_storage(error):
                raise refusal(error) from error
            raise

    async def pack(self, text: str) -> str:
        """Return the payload column for a JSON text; a large one goes to disk off the loop.

        Raises:
            Busy: the disk is full or failing.
        """
        if len(text) <= _SURELY_INLINE_CHARACTERS:
            return text
        return await asyncio.to_thread(self.blobs.pack, text)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend a read-only connection to the current thread, for one short transaction.

        Raises:
            Busy: the store is closed.
        """
        if self.closed:
            raise closed()
        try:
            connection = self._idle.get_nowait()
        except queue.Empty:
            connection = open_reader(self.path)
        try:
            connection.execute("BEGIN")
            yield connection
        finally:
            try:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            finally:
                self._give_back(connection)

    async def verify(self) -> str | None:
        """Read the whole database once; return what is damaged, or None."""
        try:
            await self._read(check)
        except sqlite3.DatabaseError as error:
            return str(error)
        return None

    def close(self) -> None:
        """Commit what is queued and free the home. Twice is once.

        Readers go first: the last connection to close folds the log into the database, and only
        the writer's may.
        """
        self._pool.shutdown()
        self.closed = True
        self._close_idle()
        self._writer.close()
        self._lock.release()

    def _give_back(self, reader: sqlite3.Connection) -> None:
        self._idle.put(reader)
        if self.closed:  # meanwhile: nobody else closes it any more
            self._close_idle()

    def _close_idle(self) -> None:
        while True:
            try:
                self._idle.get_nowait().close()
            except queue.Empty:
                return

    async def _read(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        if self.closed:
            raise closed()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._read_with, operation)

    def _read_with(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        with self.reading() as connection:
            return operation(connection)
