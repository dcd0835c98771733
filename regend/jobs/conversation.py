"""The daemon's side of the talk with one worker: what is written, answered and done beside it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

from regend.clock import Clock
from regend.errors import RegendError
from regend.jobs.frames import Frame
from regend.jobs.outbox import Outbox
from regend.jobs.process import WorkerProcess
from regend.jobs.repository import Claim, Fenced
from regend.limits import MAX_OPEN_CALLS
from regend.store import Store

T = TypeVar("T")

log = logging.getLogger("regend.jobs")

Answer = Callable[[dict[str, Any]], Awaitable[Any]]


class Conversation:
    """What the functions of `ops` work with.

    Args:
        services: what the worker may call by name, with its arguments.
        slots_dir: where model hosts save their state before it becomes a blob.
        broke: called with the reason when something that goes on beside the talk breaks.
    """

    def __init__(
        self,
        claim: Claim,
        worker: WorkerProcess,
        store: Store,
        clock: Clock,
        outbox: Outbox,
        services: Mapping[str, Answer],
        slots_dir: Path,
        broke: Callable[[str], None],
    ) -> None:
        self.claim = claim
        self.worker = worker
        self.store = store
        self.clock = clock
        self.outbox = outbox
        self.services = services
        self.slots_dir = slots_dir
        self._broke = broke
        self._beside: set[asyncio.Task[None]] = set()
        self._saving: asyncio.Task[None] | None = None

    async def record(self, write: Callable[..., T], *arguments: Any) -> T:
        """Call `write(connection, job, fence, *arguments, at_ms)`; return its result after COMMIT.

        Raises:
            Fenced: the attempt holds the job no more.
        """
        claim, clock = self.claim, self.clock
        return await self.outbox.commit(
            lambda connection: write(
                connection, claim.job, claim.fence, *arguments, clock.wall_ms()
            )
        )

    async def send(self, frame: Frame) -> None:
        """Tell the worker something."""
        await self.worker.send(frame)

    async def acknowledge(self, frame: Frame, value: Any = None) -> None:
        """Tell the worker that what it asked for is done, and what came of it."""
        await self.send({"op": "ack", "id": frame["id"], "value": value})

    async def answer(self, frame: Frame, work: Awaitable[Any]) -> None:
        """Tell the worker what `work` comes to, or why it is refused.

        Raises:
            Fenced: the attempt holds the job no more.
        """
        try:
            value = await work
        except Fenced:
            raise
        except RegendError as error:
            body = {**error.to_dict(), "status": error.status}
            await self.send({"op": "ack", "id": frame["id"], "error": body})
        else:
            await self.acknowledge(frame, value)

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin what goes on while the worker is listened to."""
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._ended)

    async def room_beside(self) -> None:
        """Return when little enough goes on beside the talk for one thing more."""
        while len(self._beside) >= MAX_OPEN_CALLS:
            await asyncio.wait(self._beside, return_when=asyncio.FIRST_COMPLETED)

    def save(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin to save a checkpoint; the one before must be `saved`."""
        self._saving = asyncio.create_task(work)

    async def saved(self) -> None:
        """Wait until the checkpoint that is being saved is durable, and raise what went wrong."""
        if self._saving is not None:
            await self._saving
            self._saving = None

    def discard(self, slot: str | None) -> None:
        """Remove a saved state that nothing needs any more, if there is one."""
        if slot is not None:
            self.beside(asyncio.to_thread(self.store.blobs.discard, [slot]))

    async def close(self) -> None:
        """End what still goes on."""
        going_on = [*self._beside, *([self._saving] if self._saving is not None else [])]
        for task in going_on:
            task.cancel()
        await asyncio.gather(*going_on, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Notice what broke beside the talk: the worker may wait for its answer for ever."""
        self._beside.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            of_job = {"job_id": self.claim.id}
            log.error("the daemon failed at what the job asked for", exc_info=error, extra=of_job)
            self._broke(f"the daemon failed at what it asked for: {error!r}")
