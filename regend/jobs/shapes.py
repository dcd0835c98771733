"""What the payload of an event must be, so that whoever reads it can. Pure.

A worker says some of these events, and other devices tell of all of them: neither is believed. Both
are held to this one table, because what one device told and another refused would stop the job's
history there. What is not named here, and any further field, clients show as it is or pass over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from regend import events
from regend.jobs.lifecycle import STATES

LARGEST: Final = 1 << 53  # what clients can count to

_DESIRED: Final = ("run", "pause", "cancel")


def fits(type_name: str, data: dict[str, Any]) -> bool:
    """Tell whether an event of this type may have this payload."""
    fit = _SHAPES.get(type_name)
    return fit is None or fit(data)


def text(value: Any) -> bool:
    """Tell whether a value is a text."""
    return type(value) is str


def number(value: Any) -> bool:
    """Tell whether a value is a count or a place."""
    return type(value) is int and 0 <= value < LARGEST


def whole(value: Any) -> bool:
    """Tell whether a value is a whole number that a column can hold."""
    return type(value) is int and -(1 << 63) <= value < 1 << 63


def or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return a check that None passes too."""
    return lambda value: value is None or check(value)


def waiting(value: Any) -> bool:
    """Tell whether people can be told why a job waits."""
    if type(value) is not dict:
        return False
    choices = value.get("choices", [])
    return text(value.get("reason", "")) and type(choices) is list and all(map(text, choices))


def _error(value: Any) -> bool:
    """Tell whether people can be told of an error."""
    texts = ("code", "message", "hint")
    return type(value) is dict and all(map(or_none(text), map(value.get, texts)))


def _state(data: dict[str, Any]) -> bool:
    return (
        data.get("from") in STATES
        and data.get("to") in STATES
        and data.get("desired", "run") in _DESIRED
        and number(data.get("attempt", 0))
        and number(data.get("dropped_from", 0))
        and _error(data.get("error", {}))
        and waiting(data.get("waiting", {}))
    )


def _step(data: dict[str, Any]) -> bool:
    return number(data.get("ordinal")) and text(data.get("name")) and whole(data.get("duration_ms"))


def _progress(data: dict[str, Any]) -> bool:
    percent: Any = data.get("progress")
    return type(percent) in (int, float) and 0 <= percent <= 100 and text(data.get("step"))


def _chunk(data: dict[str, Any]) -> bool:
    counts = (data.get("offset"), data.get("tokens"), data.get("step", 0))
    return text(data.get("text")) and all(map(number, counts))


def _answer(data: dict[str, Any]) -> bool:
    elapsed_s: Any = data.get("elapsed_s")
    if type(elapsed_s) not in (int, float) or not 0 <= elapsed_s < LARGEST:
        return False
    usage = data.get("usage") or {}
    return type(usage) is dict and number(usage.get("completion_tokens", 0))


def _found(data: dict[str, Any]) -> bool:
    hits = data.get("hits", [])
    return type(hits) is list and all(type(hit) is dict and _span(hit) for hit in hits)


def _span(hit: dict[str, Any]) -> bool:
    span = hit.get("span") or []
    return type(span) is list and all(map(number, span))


def _account(value: Any) -> bool:
    return type(value) is list and all(_finding(one) for one in value)


def _finding(one: Any) -> bool:
    """Tell whether it can be shown among what is told of a job."""
    if type(one) is not dict:
        return False
    steps, devices = one.get("steps"), one.get("devices")
    return (
        text(one.get("kind"))
        and text(one.get("text"))
        and or_none(text)(one.get("counts"))
        and (type(steps) is list and all(map(whole, steps)))
        and (type(devices) is list and all(map(text, devices)))
    )


_SHAPES: Final[dict[str, Callable[[dict[str, Any]], bool]]] = {
    events.JOB_CREATED: lambda data: text(data.get("type")),
    events.JOB_STATE: _state,
    events.JOB_PROGRESS: _progress,
    events.JOB_FAILED: lambda data: _error(data.get("error")),
    events.JOB_TAKEOVER: lambda data: text(data.get("device")),
    events.JOB_WISHED: lambda data: text(data.get("wish")) and text(data.get("became")),
    events.JOB_BESIDE: lambda data: _account(data.get("account")),
    events.JOB_STEP: _step,
    events.JOB_CHECKPOINT: lambda d: number(d.get("ordinal")) and number(d.get("position")),
    events.JOB_RESUMED: lambda d: text(d.get("resume")) and number(d.get("position")),
    events.MODEL_CHUNK: _chunk,
    events.MODEL_COMPLETE: _answer,
    events.SEARCH_RESULT: _found,
    events.APPROVAL_REQUESTED: lambda data: text(data.get("id")),
    events.APPROVAL_DECIDED: lambda data: text(data.get("id")),
}
