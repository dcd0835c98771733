"""The ceiling of the store: a bare sqlite3 connection with a group commit and nothing else."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_BATCH = 512
_TABLES = (
    "CREATE TABLE job (number INTEGER PRIMARY KEY, state TEXT NOT NULL, fence INTEGER NOT NULL, "
    "touched REAL) STRICT",
    "CREATE TABLE checkpoint (job INTEGER, step INTEGER, fence INTEGER, data BLOB, "
    "PRIMARY KEY (job, step)) STRICT, WITHOUT ROWID",
    "CREATE TABLE event (seq INTEGER PRIMARY KEY, job INTEGER, type TEXT, at REAL, data BLOB) "
    "STRICT",
)
Operation = Callable[[sqlite3.Connection], Any]


class BareWriter:
    """One thread: what is queued goes into one transaction, a savepoint each, then one wake-up."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        for statement in _TABLES:
            self._connection.execute(statement)
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Operation, asyncio.Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def write(self, operation: Operation) -> asyncio.Future[Any]:
        """Queue an operation; the future resolves after its COMMIT."""
        future = self._loop.create_future()
        self._queue.put((operation, future))
        return future

    def close(self) -> None:
        """End the thread."""
        self._queue.put(None)
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        connection = self._connection
        while item := self._queue.get():
            batch = [item]
            while len(batch) < _BATCH and not self._queue.empty():
                if (more := self._queue.get()) is None:
                    self._queue.put(None)
                    break
                batch.append(more)
            connection.execute("BEGIN IMMEDIATE")
            done = []
            for operation, future in batch:
                connection.execute("SAVEPOINT one")
                done.append((future, operation(connection)))
                connection.execute("RELEASE one")
            connection.execute("COMMIT")
            self._loop.call_soon_threadsafe(_resolve, done)


def _resolve(done: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, value in done:
        future.set_result(value)
