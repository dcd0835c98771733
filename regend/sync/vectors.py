"""How far each log is on a device, as it travels and as it is kept. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regend.limits import MAX_MESH_LOGS
from regend.store.change import DEVICE_BYTES, HEAD_BYTES, INCARNATION_BYTES, LogId, Position
from regend.sync.payloads import as_bytes, as_number

Vector = Mapping[LogId, Position]


def packed(vector: Vector) -> list[tuple[bytes, bytes, int, bytes]]:
    """Return the form that `unpacked` reads."""
    return [(*log, *position) for log, position in sorted(vector.items())]


def unpacked(value: Any) -> dict[LogId, Position]:
    """Return the vector that msgpack carried.

    Raises:
        ValueError, TypeError: it is none, or names more logs than there can be.
    """
    if len(value) > MAX_MESH_LOGS:
        raise ValueError("more logs than there can be")
    return {
        LogId(as_bytes(device, DEVICE_BYTES), as_bytes(incarnation, INCARNATION_BYTES)): Position(
            as_number(seq, 0), as_bytes(head, HEAD_BYTES)
        )
        for device, incarnation, seq, head in value
    }
