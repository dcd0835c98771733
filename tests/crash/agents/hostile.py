"""Does what no worker should."""

from tests.jobs.hostile import run

__all__ = ["run"]
