"""What a device shows of itself on the network, so that only its own mesh knows it.

The announcement carries a tag: a keyed hash of the device, of the announcement's random name and
of the day. A member tries the devices that it knows; a stranger sees a number that is another at
every start and every day, and learns no name, no owner, and not whether two are one.

A tag proves nothing: whoever heard it can repeat it. It tells whom to call; who answers is proved
by the certificate.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

DAY_MS: Final = 24 * 3600 * 1000
TAG_BYTES: Final = 8
_WRONG_DAYS: Final = 3700  # ten years: what a mistyped year and an old battery make of a clock
_FIRST_DAYS: Final = 31  # of 1970, where a clock begins that nobody set


def discovery_key(epoch_key: bytes) -> bytes:
    """Return the key for tags that belongs to an epoch key (32 bytes each)."""
    return hmac.digest(epoch_key, b"regend discovery 1", "sha256")


def day_of(wall_ms: int) -> int:
    """Return the number of the day (UTC), by which tags change."""
    return max(wall_ms, 0) // DAY_MS


def tag(key: bytes, device: bytes, instance: str, day: int) -> str:
    """Return the tag as 16 hexadecimal digits.

    Args:
        key: of `discovery_key`.
        device: the device id, 16 bytes.
        instance: the announcement's random name, without the service type.
    """
    said = device + instance.encode() + day.to_bytes(4, "big")
    return hmac.digest(key, said, hashlib.sha256)[:TAG_BYTES].hex()


def recognise(
    shown: str, instance: str, day: int, devices: Iterable[bytes], keys: Sequence[bytes]
) -> bytes | None:
    """Return whose tag this is, None where no known device would show it.

    Args:
        day: today; the day before and the day after count too, since clocks differ.
        keys: of `discovery_key`, the newest last; it is tried first.
    """
    days = [one for one in (day, day - 1, day + 1) if one >= 0]
    for device in devices:
        for key in reversed(keys):
            for one in days:
                if hmac.compare_digest(tag(key, device, instance, one).encode(), shown.encode()):
                    return device
    return None


def recognise_wrong_clock(
    shown: str, instance: str, day: int, devices: Iterable[bytes], key: bytes
) -> tuple[bytes, int] | None:
    """Return whose tag of another day this is, and that day; None where it is nobody's.

    It tries thousands of days, which takes a tenth of a second to a few devices: not for each
    announcement that is heard.
    """
    devices = list(devices)
    for one in _days_around(day):
        for device in devices:
            if hmac.compare_digest(tag(key, device, instance, one).encode(), shown.encode()):
                return device, one
    return None


def _days_around(day: int) -> Iterator[int]:
    """Yield the days that a wrong clock may show, the nearest first."""
    for distance in range(2, _WRONG_DAYS):
        yield day + distance
        if day >= distance:
            yield day - distance
    yield from range(min(_FIRST_DAYS, max(0, day - _WRONG_DAYS)))
