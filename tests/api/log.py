"""Writes history as an engine would, without one: jobs that nobody runs, and their events."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from functools import partial
from typing import Any

from regend.clock import SystemClock, new_id
from regend.events import DEVICE_ONLINE, MODEL_CHUNK, SYNC_PROGRESS
from regend.jobs import history, jobless, repository
from regend.jobs.history import Draft
from regend.jobs.repository import NewJob
from regend.jsontext import dumps
from regend.store import Store

CLOCK = SystemClock()


@dataclass(frozen=True)
class LoggedJob:
    """A job of the test: its number in the store, its id and whose it is."""

    number: int
    id: str
    user: str


class Log:
    """The history of a daemon under test."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def job(self, user: str = "owner") -> LoggedJob:
        """Make a job that no supervisor takes; its creation is an event."""
        new = NewJob(
            id=new_id(CLOCK), user=user, type="count", title="A test", input="{}", model="none",
            priority=0, max_attempts=1, seed=0, device="here",
        )  # fmt: skip

        def write(connection: sqlite3.Connection) -> int:
            number, _ = repository.create(connection, new, CLOCK.wall_ms())
            connection.execute("UPDATE jobs SET state = 'paused' WHERE number = ?", (number,))
            return number

        return LoggedJob(await self._store.write(write), new.id, user)

    async def append(self, job: LoggedJob, count: int = 1, size: int = 10) -> None:
        """Append streamed chunks to a job, in one commit."""
        draft = Draft(MODEL_CHUNK, dumps({"text": "क" * size, "offset": 0, "tokens": 1, "step": 1}))

        def write(connection: sqlite3.Connection) -> None:
            for _ in range(count):
                history.append(connection, job.number, draft, CLOCK.wall_ms())

        await self._store.write(write)

    async def vanish(self, job: LoggedJob, count: int) -> None:
        """Append chunks, complete the job and compact, in one commit.

        Nobody can have read these chunks: it is what a jump of the clock could do.
        """
        draft = Draft(MODEL_CHUNK, dumps({"text": "x", "offset": 0, "tokens": 1, "step": 1}))

        def write(connection: sqlite3.Connection) -> None:
            for _ in range(count):
                history.append(connection, job.number, draft, CLOCK.wall_ms())
            _complete(connection, job)
            seqs = history.compactable(connection, CLOCK.wall_ms() + 1, 0, 1_000_000)
            history.compact(connection, seqs)

        await self._store.write(write)

    async def end(self, job: LoggedJob) -> None:
        """Complete a job."""
        await self._store.write(lambda connection: _complete(connection, job))

    async def compact(self) -> int:
        """Remove the chunks of every ended job; return the floor."""
        before_ms = CLOCK.wall_ms() + 1
        while seqs := await self._store.query(lambda c: history.compactable(c, before_ms, 0, 1000)):
            await self._store.write(partial(history.compact, seqs=seqs))
        return await self._store.query(history.floor)

    async def presence(self, device: str, type_name: str = DEVICE_ONLINE) -> int:
        """Tell that a device came or went; return the `seq`."""
        draft = Draft(type_name, dumps({"device": device, "name": device.upper()}))
        return await self._store.write(lambda c: jobless.append(c, draft, CLOCK.wall_ms()))

    async def progress(self, device: str, behind: int) -> int:
        """Tell how far the sync with a device is; return the `seq`."""
        draft = Draft(SYNC_PROGRESS, dumps({"device": device, "behind": behind}))
        return await self._store.write(lambda c: jobless.append(c, draft, CLOCK.wall_ms()))

    async def all(self, user: str | None = "owner") -> list[dict[str, Any]]:
        """Return what the store holds of a user's events."""
        stored = await self._store.query(lambda c: history.after(c, 0, 10_000_000))
        return [one.event.to_dict() for one in stored if one.user == user]


def _complete(connection: sqlite3.Connection, job: LoggedJob) -> None:
    connection.execute(
        "UPDATE jobs SET state = 'completed', finished_at = 1 WHERE number = ?", (job.number,)
    )
    draft = Draft("job:completed:v1", '{"result":null}')
    history.append(connection, job.number, draft, CLOCK.wall_ms())
