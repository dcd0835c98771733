"""Calls about the daemon itself: health, figures, metrics and the document of this interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from regend import __version__
from regend.api.call import Call
from regend.api.endpoints import API, Endpoint, listing
from regend.api.metrics import Metrics
from regend.clock import Clock
from regend.jobs import figures, repository
from regend.jsonschema import fields, whole
from regend.store import Store

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class StatusCalls:
    """Handlers of `/health`, `/metrics` and `/analytics`.

    Args:
        refresh: brings the gauges up to date before they are read.
        fault: returns what is wrong with the store, or None.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        metrics: Metrics,
        refresh: Callable[[], None],
        fault: Callable[[], str | None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._refresh = refresh
        self._fault = fault
        self._started_s = clock.monotonic_s()

    def endpoints(self) -> list[Endpoint]:
        """Return the table of these calls."""
        analytics = API + "/analytics"
        return [
            Endpoint(
                "GET",
                "/health",
                self.health,
                "Whether it works",
                None,
                answers={"type": "object", "required": ["status", "version", "uptime"]},
            ),
            Endpoint(
                "GET",
                "/metrics",
                self.metrics,
                "Prometheus metrics",
                "metrics:read",
                media=("text/plain",),
            ),
            Endpoint(
                "GET",
                analytics + "/summary",
                self.summary,
                "Your jobs in figures",
                "jobs:read",
                answers={"type": "object"},
            ),
            Endpoint(
                "GET",
                analytics + "/dau",
                self.daily_users,
                "Users and jobs by day",
                "admin",
                query=fields(days=whole(1, 366, default=30)),
                answers=listing("days"),
            ),
        ]

    async def health(self, call: Call) -> dict[str, Any]:
        """Say how the daemon is."""
        fault = self._fault()
        health: dict[str, Any] = {
            "status": "ok" if fault is None else "degraded",
            "version": __version__,
            "uptime": round(self._clock.monotonic_s() - self._started_s, 3),
            "redis": "off",
        }
        if fault is not None:
            health["fault"] = fault
        if call.known is not None and call.known.allows("admin"):  # it counts everybody's
            health["jobs"] = await self._store.query(repository.counts)
        return health

    async def metrics(self, call: Call) -> web.Response:
        """Return the metrics in Prometheus' text format."""
        self._refresh()
        return web.Response(body=self._metrics.text(), headers={"Content-Type": _METRICS_TYPE})

    async def summary(self, call: Call) -> dict[str, Any]:
        """Return figures about the caller's jobs."""
        return await self._store.query(lambda c: figures.summary(c, call.user))

    async def daily_users(self, call: Call) -> dict[str, Any]:
        """Return users and jobs by day."""
        days, now_ms = call.query["days"], self._clock.wall_ms()
        return {"days": await self._store.query(lambda c: figures.daily_users(c, now_ms, days))}
