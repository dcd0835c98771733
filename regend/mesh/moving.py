"""Jobs that move between devices: asked for, given, taken; what each side of it does.

Rules
1. A device is asked first. Without its word a job is taken only where a person said so.
2. A job that came runs once everything that it needs is here. Only a model's saved state is waited
   for no longer than `BASE_WAIT_S`, and where the job was taken only until no device that is
   reached can send it: the job goes on from the place before it, or the text is evaluated anew,
   and that is said.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, Final

from regend.clock import Clock
from regend.errors import BadInput, Busy, Conflict, RegendError, Retryable
from regend.jobs import arrivals, handover, repository, wishes
from regend.jobs.folding import HERE
from regend.jobs.supervisor import Supervisor
from regend.jobs.view import job_object
from regend.limits import BASE_WAIT_S, CALL_TIMEOUT_S
from regend.store import Store
from regend.store.blobs import Blobs, Lost
from regend.store.change import INCARNATION_BYTES, LogId
from regend.sync.exchange import Exchange
from regend.sync.fetching import Fetcher

RequireAble = Callable[[str, str], Awaitable[None]]

_UNANSWERED: Final = ("device_gone", "link_ended")  # of calls, by `sync`


class Moves:
    """Takes jobs over, and gives them away.

    Args:
        own: the log of this device.
        exchange_with: returns the exchange with a device; None where it is not reached.
        fetcher: returns what gets payloads; None where this device is in no mesh.
        called: returns what a device is called.
        require_able: raises where this device cannot run a job of this type with this model.

    Attributes:
        own: the log of this device now.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        supervisor: Supervisor,
        own: LogId,
        exchange_with: Callable[[bytes], Exchange | None],
        fetcher: Callable[[], Fetcher | None],
        called: Callable[[bytes], str],
        require_able: RequireAble,
    ) -> None:
        self._store = store
        self._clock = clock
        self._supervisor = supervisor
        self.own = own
        self._exchange_with = exchange_with
        self._fetcher = fetcher
        self._called = called
        self._require_able = require_able
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: set[int] = set()

    async def stop(self) -> None:
        """End what runs by itself."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def take(self, user: str, job_id: str, *, force: bool) -> dict[str, Any]:
        """Let a job that another device runs go on here.

        Args:
            force: on a person's word, from what is known here, whatever the other device does.

        Raises:
            NotFound: there is no such job.
            RegendError: it could not run here; it stays where it is.
            Conflict: it runs here, is finished, went to a third device, or its device is away and
                `force` was not said: one that was just cut off is found to be so only as it does
                not answer.
        """
        row = await self._store.query(lambda c: repository.find(c, user, job_id))
        if row["remote"] == HERE:
            raise Conflict("job_here", "The job runs on this device already.")
        handover.require_live(row)
        await self._require_able(row["type"], row["model"])
        if force:
            return await self._force(user, row["id"])
        holder = await self._store.query(lambda c: _holder(c, row["id"]))
        exchange = self._exchange_with(holder.device)
        if exchange is None or exchange.incarnation != holder.incarnation:
            raise self._away(holder, "is not reached")
        try:
            await self._ask(exchange, row["id"])
        except Retryable as error:
            if error.code not in _UNANSWERED:
                raise
            raise self._away(holder, "does not answer any more") from error
        return await self._arrived(user, row["id"], holder, exchange)

    async def _ask(self, exchange: Exchange, job_id: str) -> None:
        """Ask for a job; a device that starts anew has forgotten who asked it before."""
        await exchange.call("give", job=job_id, incarnation=self.own.incarnation)

    def _away(self, holder: LogId, how: str) -> Conflict:
        return Conflict(
            "device_away",
            f"{self._called(holder.device)}, which runs the job, {how}.",
            hint="To go on from what is known here: add --force. If that device still runs "
            "it, steps may run twice; nothing is lost, and you are told which.",
        )

    def _elsewhere(self, holder: LogId) -> Conflict:
        return Conflict(
            "job_elsewhere",
            f"{self._called(holder.device)} took the job over in the meantime.",
            hint="To have it here all the same, ask once more: that device is asked then.",
        )

    async def serve(self, exchange: Exchange, name: str, arguments: dict[str, Any]) -> Any:
        """Do what another device calls for.

        Raises:
            BadInput: there is no such call, or it cannot be read.
            RegendError: it is refused.
        """
        if name != "give":
            raise BadInput("call_unknown", f"This device does not know the call “{name[:50]}”.")
        incarnation = arguments.get("incarnation")
        if not isinstance(incarnation, bytes) or len(incarnation) != INCARNATION_BYTES:
            raise BadInput("call_malformed", "A call cannot be read.")
        to = LogId(exchange.device, incarnation)
        return await self._give(str(arguments.get("job")), to)

    def let_go_soon(self) -> None:
        """Let jobs that arrived run, each as soon as it need not wait for anything any more."""
        self._spawn(self._let_go())

    async def _give(self, job_id: str, to: LogId) -> bool:
        """Give a job that is held here to another device.

        Returns:
            Whether it is given; False where its worker was asked to stop first: the job is given
            as soon as it has.
        """

        def write(connection: sqlite3.Connection) -> tuple[int, bool]:
            row = repository.find(connection, None, job_id)
            at_ms = self._clock.wall_ms()
            return row["number"], handover.ask_to_leave(connection, row, to, at_ms)

        number, given = await self._store.write(write)
        if not given:
            self._supervisor.release(number)
        return given

    async def _force(self, user: str, job_id: str) -> dict[str, Any]:
        """Run a job here from what is known of it, whatever its device does."""

        def write(connection: sqlite3.Connection) -> tuple[sqlite3.Row, list[str]]:
            row = repository.find(connection, user, job_id)
            at_ms = self._clock.wall_ms()
            handover.take(connection, row, at_ms)
            carried = wishes.carry_out(connection, row["id"], at_ms)
            row = repository.by_number(connection, row["number"])
            return row, carried.slots if carried else []

        row, unneeded = await self._store.write(write)
        self.let_go_soon()
        await asyncio.to_thread(self._store.blobs.discard, unneeded)
        return await asyncio.to_thread(_shown, row, self._store.blobs)

    async def _arrived(
        self, user: str, job_id: str, holder: LogId, exchange: Exchange
    ) -> dict[str, Any]:
        """Wait until a job that was asked for over this exchange is here."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                while True:
                    rung = self._store.bell.count
                    row = await self._store.query(lambda c: repository.find(c, user, job_id))
                    if row["remote"] == HERE:
                        return await asyncio.to_thread(_shown, row, self._store.blobs)
                    handover.require_live(row)  # else it ended there before it could be given
                    now = await self._store.query(lambda c: _holder(c, row["id"]))  # noqa: B023
                    if now not in (holder, self.own):
                        raise self._elsewhere(now)
                    live = self._exchange_with(holder.device)
                    if live is None:
                        raise self._away(holder, "is not reached any more")
                    if live is not exchange:
                        exchange = live
                        with suppress(RegendError):  # what came of the first time, the row tells
                            await self._ask(exchange, job_id)
                    await self._store.bell.wait(1.0, rung)
        except TimeoutError as error:
            raise Busy(
                "takeover_slow",
                "The job has not come yet; it goes on here once it has.",
                hint="Watch it: regend jobs logs -f ID",
                retry_after_s=5.0,
            ) from error

    async def _let_go(self) -> None:
        for job in await self._store.query(handover.held_back):
            if not await self._may_run(job, anyway=False) and job not in self._waiting:
                self._waiting.add(job)
                self._spawn(self._wait_for(job))

    async def _wait_for(self, job: int) -> None:
        """Let a job run once it lacks nothing but saved state that is waited for no longer."""
        until_s = asyncio.get_running_loop().time() + BASE_WAIT_S
        try:
            while not await self._may_run(job, anyway=False):
                await self._until_needless(job, until_s)
                rung = self._payloads_rung()
                if await self._may_run(job, anyway=True):
                    return
                await self._payload_news(rung)  # what else it lacks is waited for at any length
        finally:
            self._waiting.discard(job)

    async def _until_needless(self, job: int, until_s: float) -> None:
        """Wait while a model's saved state may be worth waiting for, until a loop time at most."""
        is_taken = await self._store.query(lambda c: _is_taken(c, job))
        with suppress(TimeoutError):
            async with asyncio.timeout_at(until_s):
                while True:
                    rung = self._payloads_rung()
                    coming = await self._store.query(lambda c: arrivals.coming_slots(c, job))
                    if not coming or (is_taken and not self._may_come(coming)):
                        return
                    await self._payload_news(rung)

    def _may_come(self, digests: Iterable[str]) -> bool:
        fetcher = self._fetcher()
        return fetcher is not None and any(map(fetcher.may_come, digests))

    def _payloads_rung(self) -> int:
        fetcher = self._fetcher()
        return 0 if fetcher is None else fetcher.news.count

    async def _payload_news(self, since: int) -> None:
        """Wait until more is known of payloads than there was, or a while."""
        fetcher = self._fetcher()
        if fetcher is None:
            await asyncio.sleep(CALL_TIMEOUT_S)
        else:
            await fetcher.news.wait(CALL_TIMEOUT_S, since)

    async def _may_run(self, job: int, *, anyway: bool) -> bool:
        """Let a job run if it may; True where there is nothing more to wait for."""

        def write(connection: sqlite3.Connection) -> bool:
            is_held = job in handover.held_back(connection)
            return not is_held or handover.let_go(connection, job, anyway=anyway)

        return await self._store.write(write)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _shown(row: sqlite3.Row, blobs: Blobs) -> dict[str, Any]:
    """Return a job that came, also where a part of it is lost here: that is for the job to say."""
    try:
        return job_object(row, blobs)
    except Lost:
        return job_object(row, blobs, whole=False)


def _holder(connection: sqlite3.Connection, job_id: str) -> LogId:
    """Return the log of the device that holds a job."""
    row = connection.execute(
        "SELECT t.device, t.incarnation FROM jobs j JOIN terms t ON t.job_id = j.id "
        "AND t.id = j.term WHERE j.id = ?",
        (job_id,),
    ).fetchone()
    return LogId(*row)


def _is_taken(connection: sqlite3.Connection, job: int) -> bool:
    """Tell whether a job came here by a person's word alone."""
    row = connection.execute(
        "SELECT t.how FROM jobs j JOIN terms t ON t.job_id = j.id AND t.id = j.term "
        "WHERE j.number = ?",
        (job,),
    ).fetchone()
    return row is not None and bool(row[0] == "forced")
