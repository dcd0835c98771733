"""What clients may do with jobs, in one place for REST, WebSocket and whatever comes.

Each method checks its input, does its work in one transaction and returns the job as clients see
it. A user meets only their own jobs; another's id does not exist for them.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Mapping
from typing import Any

from regend.clock import Clock, rfc3339
from regend.config import Config
from regend.errors import BadInput, Failed
from regend.events import Event
from regend.jobs import (
    approvals,
    commands,
    history,
    journal,
    keys,
    repository,
    wishes,
)
from regend.jobs.inputs import INPUT_TYPES, InputType
from regend.jobs.intake import Intake
from regend.jobs.lifecycle import PENDING
from regend.jobs.supervisor import Supervisor
from regend.jobs.view import is_inline, job_object
from regend.jsontext import digest
from regend.limits import DEFAULT_PAGE_LENGTH, MIB
from regend.store import Store
from regend.store.blobs import Blobs, reference

# Returns the digest of a saved model state that nothing needs any more, if there was one.
Command = Callable[[sqlite3.Connection, sqlite3.Row, int], str | None]

_EVENTS_BYTES = 16 * MIB  # in one page of events


class Jobs:
    """The jobs of a daemon, for its clients."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        config: Config,
        supervisor: Supervisor,
        device: str,
        types: Mapping[str, InputType] = INPUT_TYPES,
    ) -> None:
        self._store = store
        self._clock = clock
        self._supervisor = supervisor
        self._intake = Intake(store, clock, config, device, types)
        self.types = types

    async def submit(self, user: str, body: Any, key: Any) -> dict[str, Any]:
        """Take a job and return it once it is durable.

        Args:
            body: `{type, input, title?, model?, priority?, max_attempts?}`.
            key: idempotency key, as it was sent; the same request under the same key is one job.

        Raises:
            BadInput: a field is unknown, missing or unfit.
            Conflict: the key was used for another request.
            TooLarge: the input is over its bound.
        """
        new = await self._intake.new_job(user, body, keys.checked(key))

        def write(connection: sqlite3.Connection) -> sqlite3.Row:
            number, _fresh = repository.create(connection, new, self._clock.wall_ms())
            return repository.by_number(connection, number)

        return await self._shown(await self._store.write(write))

    async def was_submitted(self, user: str, key: str | None) -> bool:
        """Tell whether a job was handed in under this idempotency key."""
        if key is None:
            return False
        return await self._store.query(lambda c: repository.has_key(c, user, key))

    async def show(self, user: str, job_id: str) -> dict[str, Any]:
        """Return one job by its id or an unambiguous prefix."""
        return await self._shown(
            await self._store.query(lambda c: repository.find(c, user, job_id))
        )

    async def page(
        self,
        user: str,
        *,
        state: str | None = None,
        type_name: str | None = None,
        words: str | None = None,
        limit: int = DEFAULT_PAGE_LENGTH,
        cursor: str | None = None,
    ) -> dict[str, Any]:
        """Return a page of jobs, newest first, and the cursor of the next.

        Args:
            state: `pending` means all that have not ended.
        """
        states = PENDING if state == "pending" else () if state is None else (state,)
        before = None if cursor is None else int(cursor)

        def read(connection: sqlite3.Connection) -> list[sqlite3.Row]:
            return repository.listed(
                connection,
                user,
                states=states,
                type_name=type_name,
                words=words,
                before=before,
                limit=limit + 1,
            )

        rows = await self._store.query(read)
        shown = [job_object(row, self._store.blobs, whole=False) for row in rows[:limit]]
        return {
            "jobs": shown,
            "next_cursor": str(rows[limit - 1]["number"]) if rows[limit:] else None,
        }

    async def type_of(self, user: str, job_id: str) -> str:
        """Return the type of a job, by its id or an unambiguous prefix."""
        row = await self._store.query(lambda c: repository.find(c, user, job_id))
        return str(row["type"])

    async def type_that_asks(self, user: str, approval_id: str) -> str:
        """Return the type of the job that waits for this approval.

        Raises:
            NotFound: there is no such approval, or it is another's.
        """
        return await self._store.query(lambda c: approvals.type_that_asks(c, user, approval_id))

    async def cancel(self, user: str, job_id: str, key: Any = None) -> dict[str, Any]:
        """Wish a job cancelled."""
        return await self._command(user, job_id, ("cancel", None), key, commands.cancel)

    async def pause(self, user: str, job_id: str, key: Any = None) -> dict[str, Any]:
        """Wish a job paused."""
        return await self._command(user, job_id, ("pause", None), key, commands.pause)

    async def resume(
        self, user: str, job_id: str, choice: Any = None, key: Any = None
    ) -> dict[str, Any]:
        """Let a paused or waiting job go on.

        Args:
            choice: for one that waits for a choice: what was chosen, as it was sent.
        """
        if choice is not None and not isinstance(choice, str):
            raise BadInput("invalid_field", "“choice” must be a text.", field="choice")

        def resume(connection: sqlite3.Connection, row: sqlite3.Row, at_ms: int) -> str | None:
            return commands.resume(connection, row, choice, at_ms)

        return await self._command(user, job_id, ("resume", choice), key, resume)

    async def retry(self, user: str, job_id: str, key: Any = None) -> dict[str, Any]:
        """Let a failed job try again."""
        return await self._command(user, job_id, ("retry", None), key, commands.retry)

    async def fork(
        self, user: str, job_id: str, step: int | None, key: Any = None
    ) -> dict[str, Any]:
        """Make a new job that shares the steps of another up to `step`."""
        key = keys.checked(key)

        def write(connection: sqlite3.Connection) -> sqlite3.Row:
            row = repository.find(connection, user, job_id)
            new = self._intake.fork(row, step, key)
            number = commands.fork(connection, row, new, step, self._clock.wall_ms())
            return repository.by_number(connection, number)

        return await self._shown(await self._store.write(write))

    async def steps(self, user: str, job_id: str) -> list[dict[str, Any]]:
        """Return what ran, when, and how long; large results are named in `omitted`."""

        def read(connection: sqlite3.Connection) -> list[dict[str, Any]]:
            number = repository.find(connection, user, job_id)["number"]
            return [_step_object(step) for step in journal.steps(connection, number)]

        return await self._store.query(read)

    async def checkpoints(self, user: str, job_id: str) -> list[dict[str, Any]]:
        """Return the places from which the job can go on or be forked, oldest first."""

        def read(
            connection: sqlite3.Connection,
        ) -> tuple[list[journal.Step], journal.Checkpoint | None]:
            number = repository.find(connection, user, job_id)["number"]
            return journal.steps(connection, number), journal.checkpoint(connection, number)

        done, checkpoint = await self._store.query(read)
        shown: list[dict[str, Any]] = [
            {"step": step.ordinal, "name": step.name, "kind": "step"} for step in done
        ]
        if checkpoint is not None:
            shown.append(
                {
                    "step": checkpoint.ordinal,
                    "kind": "generation",
                    "position": checkpoint.position,
                    "exact": checkpoint.slot is not None,
                }
            )
        return shown

    async def events(self, user: str, job_id: str, after_seq: int, limit: int) -> list[Event]:
        """Return the next events of a job after `after_seq`, oldest first: `limit` at most, and
        fewer where they are large."""

        def read(connection: sqlite3.Connection) -> list[Event]:
            number = repository.find(connection, user, job_id)["number"]
            return history.of_job(connection, number, after_seq, limit, _EVENTS_BYTES)

        return await self._store.query(read)

    async def approvals(self, user: str) -> list[dict[str, Any]]:
        """Return what waits for the user's word; a preview that is not here yet is `omitted`."""
        rows = await self._store.query(lambda c: approvals.pending(c, user))
        return await asyncio.to_thread(_previewed, rows, self._store.blobs)

    async def decide(
        self, user: str, approval_id: str, decision: str, action_hash: str
    ) -> dict[str, Any]:
        """Record an answer, `approve` or `deny`, to what was shown, and let the job go on."""

        def write(connection: sqlite3.Connection) -> sqlite3.Row:
            at_ms = self._clock.wall_ms()
            row = approvals.asker(connection, user, approval_id)
            if row["remote"]:
                said = [user, decision, action_hash]
                wishes.answer(connection, row["id"], approval_id, said, at_ms)
                return row
            number = approvals.decide(connection, user, approval_id, decision, action_hash, at_ms)
            commands.go_on(connection, repository.by_number(connection, number), at_ms)
            return repository.by_number(connection, number)

        return await self._shown(await self._store.write(write))

    async def _command(
        self, user: str, job_id: str, request: tuple[str, str | None], key: Any, command: Command
    ) -> dict[str, Any]:
        """Carry a command out, once under a key, and return the job as it is then.

        Where another device runs the job, it is told, and does it when it learns of it.

        Args:
            request: name of the command, and what was chosen with it.
            key: idempotency key, as it was sent.

        Raises:
            BadInput: the key is none.
            Conflict: the job's state forbids it, or the key was used for another command.
        """
        key = keys.checked(key)
        name, choice = request

        def write(connection: sqlite3.Connection) -> tuple[sqlite3.Row, str | None]:
            row = repository.find(connection, user, job_id)
            at_ms = self._clock.wall_ms()
            asked = digest([name, choice, row["id"]])
            if key is not None and not keys.is_first(connection, user, key, asked, at_ms):
                return row, None
            if row["remote"]:
                wishes.wish(connection, row, name, choice, at_ms)
                return row, None
            slot = command(connection, row, at_ms)
            return repository.by_number(connection, row["number"]), slot

        row, slot = await self._store.write(write)
        self._supervisor.tell(row["number"], row["desired"])
        if slot is not None:
            await asyncio.to_thread(self._store.blobs.discard, [slot])
        return await self._shown(row)

    async def _shown(self, row: sqlite3.Row) -> dict[str, Any]:
        """Return the whole job as clients see it; what lies in files is read off the loop."""
        if is_inline(row):
            return job_object(row, self._store.blobs)
        return await asyncio.to_thread(job_object, row, self._store.blobs)


def _previewed(rows: list[dict[str, Any]], blobs: Blobs) -> list[dict[str, Any]]:
    shown = []
    for row in rows:
        one = {**row, "preview": None, "requested_at": rfc3339(row["requested_at"])}
        try:
            one["preview"] = blobs.value(row["preview"])
        except Failed:  # it is not here yet, or unreadable; the other questions are shown
            one["omitted"] = ["preview"]
        shown.append(one)
    return shown


def _step_object(step: journal.Step) -> dict[str, Any]:
    is_large = reference(step.result) is not None
    shown = {
        "ordinal": step.ordinal,
        "name": step.name,
        "input_hash": step.input_hash,
        "started_at": rfc3339(step.started_at),
        "duration_ms": step.duration_ms,
        "result": None if is_large else json.loads(step.result),
    }
    return {**shown, "omitted": ["result"]} if is_large else shown
