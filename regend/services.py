"""The daemon's services for workers, and the calls that reach the same parts from outside.

Workers have no database and no keys: what they need of library and models they ask for here, in
the name of their job's owner.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import chain, repeat
from typing import Any

from aiohttp import web

from regend.api.library import LibraryCalls
from regend.api.models import ModelCalls
from regend.clock import Clock
from regend.config import Config
from regend.errors import RegendError
from regend.home import Home
from regend.jobs.attempt import Attempt, Service
from regend.jobs.service import Jobs
from regend.library import index, unreadable
from regend.library.importer import Importer
from regend.library.search import search
from regend.limits import DOCUMENTS_WAIT_S
from regend.models import catalogue, openai_api, pull
from regend.models.lease import Lease
from regend.models.pool import ModelPool
from regend.models.pull import PullProgress
from regend.store import Store

log = logging.getLogger("regend")

_MAX_HITS = 200
_MAX_UNREADABLE = 100
_LATE = "It has not come yet from the device that it was added on. Ask again once it has."
_PULL_EVENT_INTERVAL_S = 0.2
_LIBRARY_WAITS_S = (1.0, 5.0, 20.0, 60.0)  # between two tries; the last again and again


class Services:
    """What workers may call, joined to the parts that answer.

    Args:
        on_the_way: returns the documents that are still to come for a job from the device where it
            was, by their ids: the source of each.

    Attributes:
        importer: takes documents into the library.
    """

    def __init__(
        self,
        store: Store,
        home: Home,
        config: Config,
        clock: Clock,
        on_the_way: Callable[[sqlite3.Connection, int], Mapping[str, str]] = lambda _c, _job: {},
    ) -> None:
        self._store = store
        self._on_the_way = on_the_way
        self._home = home
        self._config = config
        self.importer = Importer(store, clock, config.library)
        self._pool = ModelPool(home, config, clock)
        self._leases: dict[Attempt, list[Lease]] = {}
        self._late: dict[Attempt, asyncio.Task[list[str]]] = {}
        self._starting: asyncio.Task[None] | None = None

    def table(self) -> Mapping[str, Service]:
        """Return the services by name."""
        return {
            "library.search": self._search,
            "library.text": self._text,
            "library.fetch": self._fetch,
            "library.unreadable": self._unreadable,
            "model.acquire": self._acquire,
            "model.lost": self._lost,
            "models.pull": self._pull,
        }

    def calls(self, jobs: Jobs) -> tuple[LibraryCalls, ModelCalls]:
        """Return the groups of endpoints of these parts."""
        return (
            LibraryCalls(self._store, self.importer, self._config.library.max_upload_mb),
            ModelCalls(self._home, self._pool, jobs),
        )

    async def require_model(self, name: str) -> None:
        """Check that there is a model of this name.

        Raises:
            NotFound: nobody knows it.
        """
        await self._pool.require(name)

    async def require_model_here(self, name: str) -> None:
        """Check that jobs can use a model here.

        Raises:
            NotFound: it is not here.
        """
        await self._pool.require_here(name)

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Return the OpenAI-compatible routes."""
        return openai_api.routes(self._pool)

    def start(self) -> None:
        """Clear what an interrupted import left, and bring the library's index up to date."""
        self._starting = asyncio.create_task(self._prepare_library(), name="library")
        self._starting.add_done_callback(_say_failure)

    async def stop(self) -> None:
        """End what runs by itself."""
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await self._pool.close()

    def attempt_ended(self, attempt: Attempt) -> None:
        """Take note that an attempt holds no model any more, and waits for no document."""
        self._free_models(attempt)
        if (waiting := self._late.pop(attempt, None)) is not None:
            waiting.cancel()

    def _free_models(self, attempt: Attempt) -> None:
        for lease in self._leases.pop(attempt, []):
            self._pool.release(lease)

    async def _prepare_library(self) -> None:
        """Make the library ready, however often the store refuses meanwhile."""
        for wait_s in chain(_LIBRARY_WAITS_S, repeat(_LIBRARY_WAITS_S[-1])):
            try:
                await self.importer.start()
                return
            except (RegendError, sqlite3.Error, OSError) as error:
                log.warning("the library waits %.0f s: %s", wait_s, error)
            await asyncio.sleep(wait_s)

    async def _search(self, attempt: Attempt, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        limit = min(int(arguments.get("limit", 10)), _MAX_HITS)
        question, user = str(arguments["question"]), attempt.claim.user
        documents: list[str] | None = arguments.get("sources")
        if attempt not in self._late:
            self._late[attempt] = asyncio.create_task(self._come_late(attempt.claim.job))
        await self._late[attempt]
        hits = await self._store.query(
            lambda c: search(c, user, question, limit, documents=documents)
        )
        return [hit.to_dict() for hit in hits]

    async def _come_late(self, job: int) -> list[str]:
        """Wait a while for documents that are on the way to a job that came from another device.

        Returns:
            The sources of those that have not come.
        """
        awaited = await self._store.query(lambda c: self._on_the_way(c, job))
        left = awaited
        with suppress(TimeoutError):
            async with asyncio.timeout(DOCUMENTS_WAIT_S):
                while left:
                    rung = self._store.bell.count
                    now = await self._store.query(lambda c: self._on_the_way(c, job))
                    left = {id: source for id, source in awaited.items() if id in now}
                    if left:
                        await self._store.bell.wait(DOCUMENTS_WAIT_S, rung)
        return list(left.values())

    async def _text(self, attempt: Attempt, arguments: dict[str, Any]) -> str:
        return await self._store.query(
            lambda c: index.document_text(
                c,
                attempt.claim.user,
                str(arguments["document_id"]),
                int(arguments.get("start") or 0),
                arguments.get("end"),
            )
        )

    async def _fetch(self, attempt: Attempt, arguments: dict[str, Any]) -> dict[str, Any]:
        added = await self.importer.import_url(str(arguments["url"]), attempt.claim.user)
        document = added.document.to_dict()
        return {**document, "document_id": document["id"]}

    async def _unreadable(self, attempt: Attempt, arguments: dict[str, Any]) -> list[Any]:
        user = attempt.claim.user
        listed = await self._store.query(lambda c: unreadable.listing(c, user, _MAX_UNREADABLE))
        late = await self._late[attempt] if attempt in self._late else []
        return [*listed, *({"source": one, "reason": _LATE} for one in late[:_MAX_UNREADABLE])]

    async def _acquire(self, attempt: Attempt, arguments: dict[str, Any]) -> dict[str, Any]:
        # Whoever asks again lost the host of the last; where that lives, its slot is free again.
        self._free_models(attempt)
        claim = attempt.claim
        lease = await self._pool.acquire(
            str(arguments["model"]), priority=claim.priority, owner=claim.id
        )
        self._leases.setdefault(attempt, []).append(lease)
        return lease.to_dict()

    async def _lost(self, attempt: Attempt, arguments: dict[str, Any]) -> bool:
        """Tell whether a job's own request is the likely cause of its model host's end.

        A host whose slot it spoilt is ended, or whoever gets the slot next would suffer.
        """
        leases = self._leases.get(attempt)
        if not leases:
            return True
        is_to_blame = await self._pool.is_to_blame(leases[-1])
        if is_to_blame and arguments.get("spoilt") is True:
            await self._pool.unload(leases[-1].model)
        return is_to_blame

    async def _pull(self, attempt: Attempt, arguments: dict[str, Any]) -> dict[str, Any]:
        shown_s = 0.0

        def show(progress: PullProgress) -> None:
            nonlocal shown_s
            now_s = time.monotonic()
            last = progress.done_bytes >= progress.total_bytes
            if now_s - shown_s < _PULL_EVENT_INTERVAL_S and not last:
                return
            shown_s = now_s
            share = progress.done_bytes / progress.total_bytes if progress.total_bytes else 0.0
            percent = share * 90.0 if progress.stage == "download" else 90.0 + share * 10.0
            attempt.show_progress(round(percent, 1), f"{progress.stage} {arguments['name']}")

        entry = await asyncio.to_thread(catalogue.resolve, str(arguments["name"]), self._home)
        path = await pull.pull(entry, self._home, show)
        return {"name": entry.name, "path": str(path)}


def _say_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("the library could not be made ready", exc_info=error)
