"""What a stream hands to the program that reads it.

Every item has `seq`: the position that is reached once the item has been taken in. A program
that wants to go on after its own restart keeps `(epoch, seq)` together with what it made of the
item, and hands both to `Client.stream`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from regend.limits import MAX_INTEGER


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One durable event of the daemon.

    Its type may be one that this version does not know; a reader skips what it does not know.

    Attributes:
        seq: place in the whole store.
        job_id: the job it tells of; None for an event that is about no job.
        job_seq: place within the job, from 1; None where `job_id` is None.
        type: versioned name, as in `regend.events`.
        at: RFC 3339 time of its commit.
        data: the payload.
    """

    seq: int
    job_id: str | None
    job_seq: int | None
    type: str
    at: str
    data: dict[str, Any]

    @staticmethod
    def from_json(value: object) -> StreamEvent:
        """Return the event that a frame or a REST page carries.

        Raises:
            ValueError: it is not an event of the contract.
        """
        if not isinstance(value, Mapping):
            raise ValueError("an event is not an object")
        seq, kind, payload = value.get("seq"), value.get("type"), value.get("data")
        if not is_position(seq) or seq == 0:
            raise ValueError("an event has no valid seq")
        if not isinstance(kind, str) or not isinstance(payload, dict):
            raise ValueError(f"event {seq} has no type or no data")
        job_id, job_seq, at = value.get("job_id"), value.get("job_seq"), value.get("at")
        return StreamEvent(
            seq,
            job_id if isinstance(job_id, str) else None,
            job_seq if is_position(job_seq) else None,
            kind,
            at if isinstance(at, str) else "",
            payload,
        )


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch of history that is no longer kept event by event; both ends belong to it."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Stands for the events of `gap`: the jobs as they are after them.

    Attributes:
        seq: position that is reached with it.
        gap: what it stands for; None when the daemon sent it without a gap.
        jobs: job objects as in `GET /jobs`.
    """

    seq: int
    gap: Gap | None
    jobs: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Restarted:
    """The daemon's history is another one (a restored backup): what was read before is void.

    A reader forgets what it made of earlier items. If the stream was asked for history, all that
    the new one keeps follows; if it followed from now on, it goes on from `seq`, and the reader
    reads the present state by REST.

    Attributes:
        seq: position in the new history from which the stream goes on.
        epoch: name of the new history.
    """

    seq: int
    epoch: str


Item = StreamEvent | Snapshot | Restarted


def is_position(value: object) -> TypeGuard[int]:
    """Return whether the value is a `seq` that a store can hold."""
    return type(value) is int and 0 <= value <= MAX_INTEGER
