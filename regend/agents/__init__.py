"""Agents: programs made of durable steps, run in a worker.

A worker imports the one agent that its job needs, so this file names them and imports none.
"""

from __future__ import annotations

AGENTS: dict[str, str] = {
    "chat": "regend.agents.chat",
    "pull": "regend.agents.pull",
    "research": "regend.agents.research",
}
"""The module of each type of job; its `run(context)` returns the job's result."""
