"""The daemon's services for workers, and the calls that reach the same parts from outside.

Workers have no database and no keys: what they need of library and models they ask for here, in
the name of their job's owner.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from aiohttp import web

from regend.api.metrics import Metrics
from regend.clock import Clock
from regend.config import Config, Home
from regend.jobs.attempt import Attempt, Service
from regend.jobs.service import Jobs
from regend.library import index
from regend.library.search import search
from regend.store import Store

_MAX_HITS = 200


class Services:
    """What workers may call, joined to the parts that answer."""

    def __init__(
        self, store: Store, home: Home, config: Config, clock: Clock, metrics: Metrics
    ) -> None:
        self._store = store
        self._home = home
        self._config = config
        self._clock = clock
        self._metrics = metrics

    def table(self) -> Mapping[str, Service]:
        """Return the services by name."""
        return {
            "step.result": self._step_result,
            "library.search": self._search,
            "library.text": self._text,
        }

    def calls(self, jobs: Jobs) -> Iterable[Any]:
        """Return the groups of endpoints of these parts."""
        return ()

    def routes(self) -> Iterable[web.AbstractRouteDef]:
        """Return further routes of these parts."""
        return ()

    def start(self) -> None:
        """Begin what runs by itself."""

    async def stop(self) -> None:
        """End what runs by itself."""

    def attempt_ended(self, attempt: Attempt) -> None:
        """Free what an attempt held."""

    async def _step_result(self, attempt: Attempt, arguments: dict[str, Any]) -> str:
        return await asyncio.to_thread(self._store.blobs.unpack, arguments["reference"])

    async def _search(self, attempt: Attempt, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        limit = min(int(arguments.get("limit", 10)), _MAX_HITS)
        question, user = str(arguments["question"]), attempt.claim.user
        hits = await self._store.query(lambda c: search(c, user, question, limit))
        sources = arguments.get("sources")
        return [hit.to_dict() for hit in hits if sources is None or hit.document_id in sources]

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
