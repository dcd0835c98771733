"""Agents: programs made of durable steps, run in a worker.

`load` finds an agent by the type of its job and imports nothing but that agent, because a worker
that runs one of them should not wait for the others.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from regend.agents.context import Context
from regend.errors import BadInput

Agent = Callable[[Context], dict[str, Any]]

AGENTS: dict[str, str] = {
    "chat": "regend.agents.chat",
    "research": "regend.agents.research",
}
"""The module of each type of job; its `run(context)` returns the job's result."""


def load(job_type: str) -> Agent:
    """Return the agent of a type of job.

    Raises:
        BadInput: there is no agent for it.
    """
    module = AGENTS.get(job_type)
    if module is None:
        raise BadInput(
            "unknown_job_type",
            f"No agent runs jobs of the type “{job_type}”.",
            hint=f"Types: {', '.join(AGENTS)}.",
            field="type",
        )
    agent: Agent = importlib.import_module(module).run
    return agent
