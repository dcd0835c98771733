"""What the daemon does when nobody asks: compaction, sweeping, and a look at its own files."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from functools import partial

from regend.clock import Clock
from regend.config import EventsConfig
from regend.errors import RegendError
from regend.jobs import history, keys
from regend.limits import COMMAND_KEYS_DAYS
from regend.store import Store
from regend.store.blobs import later_references, references

log = logging.getLogger("regend.maintenance")

_FIRST_S = 30.0  # after the start, when the jobs of the last run are under way again
_INTERVAL_S = 3600.0
_TOKENS_INTERVAL_S = 30.0
_PAGE = 5000
_PAUSE_S = 0.05  # lets jobs write between two pages
_REFERENCES_SETTLE_S = 10.0  # twice the longest wait between two tries to write
_DAY_MS = 24 * 3600 * 1000


class Maintenance:
    """Keeps a home small and says when it is damaged."""

    def __init__(self, store: Store, clock: Clock, config: EventsConfig) -> None:
        self._store = store
        self._clock = clock
        self._config = config
        self._tasks: list[asyncio.Task[None]] = []
        self._fault: str | None = None

    def start(self, drop_revoked: Callable[[], None]) -> None:
        """Begin; `drop_revoked` closes the streams of tokens that hold no more."""
        self._tasks = [
            asyncio.create_task(self._keep(), name="maintenance"),
            asyncio.create_task(self._watch_tokens(drop_revoked), name="tokens"),
        ]

    async def stop(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def fault(self) -> str | None:
        """Return what was found damaged, or why the last write was refused, or None."""
        return self._fault or self._store.fault

    async def run_once(self) -> None:
        """Check the database, drop old chunks and keys, sweep blobs without a reference."""
        self._fault = await self._store.verify()
        if self._fault is not None:
            log.error("the database is damaged: %s; restore a backup", self._fault)
            return
        before_ms = self._clock.wall_ms() - int(self._config.keep_chunks_days * _DAY_MS)
        await self._compact(before_ms)
        await self._forget_keys()
        # A payload whose reference waits for the disk to have room is older than it looks: only
        # when writes succeed, and those that waited had the time to, is what has no reference old.
        await self._store.write(history.floor)
        await asyncio.sleep(_REFERENCES_SETTLE_S)
        referenced = await self._store.query(lambda c: references(c) | later_references(c))
        removed = await asyncio.to_thread(self._store.blobs.sweep, referenced)
        if removed:
            log.info("swept %d payloads without a reference", removed)

    async def _compact(self, before_ms: int) -> None:
        """Drop old chunks page by page: found by a reader, so that the writer is never held up."""
        last = 0
        while True:
            page = await self._store.query(
                partial(history.compactable, before_ms=before_ms, after_seq=last, limit=_PAGE)
            )
            if not page:
                return
            last = page[-1]
            await self._store.write(partial(history.compact, seqs=page))
            await asyncio.sleep(_PAUSE_S)

    async def _forget_keys(self) -> None:
        """Forget the keys of old commands, page by page too."""
        before_ms = self._clock.wall_ms() - int(COMMAND_KEYS_DAYS * _DAY_MS)
        first_kept = await self._store.query(partial(keys.oldest_kept, before_ms=before_ms))
        while await self._store.write(partial(keys.forget, first_kept=first_kept, limit=_PAGE)):
            await asyncio.sleep(_PAUSE_S)

    async def _keep(self) -> None:
        await asyncio.sleep(_FIRST_S)
        while True:
            try:
                await self.run_once()
            except (RegendError, sqlite3.Error, OSError) as error:
                log.warning("maintenance waits: %s", error)
            await asyncio.sleep(_INTERVAL_S)

    async def _watch_tokens(self, drop_revoked: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(_TOKENS_INTERVAL_S)
            drop_revoked()
