"""A change: what one transaction did, as other devices are told it. Pure.

A body is msgpack: `[clock, kind, field, …]`. A device numbers its changes from 1; each has a head
that covers it and everything before it, so that two histories with one head are the same history.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, NamedTuple

import msgpack

from regend.errors import BadInput
from regend.limits import MAX_CHANGE_BYTES

HEAD_BYTES: Final = 32
DEVICE_BYTES: Final = 16
INCARNATION_BYTES: Final = 8


class LogId(NamedTuple):
    """The log that a change stands in: one for each device and incarnation of it."""

    device: bytes
    incarnation: bytes


class Position(NamedTuple):
    """How far a log is: its last change and the head there."""

    seq: int
    head: bytes


class Change(NamedTuple):
    """A change, unpacked.

    Attributes:
        clock: hybrid stamp, 48 bits of milliseconds and 16 bits of a counter.
        kind: which fields follow; a kind that a program does not know is kept for a newer one.
        fields: what plain msgpack can carry.
    """

    clock: int
    kind: str
    fields: list[Any]


def first_head(log: LogId) -> bytes:
    """Return the head of a log that holds nothing yet."""
    return hashlib.blake2b(b"regend log" + log.device + log.incarnation, digest_size=32).digest()


def next_head(head: bytes, seq: int, body: bytes) -> bytes:
    """Return the head after a change of this number."""
    return hashlib.blake2b(head + seq.to_bytes(8, "big") + body, digest_size=32).digest()


def pack(clock: int, kind: str, fields: tuple[Any, ...]) -> bytes:
    """Return the body of a change.

    Raises:
        BadInput: it is larger than a change may be.
    """
    body: bytes = msgpack.packb((clock, kind, *fields))
    if len(body) > MAX_CHANGE_BYTES:
        raise BadInput("change_too_large", f"A change of {len(body)} bytes cannot be sent.")
    return body


def unpack(body: bytes) -> Change:
    """Return what a body holds.

    Raises:
        BadInput: it is no change.
    """
    try:
        clock, kind, *fields = msgpack.unpackb(body, strict_map_key=False)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadInput("change_malformed", "A change cannot be read.") from error
    if type(clock) is not int or not 0 <= clock < 1 << 63 or not isinstance(kind, str):
        raise BadInput("change_malformed", "A change cannot be read.")
    return Change(clock, kind, fields)
