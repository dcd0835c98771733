"""What all tests share: the rule on skips and soaks."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave soaks out unless they were asked for; they are deselected, not skipped."""
    if os.environ.get("REGEND_LONG"):
        return
    items[:] = [item for item in items if item.get_closest_marker("long") is None]


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
