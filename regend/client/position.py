"""Where a stream stands in the daemon's history: rules 1, 3, 4 and 7 of `regend.client`."""

from __future__ import annotations

from regend.client.frames import EventsFrame, HelloFrame, SnapshotFrame
from regend.client.items import Gap, Item, Restarted, Snapshot, is_position
from regend.errors import BadInput


class Position:
    """The `seq` of the last item handed out, and the history that it belongs to.

    Args:
        seq: position to go on from; 0 for all that is kept; None for from now on.
        epoch: the history that `seq` belongs to, where known.

    Raises:
        BadInput: `seq` is not a position.
    """

    def __init__(self, seq: int | None, epoch: str | None) -> None:
        if seq is not None and not is_position(seq):
            raise BadInput("bad_position", "after_seq must be a whole number from 0 on.")
        self.seq = seq
        self.epoch = epoch
        self._from_now_on = seq is None
        self._owed: Gap | None = None
        self._resume_after: int | None = None

    @property
    def owes_snapshot(self) -> bool:
        """Whether the daemon told of a gap and has not yet sent what stands for it."""
        return self._owed is not None

    def take_after_seq(self) -> int | None:
        """Return what the next hello asks for; a resume point of the daemon counts once."""
        resume_after, self._resume_after = self._resume_after, None
        return self.seq if resume_after is None else resume_after

    def resume_after(self, seq: float | None) -> None:
        """Take the resume point of a close reason, but never one beyond the position."""
        if is_position(seq) and self.seq is not None:
            self._resume_after = min(seq, self.seq)

    def is_of_another_history(self, hello: HelloFrame) -> bool:
        """Return whether the daemon greets from a history that the position is not of."""
        known = self.epoch is not None and hello.epoch != self.epoch
        return known or (self.seq is not None and hello.seq < self.seq)

    def restart(self, hello: HelloFrame) -> Restarted:
        """Begin in another history."""
        self.epoch = hello.epoch
        self.seq = hello.seq if self._from_now_on else 0
        return Restarted(self.seq, hello.epoch)

    def greet(self, hello: HelloFrame) -> None:
        """Take the daemon's hello; a gap in it owes a snapshot."""
        self.epoch = hello.epoch
        if self.seq is None:
            self.seq = hello.seq
        elif hello.gap is not None and hello.gap.last > self.seq:
            self._owed = Gap(max(hello.gap.first, self.seq + 1), hello.gap.last)

    def disconnect(self) -> None:
        """Take note that the connection is gone: the next hello tells of the gap again."""
        self._owed = None

    def snapshot(self, frame: SnapshotFrame) -> Snapshot:
        """Return the snapshot; one that was owed moves the position to the end of its gap."""
        gap, self._owed = self._owed, None
        if gap is not None:
            self.seq = gap.last
        return Snapshot(self.seq or 0, gap, frame.jobs)

    def fresh(self, frame: EventsFrame) -> list[Item]:
        """Return the events that were not handed out before, and move the position over them."""
        items: list[Item] = []
        for event in frame.events:
            if self.seq is None or event.seq > self.seq:
                self.seq = event.seq
                items.append(event)
        return items
