"""Streams text in one step."""

from tests.jobs.programs import chatter as run

__all__ = ["run"]
