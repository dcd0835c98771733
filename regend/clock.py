"""Time and ids as values that can be handed in.

Pure code never reads a clock: it is given a `Clock`. Wall time is for people and ordering hints;
every timeout is on the monotonic clock, because suspend and clock jumps must expire nothing.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """A source of wall and monotonic time."""

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""

    def monotonic_s(self) -> float:
        """Return seconds on a clock that never jumps."""


class SystemClock:
    """The clock of the machine."""

    def wall_ms(self) -> int:
        """Return milliseconds since the Unix epoch."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Return seconds on a clock that never jumps."""
        return time.monotonic()


def uuid7(wall_ms: int, entropy: bytes) -> str:
    """Return a time-ordered UUID (RFC 9562, version 7) in its canonical text form.

    Args:
        wall_ms: milliseconds since the Unix epoch, at most 48 bits; out of range is clamped.
        entropy: ten random bytes.
    """
    stamp = min(max(wall_ms, 0), (1 << 48) - 1)
    value = bytearray(stamp.to_bytes(6, "big") + entropy[:10])
    value[6] = 0x70 | (value[6] & 0x0F)
    value[8] = 0x80 | (value[8] & 0x3F)
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_id(clock: Clock) -> str:
    """Return a fresh sortable id."""
    return uuid7(clock.wall_ms(), os.urandom(10))


def rfc3339(wall_ms: int) -> str:
    """Return a wall time as RFC 3339 in UTC with milliseconds, clamped to the years 1970-9999."""
    clamped = min(max(wall_ms, 0), 253_402_300_799_999)
    moment = datetime.fromtimestamp(clamped // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{clamped % 1000:03d}Z"


def parse_rfc3339(text: str) -> int:
    """Return the milliseconds since the Unix epoch that `rfc3339` printed.

    Raises:
        ValueError: the text is not such a time.
    """
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)
