"""How long a stream waits between connections, and when it gives up (rules 7, 8 and 9)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from regend.limits import (
    STREAM_BACKOFF_FIRST_S,
    STREAM_BACKOFF_LAST_S,
    STREAM_FLOOD_WAIT_S,
    STREAM_LONGEST_WAIT_S,
    STREAM_SETTLED_S,
    STREAM_VIOLATIONS,
)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Bounds of the wait between two connections.

    Attributes:
        first_s: least wait, and half the ceiling of the first.
        last_s: highest ceiling.
        flood_s: least wait after the daemon said that we send too much.
    """

    first_s: float = STREAM_BACKOFF_FIRST_S
    last_s: float = STREAM_BACKOFF_LAST_S
    flood_s: float = STREAM_FLOOD_WAIT_S

    def delay_s(self, failures: int, chance: float) -> float:
        """Return the wait after so many failures in a row; `chance` is in [0, 1)."""
        ceiling_s: float = min(self.last_s, self.first_s * 2.0 ** min(failures + 1, 20))
        return self.first_s + chance * (ceiling_s - self.first_s)


class Patience:
    """Counts failures and violations since the last progress.

    Args:
        backoff: bounds of the waits.
        random: returns the next chance in [0, 1).
    """

    def __init__(self, backoff: Backoff, random: Callable[[], float]) -> None:
        self._backoff = backoff
        self._random = random
        self._failures = 0
        self._violations = 0

    def renew(self) -> None:
        """Note progress: an item or an answer came."""
        self._failures = 0
        self._violations = 0

    def is_exhausted_by_violation(self) -> bool:
        """Count a violation and return whether it was one too many."""
        self._violations += 1
        return self._violations >= STREAM_VIOLATIONS

    def next_wait_s(self, lived_s: float, least_s: float) -> float:
        """Count a failure and return how long to wait.

        Args:
            lived_s: how long the connection was live.
            least_s: wait at least so long.
        """
        if lived_s >= STREAM_SETTLED_S:
            self._failures = 0
        delay_s = self._backoff.delay_s(self._failures, self._random())
        self._failures += 1
        return max(delay_s, min(least_s, STREAM_LONGEST_WAIT_S))

    def flood_wait_s(self, asked_s: float) -> float:
        """Return the least wait after a flood, given what the daemon asked for."""
        return max(self._backoff.flood_s * (1 + self._random()), asked_s)
