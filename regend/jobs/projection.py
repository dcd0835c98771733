"""What a job's history makes of it: the row that people see, told by its events alone. Pure.

The device that runs a job writes row and event together. Other devices have the events, and make
the same row of them; so does this one where a part of its history gave way to another's.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any, Final

from regend import events
from regend.jsontext import dumps

NO_HISTORY: Final = bytes(16)


@dataclass(frozen=True, slots=True)
class Shape:
    """What changes of a job while it lives; columns of its row, by their names."""

    state: str = "created"
    desired: str = "run"
    progress: float = 0.0
    step: str | None = None
    attempt: int = 0
    error: str | None = None
    waiting: str | None = None
    result: str | None = None
    device: str = ""
    updated_at: int = 0
    finished_at: int | None = None


def after(shape: Shape, type_name: str, at: int, text: str, result: str | None = None) -> Shape:
    """Return a job's shape after one more event.

    Args:
        at: wall time of the event in ms.
        text: its payload, JSON.
        result: payload column of the job's result, for the event that ends it well.
    """
    shaper = _SHAPERS.get(type_name)
    shape = replace(shape, updated_at=at)
    if shaper is None:
        return shape
    shape = shaper(shape, json.loads(text))
    if type_name in events.JOB_ENDINGS:
        shape = replace(shape, finished_at=at)
    if type_name == events.JOB_COMPLETED:
        shape = replace(shape, result=result)
    return shape


def _state(shape: Shape, data: dict[str, Any]) -> Shape:
    waiting = data.get("waiting")
    # An attempt's end says its error, or that there is none; a retry begins without one.
    ended = data["from"] == "running" != data["to"] or data["from"] == "failed"
    error = None if ended else shape.error
    return replace(
        shape,
        state=data["to"],
        desired=data.get("desired", "run"),
        attempt=data.get("attempt", shape.attempt),
        error=dumps(data["error"]) if data.get("error") else error,
        waiting=dumps(waiting) if waiting else None,
        finished_at=None,
    )


def _progress(shape: Shape, data: dict[str, Any]) -> Shape:
    return replace(shape, progress=max(shape.progress, data["progress"]), step=data["step"])


def _completed(shape: Shape, _data: dict[str, Any]) -> Shape:
    return replace(shape, state="completed", progress=100.0, error=None, waiting=None)


def _failed(shape: Shape, data: dict[str, Any]) -> Shape:
    error = dumps(data["error"]) if data["error"] else None
    return replace(shape, state="failed", error=error, waiting=None)


def _cancelled(shape: Shape, _data: dict[str, Any]) -> Shape:
    # Who cancels a job that no worker holds leaves on record why it waited.
    error = None if shape.state == "running" else shape.error
    return replace(shape, state="cancelled", desired="cancel", error=error, waiting=None)


def _takeover(shape: Shape, data: dict[str, Any]) -> Shape:
    return replace(shape, device=data["device"])


_SHAPERS: Final = {
    events.JOB_STATE: _state,
    events.JOB_PROGRESS: _progress,
    events.JOB_COMPLETED: _completed,
    events.JOB_FAILED: _failed,
    events.JOB_CANCELLED: _cancelled,
    events.JOB_TAKEOVER: _takeover,
}


def next_history(history: bytes, place: int, type_name: str, at: int, text: str) -> bytes:
    """Return the hash of a history that is one event longer; equal ones have equal hashes."""
    said = f"{place} {type_name} {at} {text}".encode()
    return hashlib.blake2b(history + said, digest_size=16).digest()
