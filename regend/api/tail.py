"""The newest events, encoded once, so that a thousand clients that come back need no store."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from regend.jobs.history import StoredEvent
from regend.limits import EVENTS_PAGE_BYTES, TAIL_BYTES, TAIL_EVENTS


class Line(NamedTuple):
    """An event as clients get it, with what decides who gets it."""

    seq: int
    user: str | None
    job_id: str | None
    json: bytes


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events a client gets: its user's, of all jobs or of some.

    Attributes:
        devices: whether it may see the devices; it is told of them where it follows all jobs.
    """

    user: str
    jobs: frozenset[str] | None
    devices: bool = False

    def lets(self, line: Line) -> bool:
        """Tell whether the client gets this event."""
        if line.job_id is None:
            return self.devices and self.jobs is None
        if line.user != self.user:
            return False
        return self.jobs is None or line.job_id in self.jobs


def encode(events: Iterable[StoredEvent]) -> list[Line]:
    """Return events as lines."""
    return [
        Line(stored.event.seq, stored.user, stored.event.job_id, stored.event.to_json().encode())
        for stored in events
    ]


class Tail:
    """The lines after `start`, without gap, at most `TAIL_EVENTS` and `TAIL_BYTES` of them.

    Args:
        start: `seq` after which everything will be added.
    """

    def __init__(self, start: int) -> None:
        self.start = start
        self._lines: list[Line] = []
        self._size = 0

    def add(self, lines: Sequence[Line]) -> None:
        """Append the next events; the oldest go when there are too many."""
        self._lines += lines
        self._size += sum(len(line.json) for line in lines)
        if len(self._lines) > TAIL_EVENTS or self._size > TAIL_BYTES:
            # Half at once: a list is cheap to cut seldom.
            dropped = 0
            while len(self._lines) - dropped > TAIL_EVENTS // 2 or self._size > TAIL_BYTES // 2:
                self._size -= len(self._lines[dropped].json)
                self.start = self._lines[dropped].seq
                dropped += 1
            del self._lines[:dropped]

    def after(self, seq: int, limit: int) -> list[Line] | None:
        """Return the next lines after `seq`, about a page; None where they are not all here."""
        if seq < self.start:
            return None
        page: list[Line] = []
        size = 0
        for index in range(bisect_right(self._lines, seq, key=_seq), len(self._lines)):
            page.append(self._lines[index])
            size += len(self._lines[index].json)
            if len(page) == limit or size >= EVENTS_PAGE_BYTES:
                break
        return page


def _seq(line: Line) -> int:
    return line.seq
