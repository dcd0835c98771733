"""Calls about models: what there is, what runs, pulling and removing."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from regend.api.call import Call, answer
from regend.api.endpoints import API, JOB, KEYED, Endpoint, listing
from regend.home import Home
from regend.jobs.inputs import INPUT_TYPES
from regend.jobs.service import Jobs
from regend.models import catalogue, pull
from regend.models.pool import ModelPool


class ModelCalls:
    """Handlers of `/models`."""

    def __init__(self, home: Home, pool: ModelPool, jobs: Jobs) -> None:
        self._home = home
        self._pool = pool
        self._jobs = jobs

    def endpoints(self) -> list[Endpoint]:
        """Return the table of these calls."""
        path = API + "/models"
        return [
            Endpoint(
                "GET", path, self.list, "Known models", "models:read", answers=listing("models")
            ),
            Endpoint(
                "GET",
                path + "/running",
                self.running,
                "Models in memory",
                "models:read",
                answers=listing("models"),
            ),
            Endpoint(
                "POST",
                path + "/pull",
                self.pull,
                "Bring a model to this device, as a job with progress",
                "models:write",
                headers=KEYED,
                body=INPUT_TYPES["pull"].schema,
                status=202,
                answers=JOB,
                errors=(404, 409, 422),
            ),
            Endpoint(
                "DELETE",
                path + "/{name}",
                self.remove,
                "Remove a model from this device",
                "models:write",
                status=204,
            ),
        ]

    async def list(self, call: Call) -> dict[str, Any]:
        """List known models, those of connected servers too."""
        return {"models": await self._pool.listing()}

    async def running(self, call: Call) -> dict[str, Any]:
        """List the models in memory."""
        return {"models": self._pool.running()}

    async def pull(self, call: Call) -> web.Response:
        """Begin to pull a model."""
        await asyncio.to_thread(catalogue.resolve, call.body["name"], self._home)
        body = {"type": "pull", "input": call.body}
        job = await self._jobs.submit(call.user, body, call.key())
        return answer(job, 202, {"Location": f"{API}/jobs/{job['id']}"})

    async def remove(self, call: Call) -> None:
        """Unload a model and remove its file."""
        name = call.path("name")
        await self._pool.unload(name)
        await asyncio.to_thread(pull.remove, name, self._home)
