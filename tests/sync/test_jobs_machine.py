"""Every order of work, meetings, takeovers, partitions and restarts on several devices.

What they must agree on when all have met is numbered in `assert_agreement`.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgpack
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from regend import events
from regend.errors import RegendError
from regend.jobs import commands, handover, journal, mirror, repository, settlement, wishes
from regend.jobs.folding import AWAY, HERE
from regend.jobs.history import Draft, newest_seq
from regend.jobs.journal import Checkpoint, Effect, Step
from regend.jobs.lifecycle import TERMINAL
from regend.jobs.projection import Shape, after
from regend.jobs.terms import Term, belongs, branch, chain
from regend.mesh.jobs import JOB_FOLDERS, state_hash, take_in
from regend.store import cells, changelog
from regend.store.change import LogId, unpack
from regend.store.connection import open_writer
from regend.store.migrations import migrate
from regend.sync import replica
from regend.sync.frame import Frame, Header
from regend.sync.replica import Opened
from tests.jobs.test_lifecycle_machine import MAX_DEATHS, OUTCOMES, new_job

LONG = bool(os.environ.get("REGEND_LONG"))
YEAR_MS = 365 * 24 * 3600 * 1000
SHOWN = (
    *("id", "title", "state", "desired", "progress", "step", "attempt", "result", "error"),
    *("waiting", "created_at", "updated_at", "finished_at", "device", "owner_device", "job_seq"),
)


def sealed(written: replica.Written) -> bytes:
    """Return changes as they travel here: what protects a frame is tested elsewhere."""
    header = Header(
        *(bytes(16), written.log, written.first, len(written.bodies)),
        *(bytes(8), written.previous, written.head, bytes(24)),
    )
    packed: bytes = msgpack.packb((header, written.bodies))
    return packed


def opened(blob: bytes) -> Opened:
    header, bodies = msgpack.unpackb(blob)
    mesh, log, *rest = header
    return Opened(blob, Frame(Header(mesh, LogId(*log), *rest), b"", b"", b""), bodies)


def memory() -> sqlite3.Connection:
    connection = open_writer(Path(":memory:"))
    migrate(connection, Path(":memory:"))
    return connection


@dataclass
class Device:
    """A store, the attempts that it believes to run, and one reader of its events."""

    number: int
    connection: sqlite3.Connection = field(default_factory=memory)
    boot: int = 0
    shift_ms: int = 0
    holds: dict[int, int] = field(default_factory=dict)  # job, fence
    cursor: int = 0
    read: dict[int, tuple[Any, ...]] = field(default_factory=dict)

    @property
    def log(self) -> LogId:
        return LogId(bytes([self.number + 1]) * 16, bytes([self.number + 1]) * 8)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Run as the writer does: what raises is undone, and the log is written at the end."""
        self.connection.execute("BEGIN")
        try:
            yield self.connection
            while mirror.collect(self.connection, self.at_ms):
                pass
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")
        self.follow()

    at_ms: int = 0

    def follow(self) -> None:
        """Read on, as a client does that was connected all the time."""
        rows = self.connection.execute(
            "SELECT e.seq, j.id, e.job_seq, e.type, e.at, e.data FROM events e "
            "JOIN jobs j ON j.number = e.job WHERE e.seq > ? ORDER BY e.seq",
            (self.cursor,),
        ).fetchall()
        self.read |= {row[0]: row[1:] for row in rows}
        self.cursor = max(self.cursor, newest_seq(self.connection))

    def jobs(self) -> dict[str, sqlite3.Row]:
        cursor = self.connection.cursor()
        cursor.row_factory = sqlite3.Row
        rows = cursor.execute("SELECT * FROM jobs ORDER BY id").fetchall()
        return {row["id"]: row for row in rows}

    def events(self, job: int) -> list[tuple[Any, ...]]:
        return self.connection.execute(
            "SELECT job_seq, type, at, data FROM events WHERE job = ? ORDER BY job_seq", (job,)
        ).fetchall()

    def vector(self) -> dict[LogId, Any]:
        return replica.vector(self.connection)

    def frames_for(self, other: Device) -> dict[LogId, list[bytes]]:
        theirs, found = other.vector(), {}
        for log, place in self.vector().items():
            known = theirs[log].seq if log in theirs else 0
            if known < place.seq:
                found[log] = self.frames(log, known)
        return found

    def frames(self, log: LogId, known: int) -> list[bytes]:
        if log == self.log:
            return [sealed(w) for w in replica.own_after(self.connection, log, known, 1 << 30)]
        return [blob for _, blob in replica.frames_after(self.connection, log, known, 1 << 30)]

    def take(self, blobs: list[bytes]) -> None:
        with self.transaction() as c:
            take_in(c, map(opened, blobs), JOB_FOLDERS, lambda _log: None, self.at_ms)
        with self.transaction() as c:
            for job in handover.held_back(c):
                handover.let_go(c, job)


