"""A question to a person."""

from __future__ import annotations

from typing import Any

from regend.agents.context import Context


def run(context: Context) -> dict[str, Any]:
    """Ask a person before going on."""
    return {"agreed": context.approve("send a letter", {"to": context.input["to"]})}
