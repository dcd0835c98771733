"""What all tests share: the rules on skips, on soaks, and on what may run at the same time."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

from tests.network import keep_apart

# What takes longest, about in this order; each of the rest takes a second or less.
LONGEST = (
    *("tests/crash/", "tests/mesh/test_hosts", "tests/demo/", "tests/sync/test_copies_machine"),
    *("tests/sync/test_jobs_machine", "tests/mesh/", "tests/models/", "tests/cli/", "tests/jobs/"),
)


def pytest_configure() -> None:
    """Keep this worker's daemons from those of others, before any test is imported."""
    keep_apart()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Choose what runs, and in which order.

    Soaks are left out unless they were asked for: deselected, not skipped.
    """
    if not os.environ.get("REGEND_LONG"):
        items[:] = [item for item in items if item.get_closest_marker("long") is None]
    # What takes longest comes first, so that all who share the work end at about the same time.
    items.sort(key=lambda item: [not item.nodeid.startswith(one) for one in LONGEST])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where nothing may skip, a skipped test fails with the reason for which it would skip."""
    report = yield
    if report.skipped and os.environ.get("REGEND_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} may not skip here: {report.longrepr}"
    return report
