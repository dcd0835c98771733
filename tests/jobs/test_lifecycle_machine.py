"""Every order of commands, claims, steps, deaths and restarts, against a model of a job's life."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from regend import events
from regend.errors import BadInput, Conflict, RegendError
from regend.jobs import approvals, commands, history, journal, repository, settlement
from regend.jobs.approvals import Approval
from regend.jobs.history import Draft
from regend.jobs.journal import Checkpoint, Effect, Step
from regend.jobs.lifecycle import (
    COMMANDS,
    STATES,
    TERMINAL,
    TRANSITIONS,
    Outcome,
    State,
    is_terminal,
    is_valid_transition,
    valid_next_states,
)
from regend.jobs.repository import Fenced, NewJob
from regend.store.connection import open_writer
from regend.store.migrations import migrate

MAX_DEATHS = 3
OUTCOMES = st.sampled_from(
    [
        Outcome("completed", result="1"),
        Outcome("failed", error={"code": "x", "message": "x", "retryable": True}),
        Outcome("failed", error={"code": "x", "message": "x", "retryable": False}),
        Outcome("died", error={"code": "worker_died", "message": "x", "retryable": True}),
        Outcome("parked", waiting={"reason": "code_changed", "choices": ["restart"], "ordinal": 1}),
        Outcome("released"),
        Outcome("orphaned"),
    ]
)


def new_job(name: str, key: str | None = None, request: str = "a") -> NewJob:
    return NewJob(
        id=name,
        user="owner",
        type="chat",
        title="A job",
        input="{}",
        model="none",
        priority=0,
        max_attempts=3,
        seed=1,
        device="this",
        idempotency_key=key,
        request_hash=request if key else None,
    )


@dataclass
class Model:
    """A job as it should be."""

    state: State = "created"
    desired: str = "run"
    fence: int = 0
    steps: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Hold:
    """What a worker believes it holds, rightly or not."""

    job: int
    fence: int


class JobLife(RuleBasedStateMachine):
    jobs: Bundle[int] = Bundle("jobs")
    holds: Bundle[Hold] = Bundle("holds")

    @initialize()
    def open(self) -> None:
        path = Path(":memory:")
        self.connection = open_writer(path)
        migrate(self.connection, path)
        self.models: dict[int, Model] = {}
        self.keys: dict[str, tuple[int, str]] = {}
        self.boot = 0
        self.at_ms = 1_000_000

    def teardown(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Run as the writer does: what raises is undone."""
        before = {number: model.state for number, model in self.models.items()}
        self.connection.execute("SAVEPOINT operation")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK TO operation")
            self.connection.execute("RELEASE operation")
            raise
        self.connection.execute("RELEASE operation")
        for number, state in before.items():
            after = self.row(number)["state"]
            assert after == state or is_valid_transition(state, after), (state, after)

    def row(self, job: int) -> sqlite3.Row:
        return repository.by_number(self.connection, job)

    def holds_it(self, hold: Hold) -> bool:
        model = self.models[hold.job]
        return model.state == "running" and model.fence == hold.fence

    @rule(target=jobs, key=st.sampled_from([None, "a", "b"]), request=st.sampled_from(["1", "2"]))
    def submit(self, key: str | None, request: str) -> int:
        job = new_job(f"job-{len(self.models)}", key, request)
        if key in self.keys and self.keys[key][1] != request:
            with pytest.raises(Conflict), self.transaction():
                repository.create(self.connection, job, self.at_ms)
            return self.keys[key][0]
        with self.transaction():
            number, fresh = repository.create(self.connection, job, self.at_ms)
        assert fresh == (key not in self.keys)
        if fresh:
            self.models[number] = Model()
            if key is not None:
                self.keys[key] = (number, request)
        return number

    @rule(target=holds)
    def claim(self) -> Hold:
        with self.transaction():
            claim = repository.claim(self.connection, f"boot-{self.boot}", self.at_ms)
        ready = [n for n, m in self.models.items() if m.state == "created"]
        if claim is None:
            return Hold(next(iter(self.models), 0), -1) if self.models else Hold(0, -1)
        assert claim.job in ready
        model = self.models[claim.job]
        assert claim.fence > model.fence or model.fence == 0
        model.state, model.fence = "running", claim.fence
        return Hold(claim.job, claim.fence)

    @rule(hold=holds, name=st.sampled_from("ab"))
    def record_step(self, hold: Hold, name: str) -> None:
        if hold.job not in self.models:
            return
        model = self.models[hold.job]
        ordinal = len(model.steps) + 1
        step = Step(ordinal, name, "0" * 64, '"done"', 0, 1)
        self._write(
            hold,
            lambda: journal.record_step(self.connection, hold.job, hold.fence, step, self.at_ms),
        )
        if self.holds_it(hold):
            model.steps[ordinal] = name
            with pytest.raises(Conflict), self.transaction():
                journal.record_step(self.connection, hold.job, hold.fence, step, self.at_ms)

    @rule(hold=holds)
    def write_otherwise(self, hold: Hold) -> None:
        """Whatever else a worker writes is held to the same fence."""
        if hold.job not in self.models:
            return
        connection, job, fence = self.connection, hold.job, hold.fence
        chunk = Draft(events.MODEL_CHUNK, '{"text":"x","offset":0,"tokens":1}')
        place = Checkpoint(1, 1, "{}", None)
        effect = Effect(99, "pay", "key", "0" * 64, "intended", None)
        approval = Approval(f"approval-{job}", 98, "hash", None)
        for write in (
            lambda: repository.show(connection, job, fence, [chunk, chunk], self.at_ms),
            lambda: repository.set_progress(connection, job, fence, 5.0, "x"),
            lambda: journal.record_checkpoint(connection, job, fence, place, self.at_ms),
            lambda: journal.intend(connection, job, fence, effect, self.at_ms),
            lambda: journal.settle_effect(connection, job, fence, 99, "done", "1", self.at_ms),
            lambda: approvals.request(connection, job, fence, approval, "send", "{}", self.at_ms),
        ):
            self._write(hold, write)

    def _write(self, hold: Hold, write: Callable[[], object]) -> None:
        if self.holds_it(hold):
            with self.transaction():
                write()
            return
        before = self.connection.total_changes
        with pytest.raises(Fenced), self.transaction():
            write()
        assert self.connection.total_changes == before

    @rule(hold=holds, outcome=OUTCOMES)
    def settle(self, hold: Hold, outcome: Outcome) -> None:
        if hold.job not in self.models:
            return
        model = self.models[hold.job]
        self._write(
            hold,
            lambda: settlement.settle_attempt(
                self.connection, hold.job, hold.fence, outcome, MAX_DEATHS, "1", self.at_ms
            ),
        )
        if not self.holds_it(hold):
            return
        model.state = after = self.row(hold.job)["state"]
        if model.desired == "cancel":
            assert after == "cancelled"
        elif outcome.kind == "completed":
            assert after == "completed"
        elif model.desired == "pause" and after not in TERMINAL:
            assert after == "paused"
        elif outcome.kind == "parked":
            assert after == "waiting"
        model.desired = "run"

    @rule(job=jobs, name=st.sampled_from(["cancel", "pause", "resume", "retry"]))
    def command(self, job: int, name: str) -> None:
        model, row = self.models[job], self.row(job)
        before = model.state
        run: dict[str, Callable[[], object]] = {
            "cancel": lambda: commands.cancel(self.connection, row, self.at_ms),
            "pause": lambda: commands.pause(self.connection, row, self.at_ms),
            "resume": lambda: commands.resume(self.connection, row, "restart", self.at_ms),
            "retry": lambda: commands.retry(self.connection, row, self.at_ms),
        }
        try:
            with self.transaction():
                run[name]()
        except RegendError:
            assert before not in COMMANDS[name] or (name == "resume" and before == "waiting")
            return
        after = self.row(job)
        model.state = after["state"]
        if before == "running":
            assert model.state == "running"
            model.desired = after["desired"]
            assert name != "cancel" or model.desired == "cancel"
        if before == "waiting" and model.state == "created":
            model.steps.clear()  # the choice was to restart
        if before == "cancelled":
            assert model.state == "cancelled"

    @rule(job=jobs)
    def cancel_twice(self, job: int) -> None:
        """Asking twice for what is so already changes nothing."""
        if self.models[job].state in ("completed", "failed"):
            return
        self.command(job, "cancel")
        count = history.newest_seq(self.connection)
        self.command(job, "cancel")
        assert history.newest_seq(self.connection) == count

    @rule(back=st.booleans())
    def set_the_clock(self, back: bool) -> None:
        day_ms = 24 * 3600 * 1000
        self.at_ms += -day_ms if back else 365 * day_ms

    @rule()
    def restart_the_daemon(self) -> None:
        self.boot += 1
        with self.transaction():
            while settlement.requeue_orphans(
                self.connection, f"boot-{self.boot}", 2, MAX_DEATHS, self.at_ms
            ):
                pass
            repository.release_all_held(self.connection)
        for number, model in self.models.items():
            row = self.row(number)
            if model.state == "running":
                wanted = {"run": "created", "pause": "paused", "cancel": "cancelled"}
                assert row["state"] == wanted[model.desired]
                model.desired = "run"
            assert row["state"] != "running"
            model.state, model.fence = row["state"], row["fence"]

    @invariant()
    def the_store_is_as_the_model(self) -> None:
        if not hasattr(self, "models"):
            return
        for number, model in self.models.items():
            row = self.row(number)
            assert row["state"] == model.state
            finished = row["finished_at"] is not None
            assert finished == (model.state in TERMINAL)
            kept = {s.ordinal: s.name for s in journal.steps(self.connection, number)}
            assert kept == model.steps
            numbered = self.connection.execute(
                "SELECT job_seq, type, data FROM events WHERE job = ? ORDER BY seq", (number,)
            ).fetchall()
            assert [n for n, _, _ in numbered] == list(range(1, len(numbered) + 1))
            self._history_is_legal([(kind, json.loads(data)) for _, kind, data in numbered])

    @staticmethod
    def _history_is_legal(told: list[tuple[str, dict[str, object]]]) -> None:
        """A client that follows the events alone never sees an illegal step."""
        ends: dict[str, State] = {
            events.JOB_COMPLETED: "completed",
            events.JOB_FAILED: "failed",
            events.JOB_CANCELLED: "cancelled",
        }
        state: State = "created"
        for kind, data in told:
            after: State = state
            if kind in ends:
                after = ends[kind]
            elif kind == events.JOB_STATE:
                assert data["from"] == state
                after = data["to"]  # type: ignore[assignment]
            assert after == state or is_valid_transition(state, after)
            state = after


TestJobLife = JobLife.TestCase
TestJobLife.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_the_table_of_transitions_is_whole_and_final_states_are_final() -> None:
    assert set(TRANSITIONS) == set(STATES)
    for state in STATES:
        assert valid_next_states(state) <= set(STATES)
        assert is_terminal(state) == (state in TERMINAL)
    assert not TRANSITIONS["cancelled"]
    assert not TRANSITIONS["completed"]
    assert TRANSITIONS["failed"] == {"created"}
    assert "cancelled" not in TRANSITIONS["failed"]


def test_a_choice_that_was_not_offered_is_refused() -> None:
    path = Path(":memory:")
    connection = open_writer(path)
    migrate(connection, path)
    repository.create(connection, new_job("a"), 1)
    claim = repository.claim(connection, "boot", 1)
    assert claim is not None
    waiting = {"reason": "code_changed", "choices": ["restart"], "ordinal": 1}
    settlement.settle_attempt(
        connection, claim.job, claim.fence, Outcome("parked", waiting=waiting), 3, None, 1
    )
    for choice in (None, "", "again", "go_on"):
        with pytest.raises(BadInput):
            commands.resume(connection, repository.by_number(connection, claim.job), choice, 1)
    connection.close()
