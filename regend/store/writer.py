"""The writer: one thread, one connection, group commit.

Rules
1. An operation is acknowledged only after the COMMIT that holds it.
2. Operations run in the order in which they were handed in, each in a SAVEPOINT of its own: one
   that fails takes nothing else with it.
3. There is no artificial delay: a COMMIT takes what is queued when it begins. Only what may wait
   is taken one at a time, once nothing else is queued, or others went before it often enough.
4. When the disk is full or fails, or the database was taken away, every operation of the batch is
   refused; the thread lives on and the next batch tries afresh.
5. Callers meet `RegendError`s, or what their own operation raised; SQLite's refusals of a whole
   batch are never handed out raw.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from regend.errors import Busy, Failed, RegendError
from regend.limits import WRITE_BATCH_LENGTH, WRITE_QUEUE_LENGTH, WRITES_OVERTAKING

log = logging.getLogger("regend.store")

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], T]
Probe = Callable[[str], None]


class StorageFault(Failed):
    """The storage refused, and it takes more than room or time to mend it."""


class _Item(NamedTuple):
    operation: Operation[Any]
    future: asyncio.Future[Any]
    may_wait: bool


class _Outcome(NamedTuple):
    future: asyncio.Future[Any]
    value: Any
    error: BaseException | None


def no_probe(point: str) -> None:
    """Do nothing at the named point: what production runs with."""


class Writer:
    """Runs write operations for one event loop.

    Args:
        connection: opened by `open_writer`; used by the writer's thread only from here on.
        path: of its database.
        committed: called in the loop's thread after each commit that changed something.
        probe: called with the name of each point at which a crash is worth testing.

    Attributes:
        closing: called in each transaction before its COMMIT, to add what belongs to it, if set.
        fault: why the storage refused the last transaction; None where it took it.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        committed: Callable[[], None],
        probe: Probe = no_probe,
    ) -> None:
        self.closing: Operation[object] | None = None
        self.fault: str | None = None
        self._connection = connection
        self._path = path
        self._file = path.stat()
        self._committed = committed
        self._probe = probe
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._waiting: deque[_Item] = deque()  # of the writer's thread: those that may
        self._overtaken = 0  # how often the first of them was
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._ended = False  # of the writer's thread: nothing is queued any more
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        """Operations that wait for the writer, about."""
        return self._queue.qsize()

    def submit(self, operation: Operation[T], *, may_wait: bool = False) -> asyncio.Future[T]:
        """Queue an operation; the future resolves after its COMMIT.

        Args:
            may_wait: whether others may go before it.

        Raises:
            Busy: the queue is full, or the store is closed.
        """
        loop = asyncio.get_running_loop()
        self._loop = loop
        if self._closed:
            raise closed()
        if self._queue.qsize() >= WRITE_QUEUE_LENGTH:
            raise Busy("store_busy", "Too many writes are waiting for the disk.", retry_after_s=1.0)
        future: asyncio.Future[T] = loop.create_future()
        self._queue.put(_Item(operation, future, may_wait))
        return future

    def close(self) -> None:
        """Commit what is queued, then end the thread and close the connection."""
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while batch := self._next_batch():
            before = self._connection.total_changes
            outcomes = self._commit(batch)
            self._settle(outcomes, changed=self._connection.total_changes != before)

    def _next_batch(self) -> list[_Item]:
        """Wait for operations; return those of the next transaction, none where it is closed."""
        batch: list[_Item] = []
        while len(batch) < WRITE_BATCH_LENGTH and not self._ended:
            try:
                item = self._queue.get(block=not batch and not self._waiting)
            except queue.Empty:
                break
            if item is None:
                self._ended = True
            else:
                (self._waiting if item.may_wait else batch).append(item)
        if self._waiting and (not batch or self._overtaken >= WRITES_OVERTAKING):
            self._overtaken = 0
            batch.append(self._waiting.popleft())
        elif self._waiting:
            self._overtaken += 1
        return batch

    def _commit(self, batch: list[_Item]) -> list[_Outcome]:
        """Run one batch in one transaction and return what became of each operation."""
        connection = self._connection
        outcomes: list[_Outcome] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            for item in batch:
                outcomes.append(self._apply(item))
            if self.closing is not None:
                self._close_batch(self.closing)
            self._require_file()
            self._probe("commit:before")
            connection.execute("COMMIT")
            self._probe("commit:after")
        except (sqlite3.Error, Busy) as error:
            # A ROLLBACK that fails too leaves nothing behind: the next BEGIN says so again.
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            told = error if isinstance(error, Busy) else refusal(error)
            self.fault = told.message
            return [_Outcome(item.future, None, told) for item in batch]
        self.fault = None
        return outcomes

    def _close_batch(self, closing: Operation[object]) -> None:
        """Add what belongs to the batch; where that fails, all is kept but what would be added.

        It works by a cursor of its own, and so finds later what it could not do now.
        """
        connection = self._connection
        connection.execute("SAVEPOINT closing")
        try:
            closing(connection)
        except sqlite3.Error:
            raise
        except Exception:  # whatever it is, jobs must go on
            log.exception("a commit went without what should have been added to it")
            connection.execute("ROLLBACK TO closing")
        connection.execute("RELEASE closing")

    def _require_file(self) -> None:
        """Check that the database is still where the next start will look for it.

        Raises:
            Busy: its folder was removed or moved, and what is written would be lost with it.
        """
        try:
            if os.path.samestat(self._path.stat(), self._file):
                return
        except OSError:
            pass
        raise Busy(
            "home_gone",
            f"{self._path} is not there any more. Nothing was changed.",
            hint="Put the folder back where it was; or stop this daemon, and start it anew.",
            retry_after_s=5.0,
        )

    def _apply(self, item: _Item) -> _Outcome:
        connection = self._connection
        connection.execute("SAVEPOINT operation")
        try:
            value = item.operation(connection)
        except Exception as error:  # whatever it is belongs to the caller's future
            if not connection.in_transaction:
                # SQLite itself gave the whole transaction up (full disk, I/O error).
                raise (
                    error
                    if isinstance(error, sqlite3.Error)
                    else sqlite3.OperationalError(str(error))
                ) from error
            connection.execute("ROLLBACK TO operation")
            connection.execute("RELEASE operation")
            storage = isinstance(error, sqlite3.Error) and is_of_storage(error)
            return _Outcome(item.future, None, refusal(error) if storage else error)
        connection.execute("RELEASE operation")
        return _Outcome(item.future, value, None)

    def _settle(self, outcomes: list[_Outcome], *, changed: bool) -> None:
        """Acknowledge a whole batch with one wake-up of the loop."""
        loop = self._loop
        if loop is None or loop.is_closed():
            return

        def acknowledge() -> None:
            for future, value, error in outcomes:
                if future.done():
                    continue
                if error is None:
                    future.set_result(value)
                else:
                    future.set_exception(error)
            if changed:
                self._committed()

        with contextlib.suppress(RuntimeError):  # the loop was closed just now: nobody waits
            loop.call_soon_threadsafe(acknowledge)


