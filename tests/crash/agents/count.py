"""Runs steps that leave a trace of what really ran."""

from tests.jobs.programs import count as run

__all__ = ["run"]
