"""Tests that run at the same time on one machine, and daemons in them that look for each other.

Each worker's daemons announce, and ask for, a kind of service that no other worker's do: they hear
nobody but each other, though all share the machine's loopback. A process of a test's own says so
itself, by the worker's name, which it finds in its environment.
"""

from __future__ import annotations

import os

from regend.sync import mdns

WORKER = "PYTEST_XDIST_WORKER"


def keep_apart() -> None:
    """Let the daemons of this process find those of its worker alone.

    Call it before anything else looks at the kind of service.
    """
    if worker := os.environ.get(WORKER):
        mdns.SERVICE_TYPE = f"_regend-{worker}._tcp.local."  # type: ignore[misc]
