"""Waits with a child of its own that ignores TERM."""

from tests.jobs.programs import stubborn as run

__all__ = ["run"]
