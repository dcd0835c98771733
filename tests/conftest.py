"""What all tests share: the rules on skips, on soaks, and on what may run at the same time."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

# Devices that look for each other on this machine's network hear those of other tests too.
ON_THE_NETWORK = (
    *("tests/mesh/", "tests/demo/", "tests/cli/test_devices", "tests/api/test_device"),
    *("tests/sync/test_discovery", "tests/sync/test_forged"),
    *("tests/sync/test_hosts", "tests/sync/test_lan", "tests/sync/test_strangers"),
    *("tests/crash/test_grant_kills", "tests/crash/test_pairing_kills"),
    *(
        "tests/crash/test_strangers",
        "tests/crash/test_payload_kills",
        "tests/crash/test_full_household",
    ),
)
LONGEST = (ON_THE_NETWORK, "tests/crash/", "tests/models/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Choose what runs, and in which order.

    Soaks are left out unless they were asked for: deselected, not skipped.
    """
    if not os.environ.get("REGEND_LONG"):
        items[:] = [item for item in items if item.get_closest_marker("long") is None]
    # What takes longest comes first, so that two who share the work end at about the same time.
    items.sort(key=lambda item: [not item.nodeid.startswith(one) for one in LONGEST])


class OneNetwork(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a worker the next test that is free, but all that are on the network to one alone."""

    def _split_scope(self, nodeid: str) -> str:
        return "network" if nodeid.startswith(ON_THE_NETWORK) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneNetwork:
    """Return how tests are shared among workers."""
    return OneNetwork(config, log)


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
