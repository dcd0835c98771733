"""What was sent to another device of the logs, and what it has not come to the end with.

It settles a message by making it durable, or by coming to its end and not taking it: frames of a
newer protocol, of another history, of a log that was cut. If such messages stayed in the window,
they would fill it, and nothing else would ever be sent.

Invariants
1. Messages settle in the order in which they were sent.
2. Of a log of which a message was not taken nothing more is sent, until the other side asks for it
   or has another position of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from regend.limits import EXCHANGE_WINDOW_BYTES
from regend.store.change import LogId, Position


class _Sent(NamedTuple):
    """A message that was sent: the number of it, and how far it brings its log."""

    number: int
    log: LogId
    last: int
    size_bytes: int


class Window:
    """Keeps what is under way to one device below `EXCHANGE_WINDOW_BYTES` and a message.

    Attributes:
        untaken: logs of which the other side did not take what it was sent.
        size_bytes: of what is under way.
    """

    def __init__(self) -> None:
        self.untaken: set[LogId] = set()
        self.size_bytes = 0
        self._number = 0
        self._unsettled: list[_Sent] = []

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be sent now."""
        return self.size_bytes >= EXCHANGE_WINDOW_BYTES

    def sent(self, log: LogId, last: int, size_bytes: int) -> None:
        """Note a message with a log's changes up to `last`."""
        self._number += 1
        self._unsettled.append(_Sent(self._number, log, last, size_bytes))
        self.size_bytes += size_bytes

    def settle(
        self, number: int, before: Mapping[LogId, Position], theirs: Mapping[LogId, Position]
    ) -> None:
        """Note with how many messages the other side has come to the end.

        Args:
            before: how far each log was there.
            theirs: how far each is there now.
        """
        self.untaken = {log for log in self.untaken if before.get(log) == theirs.get(log)}
        left = [one for one in self._unsettled if one.last > _seq(theirs, one.log)]
        self.untaken |= {one.log for one in left if one.number <= number}
        self._keep(one for one in left if one.number > number)

    def forget(self, log: LogId) -> None:
        """Begin anew with a log: the other side asked for it."""
        self.untaken.discard(log)
        self._keep(one for one in self._unsettled if one.log != log)

    def _keep(self, unsettled: Iterable[_Sent]) -> None:
        self._unsettled = list(unsettled)
        self.size_bytes = sum(one.size_bytes for one in self._unsettled)


def _seq(vector: Mapping[LogId, Position], log: LogId) -> int:
    position = vector.get(log)
    return 0 if position is None else position.seq