def is_of_storage(error: sqlite3.Error) -> bool:
    """Tell whether the storage refused, rather than the statement that was asked for."""
    return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError


def refusal(error: BaseException) -> RegendError:
    """Return what the caller is told when the storage refused."""
    text = str(error)
    if "disk is full" in text or "disk I/O" in text:
        return disk_refusal(error)
    if "database is locked" in text:
        return Busy(
            "database_locked",
            "Another program holds the database. Nothing was changed.",
            hint="Close what has opened it; the daemon goes on by itself.",
            retry_after_s=1.0,
        )
    if "malformed" in text or "not a database" in text:
        return StorageFault(
            "database_damaged",
            f"The database is damaged ({text}). Nothing was changed.",
            hint="Stop the daemon, then restore: regend restore BACKUP",
        )
    of_statement = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    kind = Failed if of_statement else StorageFault
    return kind("database_refused", f"The database refused the write: {text}.")


def closed() -> Busy:
    """Return the error for a store that is closed."""
    return Busy("store_closed", "The daemon is stopping.", retry_after_s=2.0)


def disk_refusal(error: BaseException) -> Busy:
    """Return the error for a disk that is full or failing."""
    text = str(error)
    full = "full" in text or getattr(error, "errno", None) in FULL_DISK
    return Busy(
        "disk_full" if full else "disk_error",
        f"The disk refused the write ({text}). Nothing was changed.",
        hint="Free some space; the daemon goes on by itself.",
        retry_after_s=5.0,
    )