class JobsOfDevices(RuleBasedStateMachine):
    @initialize(count=st.integers(3, 5))
    def open(self, count: int) -> None:
        self.devices = [Device(number) for number in range(count)]
        self.now_ms = 1_790_000_000_000
        self.made = 0
        self.partition: set[int] = set()
        for device in self.devices:
            device.at_ms = self.now_ms
            with device.transaction() as c:
                changelog.begin(c, device.log)

    def teardown(self) -> None:
        if hasattr(self, "devices"):
            self.meet_all()
            self.assert_agreement()
            for device in self.devices:
                device.connection.close()

    def device(self, number: int) -> Device:
        device = self.devices[number % len(self.devices)]
        self.now_ms += 7
        device.at_ms = self.now_ms + device.shift_ms
        return device

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
        row = repository.by_number(device.connection, job)
        holds = row["state"] == "running" and row["fence"] == fence
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
        device = self.device(number)
        fresh = open_writer(Path(":memory:"))
        device.connection.backup(fresh)
        device.connection.close()
        device.connection = fresh
        device.boot += 1
        device.holds.clear()
        with device.transaction() as c:
            handover.stay(c)
            settlement.requeue_orphans(c, f"boot-{device.boot}", 99, MAX_DEATHS, device.at_ms)
            repository.release_all_held(c)

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
            wishes.cancel_where_wished(c, row["number"], device.at_ms)

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
        if self.may_meet(one, other):
            for giver, taker in ((one, other), (other, one), (one, other)):
                for blobs in giver.frames_for(taker).values():
                    taker.take(blobs)

    @rule(
        number=st.integers(0, 4),
        to=st.integers(0, 4),
        chance=st.randoms(use_true_random=False),
    )
    def meet_in_part(self, number: int, to: int, chance: Any) -> None:
        """One way, with a beginning of each log, in any order of the logs."""
        one, other = self.device(number), self.device(to)
        if not self.may_meet(one, other):
            return
        queues = list(one.frames_for(other).values())
        queues = [blobs[: chance.randrange(len(blobs) + 1)] for blobs in queues]
        while queues := [blobs for blobs in queues if blobs]:
            other.take([chance.choice(queues).pop(0)])

    @precondition(lambda self: hasattr(self, "devices"))
    @rule()
    def all_meet(self) -> None:
        self.meet_all()
        self.assert_agreement()

    def meet_all(self) -> None:
        """Let all meet until nobody has anything to tell."""
        for _ in range(8):
            if all(one.vector() == self.devices[0].vector() for one in self.devices):
                return
            for one in self.devices:
                for other in self.devices:
                    self.device(other.number)
                    for blobs in one.frames_for(other).values():
                        other.take(blobs)
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

    def assert_agreement(self) -> None:
        """What devices that have the same changes agree on.

        1. The state hash, every job's row and every job's history, which has no gap.
        2. The row is what the history makes of it.
        3. Every event that a device recorded is in the history or beside it, once.
        4. A device works on a job only in its own term, and not past what it gave away.
        5. One device holds a job, the one of the last term; a running job has an attempt there.
        6. A cancelled job goes on nowhere.
        """
        first = self.devices[0]
        told, terms = self.told(), self.terms(first)
        for device in self.devices:
            assert state_hash(device.connection) == state_hash(first.connection)
            assert not device.connection.execute("SELECT * FROM unfolded").fetchall()
            assert self.terms(device) == terms
            jobs = device.jobs()
            assert jobs.keys() == first.jobs().keys()
            for job_id, row in jobs.items():
                model = first.jobs()[job_id]
                shown = device.events(row["number"])
                assert {n: row[n] for n in SHOWN} == {n: model[n] for n in SHOWN}
                assert shown == first.events(model["number"])
                assert [event[0] for event in shown] == list(range(1, len(shown) + 1))
                self.assert_row_is_of_history(row, shown)
                self.assert_each_event_once(device, row, shown, told[job_id], terms[job_id])
        for job_id, known in terms.items():
            self.assert_terms_are_kept(job_id, known, told[job_id])
            self.assert_one_holds(job_id, known)

    def told(self) -> dict[str, dict[tuple[bytes, int], tuple[Any, ...]]]:
        """Return the events of each job that devices recorded, by branch and place (4)."""
        found: dict[str, dict[tuple[bytes, int], tuple[Any, ...]]] = defaultdict(dict)
        for device in self.devices:
            rows = device.connection.execute(
                "SELECT body FROM changes c JOIN logs l ON l.number = c.log WHERE l.current = 1"
            )
            for change in (unpack(row[0]) for row in rows):
                if change.kind != mirror.HISTORY:
                    continue
                job_id, term, said = change.fields
                by = branch(term, *device.log)
                held = {
                    one.id: LogId(one.device, one.incarnation) for one in self.terms(device)[job_id]
                }
                assert held[term] == device.log, "a device works only in a term of its own"
                for place, _previous, type_name, at, data, _extra in said:
                    assert (by, place) not in found[job_id]
                    found[job_id][by, place] = (place, type_name, at, data)
        return found

    @staticmethod
    def terms(device: Device) -> dict[str, list[Term]]:
        ids = device.connection.execute("SELECT DISTINCT job_id FROM terms").fetchall()
        return {row[0]: sorted(mirror.terms_of(device.connection, row[0])) for row in sorted(ids)}

    @staticmethod
    def assert_row_is_of_history(row: sqlite3.Row, shown: list[tuple[Any, ...]]) -> None:
        shape = Shape(device=row["owner_device"])
        for _, type_name, at, data in shown:
            shape = after(shape, type_name, at, data, row["result"])
        for name in ("state", "desired", "progress", "step", "attempt", "error", "waiting"):
            assert getattr(shape, name) == row[name], name
        assert (shape.updated_at, shape.finished_at) == (row["updated_at"], row["finished_at"])
        assert (shape.finished_at is not None) == (row["state"] in TERMINAL)

    @staticmethod
    def assert_each_event_once(
        device: Device,
        row: sqlite3.Row,
        shown: list[tuple[Any, ...]],
        told: dict[tuple[bytes, int], tuple[Any, ...]],
        terms: list[Term],
    ) -> None:
        strays = device.connection.execute(
            "SELECT branch, place, type, at, data FROM strays WHERE job_id = ?", (row["id"],)
        ).fetchall()
        beside = {(one[0], one[1]): tuple(one[1:]) for one in strays}
        part = {key for key in told if belongs(chain(terms), *key)}
        assert {told[key] for key in part} == {tuple(event) for event in shown}
        assert len(part) == len(shown)
        assert beside == {key: told[key] for key in told.keys() - part}

    @staticmethod
    def assert_terms_are_kept(
        job_id: str, terms: list[Term], told: dict[tuple[bytes, int], tuple[Any, ...]]
    ) -> None:
        by_id = {one.id: one for one in terms}
        grants: dict[bytes, int] = defaultdict(int)
        for one in terms:
            if one.how != "granted":
                continue
            grants[one.previous] += 1
            given = by_id[one.previous].branch
            assert max([p for by, p in told if by == given], default=0) <= one.base, job_id
        assert all(count == 1 for count in grants.values()), "a job is given once"

    def assert_one_holds(self, job_id: str, terms: list[Term]) -> None:
        last = chain(terms)[-1]
        for device in self.devices:
            row = device.jobs()[job_id]
            own = device.log == LogId(last.device, last.incarnation)
            assert row["remote"] == (HERE if own else AWAY)
            if own and row["state"] == "running":
                assert device.holds.get(row["number"]) == row["fence"]
            if own and cells.read(device.connection, job_id, "cancel"):
                assert row["state"] in TERMINAL or row["desired"] == "cancel"


TestJobsOfDevices = JobsOfDevices.TestCase
TestJobsOfDevices.settings = settings(
    max_examples=600 if LONG else 25,
    stateful_step_count=80 if LONG else 40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
