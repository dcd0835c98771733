"""The objects of the REST contract, as types."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from regend.client.items import StreamEvent

Json = dict[str, Any]


class Job(TypedDict):
    """A job as the daemon shows it; times are RFC 3339 UTC, progress is 0 to 100.

    Attributes:
        desired: what the person wants of it: `run`, `pause` or `cancel`.
        waiting: for a job that waits for a person: the reason, and the `choices` of a resume.
        contested: whether several devices took it over at once.
        omitted: in listings, the names of payloads that are too large for them and read None.
        account: of one job, where there is something to tell: its forks, and its steps that ran on
            several devices, each with its `text`.
    """

    id: str
    schema: int
    type: str
    state: str
    desired: str
    title: str
    input: Json
    progress: float
    step: str | None
    attempt: int
    last_seq: int
    result: Json | None
    error: Json | None
    waiting: Json | None
    model: str | None
    priority: int
    owner_device: str | None
    device: str | None
    contested: bool
    created_at: str
    updated_at: str
    finished_at: str | None
    parent_id: str | None
    omitted: NotRequired[list[str]]
    account: NotRequired[list[Json]]


class JobPage(TypedDict):
    """Some jobs, newest first; `next_cursor` is None on the last page."""

    jobs: list[Job]
    next_cursor: str | None


class EventPage(TypedDict):
    """Some events of one job, oldest first."""

    events: list[StreamEvent]


class Health(TypedDict):
    """What the daemon says of itself to anybody; `uptime` in seconds."""

    status: str
    version: str
    uptime: float
    redis: str
