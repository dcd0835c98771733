"""What an attempt has to say and has not committed yet.

Streamed text is volatile: it waits up to `VOLATILE_FLUSH_S` for company, or goes with the next
durable write of its attempt, always in order. While the disk refuses, it waits here, bounded, and
the worker is not read further: nothing is dropped and nothing is shown that is not durable.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from regend.clock import Clock
from regend.errors import Failed, RegendError
from regend.jobs.history import Draft, merge_chunks
from regend.jobs.repository import Claim, set_progress, show
from regend.limits import MIB, VOLATILE_FLUSH_S
from regend.store import Store
from regend.store.patience import patiently

T = TypeVar("T")

_BUFFER_BYTES = 1 * MIB


class Outbox:
    """Buffers the events of one attempt and writes them in order.

    Invariant: events leave in the order of `add`, before anything durable that `commit` writes
    later, and each at most once.
    """

    def __init__(self, store: Store, claim: Claim, clock: Clock) -> None:
        self._store = store
        self._claim = claim
        self._clock = clock
        self._drafts: list[Draft] = []
        self._bytes = 0
        self._progress: tuple[float, str] | None = None
        self._flushed_s = 0.0
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self.stalled = False
        self.failure: BaseException | None = None

    def add(self, draft: Draft) -> None:
        """Take an event to be shown soon."""
        self._drafts.append(draft)
        self._bytes += len(draft.data)
        if self._timer is None and self._flushing is None:
            since_s = self._clock.monotonic_s() - self._flushed_s
            wait_s = max(0.0, VOLATILE_FLUSH_S - since_s)
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._flush_soon)

    def set_progress(self, progress: float, step: str) -> None:
        """Record how far the job is with the next write."""
        before = 0.0 if self._progress is None else self._progress[0]
        self._progress = (max(progress, before), step)

    async def room(self) -> None:
        """Return when the buffer has room again."""
        if self._bytes > _BUFFER_BYTES:
            await self.commit(lambda _connection: None)

    async def commit(self, operation: Callable[[sqlite3.Connection], T]) -> T:
        """Write what is buffered and then `operation`, in one transaction; wait for COMMIT.

        A storage that refuses is waited out. What is cancelled meanwhile loses nothing: what was
        buffered stays so, unless the writer has it in hand, who writes it whoever waits.

        Raises:
            Fenced: the attempt holds its job no more.
        """
        async with self._turn:
            if self.failure is not None:
                raise self.failure
            drafts, progress = merge_chunks(self._drafts), self._progress
            self._drafts, self._bytes, self._progress = [], 0, None
            self._flushed_s = self._clock.monotonic_s()
            claim, at_ms = self._claim, self._clock.wall_ms()

            def write(connection: sqlite3.Connection) -> T:
                if drafts:
                    show(connection, claim.job, claim.fence, drafts, at_ms)
                if progress is not None:
                    set_progress(connection, claim.job, claim.fence, *progress)
                return operation(connection)

            in_hand = False

            async def hand_over() -> T:
                nonlocal in_hand
                in_hand = True
                try:
                    return await self._store.write(write)
                except Exception:
                    in_hand = False  # it was refused, and with it what was to be written before it
                    raise

            try:
                return await self._patiently(hand_over)
            except BaseException:
                if not in_hand:
                    self._drafts = drafts + self._drafts
                    self._bytes += sum(len(draft.data) for draft in drafts)
                    self._progress = self._progress or progress
                raise

    async def pack(self, text: str) -> str:
        """Return the payload column for a JSON text."""
        return await self._patiently(lambda: self._store.pack(text))

    async def adopt(self, file: Path) -> str | None:
        """Take over a model's saved state; None where it is gone: its step goes on less exactly."""
        try:
            return await self._patiently(lambda: asyncio.to_thread(self._store.blobs.adopt, file))
        except Failed:
            return None

    def abandon(self) -> None:
        """Forget what was to be shown, where it cannot be stored."""
        self._drafts, self._bytes, self._progress, self.failure = [], 0, None, None

    def close(self) -> None:
        """Stop the timer, once the attempt is settled or given up."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _patiently(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Await `attempt()` again and again while the storage refuses; it counts as stalled."""
        try:
            return await patiently(attempt, self._stall)
        finally:
            self.stalled = False

    def _stall(self) -> None:
        self.stalled = True

    def _flush_soon(self) -> None:
        self._timer = None
        self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        try:
            while self._drafts:
                await self.commit(lambda _connection: None)
                if self._drafts:
                    await asyncio.sleep(VOLATILE_FLUSH_S)
        except (RegendError, sqlite3.Error) as error:
            self.failure = error  # told to the attempt at its next write
        finally:
            self._flushing = None
