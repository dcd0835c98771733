"""What all tests share: the rules on skips, on soaks, and on what may run at the same time."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

# Devices that look for each other on this machine's network hear those of other tests too.
ON_THE_NETWORK = (
    *("tests/mesh/", "tests/demo/", "tests/cli/test_devices", "tests/api/test_device"),
    *("tests/sync/test_discovery", "tests/sync/test_hosts", "tests/sync/test_lan"),
    *("tests/crash/test_grant_kills", "tests/crash/test_pairing_kills"),
    *(
        "tests/crash/test_strangers",
        "tests/crash/test_payload_kills",
        "tests/crash/test_full_household",
    ),
)
LONGEST = (ON_THE_NETWORK, "tests/crash/", "tests/models/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Choose what runs, and what of it one after another.

    Soaks are left out unless they were asked for: deselected, not skipped. The tests of a file stay
    together, for what they share, and so do all that are on the network.
    """
    if not os.environ.get("REGEND_LONG"):
        items[:] = [item for item in items if item.get_closest_marker("long") is None]
    # What takes longest comes first, so that two who share the work end at about the same time.
    items.sort(key=lambda item: [not item.nodeid.startswith(one) for one in LONGEST])
    for item in items:
        file = item.nodeid.partition("::")[0]
        group = "network" if file.startswith(ON_THE_NETWORK) else file
        item.add_marker(pytest.mark.xdist_group(group))


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
