"""The stream against everything at once, at random: commits, clients, stalls, compaction.

The oracle: every client got exactly the events of its filter after its position, in order, none
twice and none missing, except what a gap told it of. Clients here take notes only: position,
filter and what came are checked when they leave.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    precondition,
    rule,
)

from regend.api import hub as hub_module
from regend.api import tail as tail_module
from regend.api.hub import Connection, Hub
from regend.api.metrics import Metrics
from regend.api.tail import Filter
from regend.clock import SystemClock
from regend.home import Home
from regend.jobs import history, jobless
from regend.store import Store
from tests.api.log import Log, LoggedJob

USERS = ("owner", "guest")


class Wire(asyncio.Transport):
    """Stands for a client's socket: what is written waits until the client reads."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = bytearray()
        self.closing = False
        self.stalled = False
        self.read = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.waiting += data
        if not self.stalled:
            self.drain()

    def drain(self) -> None:
        """Let the client read everything."""
        self.read += self.waiting
        self.waiting.clear()

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        self.closing = True

    def events(self) -> list[dict[str, Any]]:
        """Return the events of whole frames read so far."""
        found: list[dict[str, Any]] = []
        place = 0
        while place < len(self.read):
            assert self.read[place] == 0x81
            length, start = self.read[place + 1], place + 2
            if length == 126:
                length, start = int.from_bytes(self.read[start : start + 2], "big"), start + 2
            elif length == 127:
                length, start = int.from_bytes(self.read[start : start + 8], "big"), start + 8
            found += json.loads(self.read[start : start + length])["events"]
            place = start + length
        return found


class Watcher:
    """A client, and what it must have got."""

    def __init__(self, hub: Hub, wanted: Filter, cursor: int) -> None:
        self.hub = hub
        self.wire = Wire()
        self.start = cursor
        # The filter holds for events after the position beside it.
        self.filters = [(cursor, wanted)]
        self.closed: tuple[int, str] | None = None
        self.connection = Connection(self.wire, wanted, cursor, self._close)
        hub.add(self.connection)

    def _close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)
        self.hub.remove(self.connection)
        self.wire.closing = True

    def refilter(self, wanted: Filter) -> None:
        self.filters.append((self.hub.refilter(self.connection, wanted), wanted))

    def wants(self, user: str | None, event: dict[str, Any]) -> bool:
        wanted = next(f for after, f in reversed(self.filters) if event["seq"] > after)
        if user is None:
            return wanted.devices and wanted.jobs is None
        if wanted.user != user:
            return False
        return wanted.jobs is None or event["job_id"] in wanted.jobs


