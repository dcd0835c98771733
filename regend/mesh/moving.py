"""Jobs that move between devices: asked for, given, taken; what each side of it does.

Rules
1. A device is asked first. Without its word a job is taken only where a person said so.
2. A job that came runs once everything that it needs is here. Only a model's saved state is waited
   for no longer than `BASE_WAIT_S`, and not at all where the job was taken and no device is reached
   that could send it: the job goes on from the place before it, or the text is evaluated anew, and
   that is said.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from regend.clock import Clock
from regend.errors import BadInput, Busy, Conflict, RegendError
from regend.jobs import handover, repository, wishes
from regend.jobs.folding import HERE
from regend.jobs.supervisor import Supervisor
from regend.jobs.view import job_object
from regend.limits import BASE_WAIT_S, CALL_TIMEOUT_S
from regend.mesh.peers import peers
from regend.store import Store
from regend.store.change import INCARNATION_BYTES, LogId
from regend.sync.exchange import Exchange


class Moves:
    """Takes jobs over, and gives them away.

    Args:
        own: the log of this device.
        exchange: returns the exchange with a device, None where it is not reached.
        called: returns what a device is called.

    Attributes:
        own: the log of this device now.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        supervisor: Supervisor,
        own: LogId,
        exchange: Callable[[bytes], Exchange | None],
        called: Callable[[bytes], str],
    ) -> None:
        self._store = store
        self._clock = clock
        self._supervisor = supervisor
        self.own = own
        self._exchange = exchange
        self._called = called
        self._tasks: set[asyncio.Task[None]] = set()

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
            Conflict: it runs here, is finished, or its device is away and `force` was not said.
        """
        row = await self._store.query(lambda c: repository.find(c, user, job_id))
        if row["remote"] == HERE:
            raise Conflict("job_here", "The job runs on this device already.")
        if force:
            return await self._force(user, row["id"])
        holder = await self._store.query(lambda c: _holder(c, row["id"]))
        exchange = self._exchange(holder.device)
        if exchange is None or exchange.incarnation != holder.incarnation:
            raise self._away(holder.device)
        await self._ask(exchange, row["id"])
        return await self._arrived(user, row["id"], exchange)

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

    def let_go_now(self) -> None:
        """Let jobs that arrived run, where everything that they need is here."""
        self._spawn(self._let_go(anyway=False))

    def let_go_soon(self) -> None:
        """Let jobs that arrived run, after a while without their models' saved state."""
        self._spawn(self._let_go_in_time())

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

        def write(connection: sqlite3.Connection) -> sqlite3.Row:
            row = repository.find(connection, user, job_id)
            at_ms = self._clock.wall_ms()
            handover.take(connection, row, at_ms)
            wishes.cancel_where_wished(connection, row["number"], at_ms)
            return repository.by_number(connection, row["number"])

        row = await self._store.write(write)
        if await self._is_any_reached():
            self.let_go_soon()
        else:
            self._spawn(self._let_go(anyway=True))
        return await asyncio.to_thread(job_object, row, self._store.blobs)

    async def _is_any_reached(self) -> bool:
        """Tell whether there is a device from which payloads may come now."""
        met = await self._store.query(peers)
        return any(self._exchange(device) is not None for device in met)

    async def _ask(self, exchange: Exchange, job_id: str) -> None:
        """Ask for a job; a device that starts anew has forgotten who asked it before."""
        await exchange.call("give", job=job_id, incarnation=self.own.incarnation)

    def _away(self, device: bytes) -> Conflict:
        return Conflict(
            "device_away",
            f"{self._called(device)}, which runs the job, is not reached.",
            hint="To go on from what is known here: add --force. If that device still runs "
            "it, steps may run twice; nothing is lost, and you are told which.",
        )

    async def _arrived(self, user: str, job_id: str, exchange: Exchange) -> dict[str, Any]:
        """Wait until a job that was asked for over this exchange is here."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                while True:
                    rung = self._store.bell.count
                    row = await self._store.query(lambda c: repository.find(c, user, job_id))
                    if row["remote"] == HERE:
                        return await asyncio.to_thread(job_object, row, self._store.blobs)
                    handover.require_live(row)  # else it ended there before it could be given
                    live = self._exchange(exchange.device)
                    if live is None:
                        raise self._away(exchange.device)
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

    async def _let_go_in_time(self) -> None:
        await self._let_go(anyway=False)
        await asyncio.sleep(BASE_WAIT_S)
        await self._let_go(anyway=True)

    async def _let_go(self, *, anyway: bool) -> None:
        for job in await self._store.query(handover.held_back):
            await self._store.write(
                lambda c, job=job: handover.let_go(c, job, anyway=anyway)  # type: ignore[misc]
            )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _holder(connection: sqlite3.Connection, job_id: str) -> LogId:
    """Return the log of the device that holds a job."""
    row = connection.execute(
        "SELECT t.device, t.incarnation FROM jobs j JOIN terms t ON t.job_id = j.id "
        "AND t.id = j.term WHERE j.id = ?",
        (job_id,),
    ).fetchone()
    return LogId(*row)
