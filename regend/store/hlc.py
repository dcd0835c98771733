"""The hybrid logical clock: stamps that grow as time does, and after everything that was seen.

A stamp is one number: 48 bits of milliseconds since the Unix epoch and 16 bits of a counter, whose
overflow carries into the milliseconds. Pure: wall time comes in.

Invariants
1. Each stamp of a device is greater than all that it gave before, even if its clock goes back.
2. A received stamp moves the clock no further than five minutes past the own wall time, or one
   device whose clock is a year ahead would take all others with it.
3. A received stamp is stored as it came: devices that changed it would no longer agree. The
   caller moves the clock after it was stored.

Source: Kulkarni et al., Logical Physical Clocks, 2014.
"""

from __future__ import annotations

from typing import Final

COUNTER_BITS: Final = 16
AHEAD_MS: Final = 5 * 60 * 1000  # what clocks of honest devices differ by at most

# No clock shows a later time (the year 4199): stamps stay far below SQLite's largest number.
_LATEST_MS: Final = 1 << 46


class HybridClock:
    """The clock of one log.

    Args:
        last: the last stamp of the log; 0 where it is empty.
    """

    def __init__(self, last: int = 0) -> None:
        self._last = last

    @property
    def last(self) -> int:
        """The stamp that the next one will be greater than."""
        return self._last

    def tick(self, wall_ms: int) -> int:
        """Return the stamp of something that happens now (invariant 1).

        Args:
            wall_ms: milliseconds since the Unix epoch, however wrong.
        """
        self._last = max(self._last + 1, _stamp(wall_ms))
        return self._last

    def observe(self, stamp: int, wall_ms: int) -> None:
        """Move forward to a stamp of another device, within bounds (invariant 2).

        Args:
            stamp: of a change that is stored by now.
            wall_ms: the own wall time.
        """
        self._last = max(self._last, min(stamp, _stamp(wall_ms + AHEAD_MS)))


def milliseconds(stamp: int) -> int:
    """Return the milliseconds since the Unix epoch that a stamp shows."""
    return stamp >> COUNTER_BITS


def _stamp(wall_ms: int) -> int:
    return min(max(wall_ms, 0), _LATEST_MS) << COUNTER_BITS
