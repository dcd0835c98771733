"""What was promised to clients, kept from outside the daemon, and whether it holds."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Any

from tests.crash.house import House

TERMINAL = ("completed", "failed", "cancelled")


class Oracle:
    """Remembers every acknowledgement and holds the store against it.

    Invariants
    1. Acknowledged means present, under the same id for the same key.
    2. A `seq` names one event for ever; events of a job are numbered without gaps.
    3. A step that is recorded never runs again.
    4. A running job has a living owner.
    5. Nothing of a dead daemon lives on.
    """

    def __init__(self, house: House, traces: Path) -> None:
        self._house = house
        self._traces = traces
        self._lock = threading.Lock()
        self.acknowledged: dict[str, str] = {}
        self._seen: dict[int, tuple[str, int, str]] = {}
        self._executions: dict[tuple[str, int], int] = {}

    def acknowledge(self, key: str, job: dict[str, Any]) -> None:
        """Note that the daemon took a job."""
        with self._lock:
            known = self.acknowledged.setdefault(key, job["id"])
        assert known == job["id"], f"key {key} became two jobs"

    def saw(self, events: list[dict[str, Any]]) -> None:
        """Note events that were shown."""
        with self._lock:
            for event in events:
                told = (event["job_id"], event["job_seq"], event["type"])
                assert self._seen.setdefault(event["seq"], told) == told, event

    def after_a_death(self) -> None:
        """Check the files of a dead daemon, and note which steps are recorded."""
        house = self._house
        if not house.home.database.exists() or not house.home.database.stat().st_size:
            return
        assert house.rows("PRAGMA integrity_check") == [("ok",)]
        if not house.rows("SELECT 1 FROM sqlite_schema WHERE name = 'events'"):
            return
        self._check_events()
        traces = self._trace_counts()
        for job_id, ordinal in house.rows(
            "SELECT j.id, s.ordinal FROM steps s JOIN jobs j ON j.number = s.job"
        ):
            ran = traces.get(job_id, Counter())[ordinal - 1]
            before = self._executions.setdefault((job_id, ordinal), ran)
            assert ran == before, f"step {ordinal} of {job_id} ran again"

    def at_the_end(self) -> None:
        """Check that every job ended and that nothing was lost or doubled."""
        house = self._house
        states = dict(house.rows("SELECT id, state FROM jobs"))
        assert set(states) >= set(self.acknowledged.values())
        assert len(set(self.acknowledged.values())) == len(self.acknowledged)
        assert set(states.values()) == {"completed"}, Counter(states.values())
        keys = house.rows("SELECT idempotency_key, count(*) FROM jobs GROUP BY 1")
        assert all(count == 1 for _, count in keys)
        for job_id, trace in self._trace_counts().items():
            assert set(trace) == set(range(max(trace) + 1)), (job_id, trace)

    def _check_events(self) -> None:
        stored: dict[int, tuple[str, int, str]] = {}
        last: Counter[str] = Counter()
        for seq, job_id, job_seq, kind in self._house.rows(
            "SELECT e.seq, j.id, e.job_seq, e.type FROM events e "
            "JOIN jobs j ON j.number = e.job ORDER BY e.seq"
        ):
            assert job_seq == last[job_id] + 1, f"{job_id}: {job_seq} after {last[job_id]}"
            last[job_id] = job_seq
            stored[seq] = (job_id, job_seq, kind)
        with self._lock:
            for seq, told in self._seen.items():
                assert stored.get(seq) == told, f"shown and gone: {seq} {told}"
        jobs = dict(self._house.rows("SELECT id, job_seq FROM jobs"))
        assert jobs == dict(last)
        assert set(self.acknowledged.values()) <= set(jobs)

    def _trace_counts(self) -> dict[str, Counter[int]]:
        """Return how often each step of each job began, from the traces that the steps left."""
        found: dict[str, Counter[int]] = {}
        for key, job_id in self.acknowledged.items():
            trace = self._traces / key
            if trace.exists():
                ran = [int(line) for line in trace.read_text(encoding="utf-8").split()]
                assert ran == sorted(ran), f"{job_id} went back: {ran}"
                found[job_id] = Counter(ran)
        return found
