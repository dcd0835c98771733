"""Rate limits: a bucket of tokens per caller and kind of call, refilled evenly."""

from __future__ import annotations

import math

from regend.clock import Clock
from regend.errors import RateLimited

_MAX_BUCKETS = 10_000


class RateLimiter:
    """Allows `per_minute` calls a minute for each key; 0 means no limit.

    Args:
        burst: how many may come at once; None means a minute's.
        settings: the file in which a person may allow more.
    """

    def __init__(
        self,
        clock: Clock,
        per_minute: int,
        burst: int | None = None,
        *,
        settings: str = "config.toml",
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._per_minute = per_minute
        self._burst = float(per_minute if burst is None else burst)
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str, what: str, setting: str = "") -> None:
        """Count one call.

        Args:
            what: too many of which, for the message.
            setting: key of `config.toml` that says how many are allowed.

        Raises:
            RateLimited: saying when the next is possible.
        """
        if self._per_minute == 0:
            return
        now_s = self._clock.monotonic_s()
        rate = self._per_minute / 60.0
        left, since_s = self._buckets.pop(key, (self._burst, now_s))
        left = min(self._burst, left + (now_s - since_s) * rate)
        if left < 1.0:
            self._buckets[key] = (left, now_s)
            wait_s = (1.0 - left) / rate
            more = ""
            if setting:
                more = f" To allow more, set {setting} in {self._settings} (0: no limit)."
            raise RateLimited(
                "rate_limited",
                f"Too many {what}: {self._per_minute} a minute are allowed.",
                hint=f"Go on in {math.ceil(wait_s)} s.{more}",
                retry_after_s=wait_s,
            )
        self._buckets[key] = (left - 1.0, now_s)
        while len(self._buckets) > _MAX_BUCKETS:
            del self._buckets[next(iter(self._buckets))]

    def give_back(self, key: str) -> None:
        """Uncount a call that came to nothing."""
        if key in self._buckets:
            left, since_s = self._buckets[key]
            self._buckets[key] = (left + 1.0, since_s)
