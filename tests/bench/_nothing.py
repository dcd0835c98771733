"""An agent that has nothing to do: what is left is the daemon's own time."""

from __future__ import annotations

from typing import Any

from regend.worker.runtime import Runtime


def run(context: Runtime) -> dict[str, Any]:
    """Return at once."""
    return {}
