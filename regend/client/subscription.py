"""Which jobs a stream follows: all of the caller's, or a set that commands change."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from regend.errors import BadInput, TooLarge
from regend.limits import CLIENT_FRAME_BYTES

_ENVELOPE_BYTES = 1024  # what hello says beside its jobs


class Subscription:
    """An immutable set of job ids, or all.

    Args:
        jobs: ids to follow, repetitions allowed; None for all of the caller's.

    Raises:
        BadInput: an id is not a non-empty text.
        TooLarge: they do not fit into one hello.
    """

    def __init__(self, jobs: Sequence[str] | None) -> None:
        self.jobs = None if jobs is None else list(dict.fromkeys(_checked(jobs)))

    def changed(self, op: str, jobs: Sequence[str] | None) -> Subscription:
        """Return what is followed after the command; other commands change nothing.

        Raises:
            BadInput: the jobs are not a list of ids, or all are followed and none can be left out.
            TooLarge: they do not fit into one hello.
        """
        if op not in ("subscribe", "unsubscribe"):
            return self
        named = _checked(jobs)
        if op == "subscribe":
            return self if self.jobs is None else Subscription([*self.jobs, *named])
        if self.jobs is None:
            raise BadInput(
                "stream_follows_all",
                "This stream follows all jobs and cannot leave some out.",
                hint="Open a stream with a list of jobs.",
            )
        return self.without(named)

    def without(self, jobs: Iterable[str]) -> Subscription:
        """Return what is followed without these jobs."""
        if self.jobs is None:
            return self
        left_out = set(jobs)
        return Subscription([job for job in self.jobs if job not in left_out])

    def beyond(self, earlier: Subscription) -> list[str]:
        """Return the jobs that are followed now and were not earlier."""
        known = set(earlier.jobs or [])
        return [job for job in self.jobs or [] if job not in known]


def _checked(jobs: object) -> list[str]:
    given = jobs if isinstance(jobs, list | tuple) else [None]
    listed = [job for job in given if isinstance(job, str) and job]
    if len(listed) != len(given):
        raise BadInput("bad_job_ids", "jobs must be a list of job ids.", field="jobs")
    if len(json.dumps(listed)) + _ENVELOPE_BYTES > CLIENT_FRAME_BYTES:
        raise TooLarge(
            "too_many_jobs",
            f"{len(listed)} jobs do not fit into one subscription.",
            hint="Follow all jobs, or open a second stream.",
        )
    return listed
