"""Homes that are copied or restored while they work: copies write on in one log until they meet.

Whatever the order of meetings, when all have met they agree on the first three points of
`agreement`: nothing that any copy did is lost, and nothing is shown otherwise anywhere.
"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.jobs.test_lifecycle_machine import MAX_DEATHS
from tests.sync.agreement import assert_convergence
from tests.sync.test_jobs_machine import LONG, JobsOfDevices

_MOST = 6

pytestmark = pytest.mark.timeout(3600 if LONG else 120)


class JobsOfCopiedDevices(JobsOfDevices):
    @rule(number=st.integers(0, 4), both_write=st.booleans())
    def copy(self, number: int, both_write: bool) -> None:
        """Copy a home and let both go on; the copy stands first, so that rules choose it too."""
        if len(self.devices) >= _MOST:
            return
        device = self.device(number)
        copy = device.copied()
        copy.recover(MAX_DEATHS)
        self.devices.insert(0, copy)
        for one in (copy, device) if both_write else ():
            self.submit(self.devices.index(one))

    @rule(number=st.integers(0, 4))
    def back_up(self, number: int) -> None:
        """Keep a home as it is now."""
        self.saved = self.device(number).copied()

    @precondition(lambda self: hasattr(self, "saved"))
    @rule()
    def restore(self) -> None:
        """Put a home back to its backup; it goes on in a new life."""
        number = next(n for n, one in enumerate(self.devices) if one.number == self.saved.number)
        restored = self.at_its_time(self.saved.copied())
        restored.restore()
        restored.recover(MAX_DEATHS)
        self.devices[number].connection.close()
        self.devices[number] = restored

    def agree(self) -> None:
        assert_convergence(self.devices)


TestJobsOfCopiedDevices = pytest.mark.timeout(1800 if LONG else 120)(JobsOfCopiedDevices.TestCase)
TestJobsOfCopiedDevices.settings = settings(
    max_examples=1000 if LONG else 100,
    stateful_step_count=60 if LONG else 40,
    phases=set(Phase) - {Phase.explain},
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

del JobsOfDevices  # or its own test would run here again
