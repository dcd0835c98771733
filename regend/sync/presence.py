"""What is worth telling of a link: that a device came or went, and how far the sync with it is.

Pure: who looks, says what it sees and when. Looks may be as seldom or as often as one likes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from regend.store.change import LogId, Position

Vector = Mapping[LogId, Position]

_HOLD_FIRST_S: Final = 3.0
_HOLD_LONGEST_S: Final = 60.0
_SETTLED_S: Final = 600.0
_WORTH_TELLING: Final = 256  # changes; a job that is seen live is never so far behind


class Presence:
    """Whether a device counts as online for those who are told.

    A link that comes back within moments never went: a device is told to be offline only after
    it was away for a while. That while doubles each time, as long as its link does not settle.

    Args:
        online: as it was told last.

    Attributes:
        online: as it was told last.
    """

    def __init__(self, *, online: bool) -> None:
        self.online = online
        self._hold_s = _HOLD_FIRST_S
        self._since_s: float | None = None  # since when it is as it is
        self._linked = False

    def look(self, linked: bool, now_s: float) -> bool:
        """Take note of how it is; return whether it is to be told that it is otherwise now."""
        if self._since_s is None or linked != self._linked:
            self._since_s, self._linked = now_s, linked
        lasted_s = now_s - self._since_s
        if linked and lasted_s >= _SETTLED_S:
            self._hold_s = _HOLD_FIRST_S
        return linked != self.online and (linked or lasted_s >= self._hold_s)

    @property
    def is_settled(self) -> bool:
        """Whether nothing is to be told without its link changing."""
        return self._linked == self.online

    def told(self) -> None:
        """Take note that it was told."""
        self.online = not self.online
        if not self.online:
            self._hold_s = min(2 * self._hold_s, _HOLD_LONGEST_S)


@dataclass(slots=True)
class Counts:
    """What went over a link so far.

    Attributes:
        changes: that came and were new.
        change_bytes: in which they came, sealed.
        received_bytes: of changes and payloads.
        sent_bytes: of changes and payloads.
    """

    changes: int = 0
    change_bytes: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sync is.

    Attributes:
        behind: changes that are still to come here.
        ahead: changes that the other side has still to get.
        total: of both, when the sync began.
        behind_bytes: about, going by those that came; None before the first.
        received_bytes: since the link began.
        sent_bytes: since the link began.
        payloads: of the other side that are still to come here.
        done: whether nothing of it is left.
    """

    behind: int
    ahead: int
    total: int
    behind_bytes: int | None
    received_bytes: int
    sent_bytes: int
    payloads: int
    done: bool


class Sync:
    """What one link has to bring: to each side what the other had when they met.

    What is written meanwhile is no part of it, so that it ends though a job goes on and is followed
    live. Where much was written since, that is a sync of its own.

    Args:
        ours: how far each log was here.
        theirs: how far each was there.
    """

    def __init__(self, ours: Vector, theirs: Vector) -> None:
        self._last: Progress | None = None
        self._begin(ours, theirs)

    def look(self, ours: Vector, theirs: Vector, counts: Counts, payloads: int) -> Progress | None:
        """Return how far it is now, where that is otherwise than it was told last."""
        if self.is_done:
            if not _is_much(ours, theirs):
                return None
            self._begin(ours, theirs)
        behind, ahead = self._lacking(ours), self._lacking(theirs)
        mean = counts.change_bytes / counts.changes if counts.changes else None
        now = Progress(
            behind,
            ahead,
            self._total,
            0 if not behind else None if mean is None else round(behind * mean),
            counts.received_bytes,
            counts.sent_bytes,
            payloads,
            done=not (behind or ahead or payloads),
        )
        return None if now == self._last else now

    def told(self, progress: Progress) -> None:
        """Take note that it was told."""
        self._last = progress

    @property
    def is_done(self) -> bool:
        """Whether it was told that nothing of it is left."""
        return self._last is not None and self._last.done

    def _begin(self, ours: Vector, theirs: Vector) -> None:
        self._target = {log: max(_seq(ours, log), _seq(theirs, log)) for log in {*ours, *theirs}}
        self._total = self._lacking(ours) + self._lacking(theirs)

    def _lacking(self, vector: Vector) -> int:
        return sum(max(0, last - _seq(vector, log)) for log, last in self._target.items())


def _seq(vector: Vector, log: LogId) -> int:
    position = vector.get(log)
    return position.seq if position else 0


def _is_much(ours: Vector, theirs: Vector) -> bool:
    """Tell whether so much was written since that it is a sync of its own."""
    lacking = sum(abs(_seq(ours, log) - _seq(theirs, log)) for log in {*ours, *theirs})
    return lacking >= _WORTH_TELLING
