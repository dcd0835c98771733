"""Devices that put one another out of the mesh, while they work, part, crash and are copied.

Whoever links with whom in the end, those who regard each other as members agree: what is past a
cut is nowhere, and all else is everywhere, as on a device that comes to know it all at once.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from regend.errors import RegendError
from regend.store import changelog
from regend.sync.forks import split_devices
from tests.jobs.test_lifecycle_machine import MAX_DEATHS
from tests.sync.agreement import assert_of_one_mesh
from tests.sync.members import Killed, Member, exchange_rosters, mesh_of
from tests.sync.test_copies_machine import JobsOfCopiedDevices
from tests.sync.test_jobs_machine import LONG

pytestmark = pytest.mark.timeout(3600 if LONG else 120)


class JobsOfRevokedDevices(JobsOfCopiedDevices):
    @initialize(late=st.booleans())
    def be_late(self, late: bool) -> None:
        self.late = late

    def make(self, count: int) -> list[Any]:
        self.late = False
        self.loop = asyncio.new_event_loop()
        return mesh_of(count, self.loop)

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            if hasattr(self, "loop"):
                self.loop.run_until_complete(self.loop.shutdown_default_executor())
                self.loop.close()

    @rule(number=st.integers(0, 5), further=st.integers(1, 4))
    def revoke(self, number: int, further: int) -> None:
        one, out = self.device(number), self.device(number + further)
        with suppress(RegendError):
            one.revoke(out)
        self.settle(one)

    @rule(number=st.integers(0, 5), further=st.integers(1, 4))
    def rejoin(self, number: int, further: int) -> None:
        """Pair a device again; a copy of it comes to know of it when it meets another."""
        host, out = self.device(number), self.device(number + further)
        with suppress(RegendError):
            if out.rejoin(host):
                out.recover(MAX_DEATHS)
        self.settle(host, out)

    @rule(number=st.integers(0, 5), writes=st.integers(0, 3))
    def die_while_it_goes_by_the_roster(self, number: int, writes: int) -> None:
        device = self.device(number)
        device.writes_left = writes
        try:
            device.go_by_roster()
        except Killed:
            device.restart(MAX_DEATHS)
        device.writes_left = -1

    @rule(number=st.integers(0, 5))
    def go_by_the_roster(self, number: int) -> None:
        self.device(number).go_by_roster()

    def settle(self, *devices: Member) -> None:
        """Go by the roster at once, or some time later: it does so beside what else is done."""
        for device in () if self.late else devices:
            device.go_by_roster()

    def link(self, one: Any, other: Any) -> bool:
        linked = exchange_rosters(one, other)
        self.settle(one, other)
        return linked

    def meet_all(self) -> None:
        for device in self.devices:
            self.at_its_time(device)
            device.go_by_roster()
        super().meet_all()

    def are_level(self) -> bool:
        for device in self.devices:
            device.go_by_roster()
        rosters = all(
            a.house.roster.digest == b.house.roster.digest
            for a in self.devices
            for b in self.devices
            if a.regards(b) and b.regards(a)
        )
        return rosters and all(
            one.vector() == group[0].vector() for group in self.groups() for one in group
        )

    def groups(self) -> list[list[Member]]:
        """Return who regard each other as members, where they can come to the same.

        They cannot where a home was copied of which they do not meet every copy, though it is a
        member as far as they know: which of two histories goes on, it alone can say.
        """
        groups = defaultdict(list)
        for device in self.devices:
            if device.is_member:
                groups[device.house.roster.digest].append(device)
        return [group for group in groups.values() if self.is_sound(group)]

    def is_sound(self, group: list[Member]) -> bool:
        apart = {
            one.identity.id for one in self.devices if all(one is not other for other in group)
        }
        unsettled = group[0].house.roster.living.keys() & apart
        split = {device for one in group for device in split_devices(one.connection)}
        return len({one.number for one in group}) > 1 and not split & unsettled

    def agree(self) -> None:
        for group in self.groups():
            assert_of_one_mesh(group, self.newcomer(group[0]))

    def newcomer(self, known: Member) -> Member:
        """Return a device that comes to know at once what another does."""
        entries = list(known.house.roster.entries.values())
        fresh = Member(
            known.number, loop=self.loop, entries=entries, draw=known.draw, life=b"newcomer"
        )
        with fresh.transaction() as c:
            changelog.begin(c, fresh.log)
        for log in sorted(known.vector(), reverse=True):
            fresh.receive(known.frames(log, 0))
        return fresh


TestJobsOfRevokedDevices = pytest.mark.timeout(1800 if LONG else 120)(JobsOfRevokedDevices.TestCase)
TestJobsOfRevokedDevices.settings = settings(
    max_examples=1000 if LONG else 40,
    stateful_step_count=60 if LONG else 40,
    phases=set(Phase) - {Phase.explain},
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

del JobsOfCopiedDevices  # or its own test would run here again