class StreamMachine(RuleBasedStateMachine):
    """Commits, watches, stalls, compacts, and compares."""

    jobs = Bundle("jobs")
    watchers = Bundle("watchers")

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.patch = pytest.MonkeyPatch()
        # Small bounds, so that a short run meets them.
        self.patch.setattr(hub_module, "_LAGGING_BYTES", 2000)
        self.patch.setattr(hub_module, "CATCH_UP_PAGE_LENGTH", 5)
        self.patch.setattr(hub_module, "EVENTS_PER_FRAME", 4)
        self.patch.setattr(hub_module, "CLIENT_STALL_S", 0.05)
        self.patch.setattr(hub_module, "_POLL_S", 0.001)
        self.patch.setattr(tail_module, "TAIL_EVENTS", 12)
        self.patch.setattr(jobless, "PRESENCE_EVENTS", 6)
        self.written: dict[int, tuple[str | None, dict[str, Any]]] = {}
        self.open: list[Watcher] = []
        self.run(self.begin())

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(coroutine)

    async def begin(self) -> None:
        self.store = Store(Home.at(Path(self.folder.name)))
        self.log = Log(self.store)
        self.hub = Hub(self.store, SystemClock(), Metrics())

    async def note(self) -> None:
        """Remember what was written before compaction can take it away."""
        last = max(self.written, default=0)
        for one in await self.store.query(lambda c: history.after(c, last, 1_000_000)):
            self.written[one.event.seq] = (one.user, one.event.to_dict())

    @initialize(target=jobs)
    def first_job(self) -> LoggedJob:
        return self.new_job("owner")

    @rule(target=jobs, user=st.sampled_from(USERS))
    def job(self, user: str) -> LoggedJob:
        return self.new_job(user)

    def new_job(self, user: str) -> LoggedJob:
        async def act() -> LoggedJob:
            made = await self.log.job(user)
            await self.note()
            return made

        made: LoggedJob = self.run(act())
        return made

    @rule(job=jobs, count=st.integers(1, 15), size=st.sampled_from([1, 30, 400]))
    def commit(self, job: LoggedJob, count: int, size: int) -> None:
        async def act() -> None:
            await self.log.append(job, count, size)
            await self.note()

        self.run(act())

    @rule(device=st.sampled_from(["a", "b"]), times=st.integers(1, 4))
    def a_device_comes_and_goes(self, device: str, times: int) -> None:
        async def act() -> None:
            for _ in range(times):
                await self.log.presence(device)
                await self.note()

        self.run(act())

    @rule(job=consumes(jobs), straight_on=st.booleans())
    def finish_and_compact(self, job: LoggedJob, straight_on: bool) -> None:
        async def act() -> None:
            await self.log.end(job)
            await self.note()
            if not straight_on:
                await asyncio.sleep(0)
            await self.log.compact()

        self.run(act())

    @rule(job=consumes(jobs), count=st.integers(1, 6))
    def write_finish_and_compact_in_one_commit(self, job: LoggedJob, count: int) -> None:
        """What a jump of the clock can do: the live end has not read what is gone."""

        async def act() -> None:
            await self.log.vanish(job, count)
            await self.note()

        self.run(act())

    @rule(
        target=watchers,
        user=st.sampled_from(USERS),
        back=st.integers(0, 60),
        some=st.none() | st.lists(jobs, max_size=2),
        devices=st.booleans(),
    )
    def watch(self, user: str, back: int, some: list[LoggedJob] | None, devices: bool) -> Watcher:
        async def act() -> Watcher:
            newest, floor = await self.store.query(
                lambda c: (history.newest_seq(c), history.floor(c))
            )
            names = None if some is None else frozenset(job.id for job in some)
            watcher = Watcher(self.hub, Filter(user, names, devices), max(newest - back, floor))
            self.open.append(watcher)
            return watcher

        watcher: Watcher = self.run(act())
        return watcher

    @rule(watcher=watchers, some=st.none() | st.lists(jobs, max_size=2))
    def subscribe(self, watcher: Watcher, some: list[LoggedJob] | None) -> None:
        if watcher.closed is None:
            names = None if some is None else frozenset(job.id for job in some)
            wanted = replace(watcher.connection.filter, jobs=names)

            async def act() -> None:
                watcher.refilter(wanted)

            self.run(act())

    @rule(watcher=watchers, stalled=st.booleans())
    def stall(self, watcher: Watcher, stalled: bool) -> None:
        watcher.wire.stalled = stalled
        if not stalled:
            watcher.wire.drain()

    @rule(turns=st.integers(1, 5))
    def let_time_pass(self, turns: int) -> None:
        async def act() -> None:
            for _ in range(turns):
                await asyncio.sleep(0.002)

        self.run(act())

    @precondition(lambda self: self.open)
    @rule(watcher=consumes(watchers))
    def leave(self, watcher: Watcher) -> None:
        self.open.remove(watcher)
        self.run(self.settle(watcher))

    async def settle(self, watcher: Watcher) -> None:
        """Let a client read to its end, and compare."""
        watcher.wire.stalled = False
        watcher.wire.drain()
        connection = watcher.connection
        async with asyncio.timeout(10):
            while watcher.closed is None:
                newest = await self.store.query(history.newest_seq)
                live = connection in self.hub._live.get(connection.filter, ())
                if live and self.hub.seq == newest:
                    break
                await asyncio.sleep(0.001)
        end = self.hub.seq
        if watcher.closed is not None:
            code, reason = watcher.closed
            assert code == 4008, watcher.closed
            end = json.loads(reason)["after_seq"]
        self.hub.remove(connection)
        got = [event["seq"] for event in watcher.wire.events()]
        due = [
            seq
            for seq, (user, event) in sorted(self.written.items())
            if watcher.start < seq <= end and watcher.wants(user, event)
        ]
        assert got == due

    def teardown(self) -> None:
        async def act() -> None:
            for watcher in self.open:
                await self.settle(watcher)
            assert len(self.hub) == 0

        try:
            self.run(act())
        finally:
            self.store.close()
            self.runner.close()
            self.patch.undo()
            self.folder.cleanup()


TestStream = StreamMachine.TestCase
TestStream.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # each run is a whole store: no shrinking
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
