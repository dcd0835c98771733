"""Every order of work, meetings, takeovers, partitions and restarts on several devices.

What they must agree on when all have met is numbered in `agreement`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from regend import events
from regend.errors import RegendError
from regend.jobs import commands, handover, journal, repository, settlement, wishes
from regend.jobs.folding import AWAY, HERE
from regend.jobs.history import Draft
from regend.jobs.journal import Checkpoint, Effect, Step
from regend.store import changelog
from tests.jobs.test_lifecycle_machine import MAX_DEATHS, OUTCOMES, new_job
from tests.sync.agreement import assert_agreement
from tests.sync.pocket import Device

LONG = bool(os.environ.get("REGEND_LONG"))
YEAR_MS = 365 * 24 * 3600 * 1000

pytestmark = pytest.mark.timeout(3600 if LONG else 120)


class Packing(RuleBasedStateMachine):
    """Devices that pack their logs, now and then or whenever they can."""

    devices: list[Any]
    now_ms: int
    full: int  # changes to a frame, of who packs whenever it can; 0: they do not

    def device(self, number: int) -> Any:
        return self.at_its_time(self.devices[number % len(self.devices)])

    def at_its_time(self, device: Device) -> Device:
        self.now_ms += 7
        device.at_ms = self.now_ms + device.shift_ms
        if self.full:  # all that can be, as if one that is met no more had had it
            device.pack([device.vector()], self.full)
        return device

    @rule(number=st.integers(0, 4), full=st.sampled_from([1, 2, 5]))
    def pack(self, number: int, full: int) -> None:
        """Pack what others have, into frames of few changes."""
        device = self.device(number)
        device.pack([one.vector() for one in self.devices if one.number != device.number], full)


class JobsOfDevices(Packing):
    @initialize(count=st.integers(3, 5), full=st.sampled_from([0, 1, 2, 5]))
    def open(self, count: int, full: int) -> None:
        self.full = full
        self.devices = self.make(count)
        self.now_ms = 1_790_000_000_000
        self.made = 0
        self.partition: set[int] = set()
        for device in self.devices:
            device.at_ms = self.now_ms
            with device.transaction() as c:
                changelog.begin(c, device.log)

    def make(self, count: int) -> list[Any]:
        return [Device(number) for number in range(count)]

    def teardown(self) -> None:
        if hasattr(self, "devices"):
            self.all_meet()
            for device in self.devices:
                device.connection.close()

    def pick(self, device: Device, which: int, **state: Any) -> sqlite3.Row | None:
        rows = [r for r in device.jobs().values() if all(r[k] == v for k, v in state.items())]
        return rows[which % len(rows)] if rows else None

    # What happens on one device

    @rule(number=st.integers(0, 4))
    def submit(self, number: int) -> None:
        device = self.device(number)
        self.made += 1
        with device.transaction() as c:
            own = replace(new_job(f"job-{self.made}"), device=device.log.device.hex())
            repository.create(c, own, device.at_ms)

    @rule(number=st.integers(0, 4))
    def claim(self, number: int) -> None:
        device = self.device(number)
        with device.transaction() as c:
            claim = repository.claim(c, f"boot-{device.boot}", device.at_ms)
        if claim is not None:
            device.holds[claim.job] = claim.fence

    def write(self, number: int, which: int, *writes: Any) -> None:
        """Let an attempt write: refused exactly where it holds its job no more."""
        device = self.device(number)
        if not device.holds:
            return
        job, fence = sorted(device.holds.items())[which % len(device.holds)]
        row = device.connection.cursor()
        row.row_factory = sqlite3.Row
        row = row.execute("SELECT * FROM jobs WHERE number = ?", (job,)).fetchone()
        holds = bool(row) and row["state"] == "running" and row["fence"] == fence
        assert not holds or row["remote"] == HERE
        try:
            with device.transaction() as c:
                for one in writes:
                    one(c, job, fence, device.at_ms)
            assert holds
        except repository.Fenced:
            assert not holds
            del device.holds[job]

    @rule(number=st.integers(0, 4), which=st.integers(0, 9))
    def record_step(self, number: int, which: int) -> None:
        def record(c: sqlite3.Connection, job: int, fence: int, at_ms: int) -> None:
            ordinal = journal.finished_steps(c, job) + 1
            step = Step(ordinal, f"step-{ordinal}", "0" * 64, f'"{number}"', 0, 1)
            journal.record_step(c, job, fence, step, at_ms)

        self.write(number, which, record)

    @rule(number=st.integers(0, 4), which=st.integers(0, 9), position=st.integers(1, 50))
    def save_a_place(self, number: int, which: int, position: int) -> None:
        def save(c: sqlite3.Connection, job: int, fence: int, at_ms: int) -> None:
            ordinal = journal.finished_steps(c, job) + 1
            journal.record_checkpoint(
                c, job, fence, Checkpoint(ordinal, position, "{}", None), at_ms
            )

        self.write(number, which, save)

    @rule(number=st.integers(0, 4), which=st.integers(0, 9), percent=st.integers(0, 100))
    def show(self, number: int, which: int, percent: int) -> None:
        chunk = Draft(events.MODEL_CHUNK, '{"text":"x","offset":0,"tokens":1}')
        progress = Draft(events.JOB_PROGRESS, f'{{"progress":{percent},"step":"s{percent}"}}')

        def tell(c: sqlite3.Connection, job: int, fence: int, at_ms: int) -> None:
            repository.show(c, job, fence, [chunk, chunk, progress], at_ms)
            repository.set_progress(c, job, fence, percent, f"s{percent}")

        self.write(number, which, tell)

    @rule(
        number=st.integers(0, 4),
        which=st.integers(0, 9),
        fate=st.sampled_from(["done", "unknown", ""]),
    )
    def act(self, number: int, which: int, fate: str) -> None:
        def affect(c: sqlite3.Connection, job: int, fence: int, at_ms: int) -> None:
            known, _ = journal.intend(
                c, job, fence, Effect(1, "pay", "key", "0" * 64, "intended", None), at_ms
            )
            if fate and known.state in ("intended", "unknown"):
                receipt = f'"{number}"' if fate == "done" else None
                journal.settle_effect(c, job, fence, 1, fate, receipt, at_ms)

        self.write(number, which, affect)

    @rule(number=st.integers(0, 4), which=st.integers(0, 9), outcome=OUTCOMES)
    def end(self, number: int, which: int, outcome: Any) -> None:
        def settle(c: sqlite3.Connection, job: int, fence: int, at_ms: int) -> None:
            settlement.settle_attempt(c, job, fence, outcome, MAX_DEATHS, '"end"', at_ms)

        self.write(number, which, settle)

    @rule(number=st.integers(0, 4))
    def wait_out_the_backoff(self, number: int) -> None:
        device = self.device(number)
        with device.transaction() as c:
            repository.release_all_held(c)

    @rule(number=st.integers(0, 4))
    def restart(self, number: int) -> None:
        self.device(number).restart(MAX_DEATHS)

    @rule(number=st.integers(0, 4), shift_ms=st.sampled_from([0, YEAR_MS, -YEAR_MS]))
    def set_the_clock(self, number: int, shift_ms: int) -> None:
        self.device(number).shift_ms = shift_ms

    # What a person asks

    @rule(
        number=st.integers(0, 4),
        which=st.integers(0, 9),
        name=st.sampled_from(["cancel", "pause", "resume", "retry", "resume", "retry"]),
        choice=st.sampled_from(["again", "done", "restart"]),
    )
    def ask(self, number: int, which: int, name: str, choice: str) -> None:
        device = self.device(number)
        row = self.pick(device, which)
        if row is None:
            return
        with contextlib.suppress(RegendError), device.transaction() as c:
            row = repository.by_number(c, row["number"])
            if row["remote"] != HERE:
                wishes.wish(c, row, name, choice, device.at_ms)
            elif name == "resume":
                commands.resume(c, row, choice, device.at_ms)
            else:
                getattr(commands, name)(c, row, device.at_ms)

    @rule(number=st.integers(0, 4), which=st.integers(0, 9))
    def take_over(self, number: int, which: int) -> None:
        """Ask the device that holds a job for it, as far as is known here."""
        device = self.device(number)
        row = self.pick(device, which, remote=AWAY)
        if row is None:
            return
        holder = next(one for one in self.devices if one.log.device.hex() == row["device"])
        holder.at_ms = self.now_ms + holder.shift_ms
        with contextlib.suppress(RegendError), holder.transaction() as c:
            theirs = repository.find(c, None, row["id"])
            handover.ask_to_leave(c, theirs, device.log, holder.at_ms)

    @rule(number=st.integers(0, 4), which=st.integers(0, 9))
    def take_by_force(self, number: int, which: int) -> None:
        device = self.device(number)
        row = self.pick(device, which)
        if row is None:
            return
        with contextlib.suppress(RegendError), device.transaction() as c:
            handover.take(c, repository.by_number(c, row["number"]), device.at_ms)
            wishes.carry_out(c, row["id"], device.at_ms)

    # Meetings

    def may_meet(self, one: Device, other: Device) -> bool:
        return one is not other and (one.number in self.partition) == (
            other.number in self.partition
        )

    @rule(cut=st.sets(st.integers(0, 4), max_size=3))
    def part(self, cut: set[int]) -> None:
        self.partition = cut

    @rule(number=st.integers(0, 4), to=st.integers(0, 4))
    def meet(self, number: int, to: int) -> None:
        one, other = self.device(number), self.device(to)
        if self.may_meet(one, other) and self.link(one, other):
            for giver, taker in ((one, other), (other, one), (one, other)):
                for blobs in giver.frames_for(taker).values():
                    giver.give(taker, blobs)

    @rule(
        number=st.integers(0, 4),
        to=st.integers(0, 4),
        chance=st.randoms(use_true_random=False),
    )
    def meet_in_part(self, number: int, to: int, chance: Any) -> None:
        """One way, with a beginning of each log, in any order of the logs."""
        one, other = self.device(number), self.device(to)
        if not self.may_meet(one, other) or not self.link(one, other):
            return
        queues = list(one.frames_for(other).values())
        queues = [blobs[: chance.randrange(len(blobs) + 1)] for blobs in queues]
        while queues := [blobs for blobs in queues if blobs]:
            one.give(other, [chance.choice(queues).pop(0)])

    @precondition(lambda self: hasattr(self, "devices"))
    @rule()
    def all_meet(self) -> None:
        self.meet_all()
        self.agree()

    def link(self, one: Any, other: Any) -> bool:
        """Let two devices find each other; return whether they exchange changes."""
        return one is not other

    def are_level(self) -> bool:
        return all(one.vector() == self.devices[0].vector() for one in self.devices)

    def agree(self) -> None:
        assert_agreement(self.devices)

    def meet_all(self) -> None:
        """Let all meet until nobody has anything to tell."""
        for _ in range(12):
            if self.are_level():
                return
            for one in self.devices:
                for other in self.devices:
                    self.at_its_time(other)
                    if self.link(one, other):
                        for blobs in one.frames_for(other).values():
                            one.give(other, blobs)
        raise AssertionError("they never come to the same changes")

    # What must hold

    @invariant()
    def who_reads_by_a_cursor_misses_nothing(self) -> None:
        for device in getattr(self, "devices", []):
            rows = device.connection.execute(
                "SELECT e.seq, j.id, e.job_seq, e.type, e.at, e.data FROM events e "
                "JOIN jobs j ON j.number = e.job"
            )
            assert all(device.read[row[0]] == tuple(row[1:]) for row in rows)


TestJobsOfDevices = pytest.mark.timeout(1800 if LONG else 120)(JobsOfDevices.TestCase)
TestJobsOfDevices.settings = settings(
    max_examples=1000 if LONG else 150,
    stateful_step_count=60 if LONG else 40,
    phases=set(Phase) - {Phase.explain},  # it follows every line, and takes minutes
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
