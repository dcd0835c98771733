"""What a worker says, checked before it is believed: a worker may be buggy, or not ours at all.

Pure. Whatever is refused here ends the attempt with a plain reason; nothing of it is stored.
"""

from __future__ import annotations

import math
from typing import Any, Final

from regend import events
from regend.errors import BadInput, Failed
from regend.jobs import shapes
from regend.jobs.frames import Frame
from regend.jobs.lifecycle import Outcome
from regend.jsontext import check, dumps, loads
from regend.limits import (
    CHUNK_CHARACTERS,
    INLINE_PAYLOAD_BYTES,
    MAX_EVENT_DATA_BYTES,
    MAX_STEP_RESULT_BYTES,
    MAX_TITLE_CHARACTERS,
    STEP_NAME_CHARACTERS,
)

_ERROR_CHARACTERS: Final = 4000
_OUTCOMES: Final = frozenset({"completed", "failed", "parked", "released"})


def payload(frame: Frame, name: str) -> str:
    """Return a field that must be JSON text within its bounds.

    Raises:
        Failed: it is missing, too long, or no JSON that clients can be shown.
    """
    text = frame.get(name)
    if not isinstance(text, str):
        raise Failed("frame_invalid", f"The worker sent no {name}.")
    if len(text) > MAX_STEP_RESULT_BYTES or len(text.encode()) > MAX_STEP_RESULT_BYTES:
        raise Failed(
            "payload_too_large",
            f"A {name} of {len(text)} characters is over its bound.",
            hint=f"The bound is {MAX_STEP_RESULT_BYTES} bytes.",
        )
    try:
        loads(text)
    except BadInput as error:
        raise Failed("frame_invalid", f"The worker sent a {name}: {error.message}") from error
    return text


def effect_fate(frame: Frame) -> tuple[str, str | None]:
    """Return what became of an effect, `done` or `unknown`, and the receipt of one that is done.

    Raises:
        Failed: it is neither, or the receipt is none.
    """
    state = frame["state"]
    if state == "done":
        return state, payload(frame, "receipt")
    if state != "unknown":
        raise Failed("frame_invalid", "The worker did not say what became of its effect.")
    return state, None


def step_name(frame: Frame) -> str:
    """Return the name of a step.

    Raises:
        Failed: it is none, or longer than a name.
    """
    name = frame["name"]
    if not isinstance(name, str) or len(name) > STEP_NAME_CHARACTERS:
        raise Failed(
            "frame_invalid",
            f"A step's name is a text of at most {STEP_NAME_CHARACTERS} characters.",
        )
    return name


def count(frame: Frame, name: str) -> int:
    """Return a field that must be a count or a place.

    Raises:
        Failed: it is none.
    """
    value = frame.get(name)
    if not shapes.number(value):
        raise Failed("frame_invalid", f"The worker sent no {name}.")
    number: int = value  # type: ignore[assignment]
    return number


def outcome(frame: Frame, *, asked_to_stop: bool) -> Outcome:
    """Return how the worker says that its attempt ended.

    Args:
        asked_to_stop: whether somebody asked it to; it may not just go.

    Raises:
        Failed: it says what a worker cannot say.
    """
    kind = frame.get("kind")
    if kind not in _OUTCOMES or (kind == "released" and not asked_to_stop):
        raise Failed("frame_invalid", "The worker left its job without saying why.")
    if kind == "completed":
        return Outcome("completed", result=payload(frame, "result"))
    if kind == "parked":
        waiting = frame.get("waiting")
        if not shapes.waiting(waiting) or len(dumps(waiting).encode()) > INLINE_PAYLOAD_BYTES:
            raise Failed("frame_invalid", "The worker did not say what its job waits for.")
        return Outcome("parked", waiting=waiting)
    if kind == "failed":
        return Outcome("failed", error=_error(frame.get("error")))
    return Outcome("released")


def died(how: str) -> Outcome:
    """Return the outcome of an attempt whose worker did not say how it ended."""
    error = {
        "code": "worker_died",
        "message": f"The worker ended unexpectedly ({how}).",
        "hint": "",
        "retryable": True,
    }
    return Outcome("died", error=error)


def _error(said: Any) -> dict[str, Any]:
    """Return an error in the form and length that people can be shown."""
    if not isinstance(said, dict):
        raise Failed("frame_invalid", "The worker failed without saying why.")
    error: dict[str, Any] = {
        name: str(said.get(name, ""))[:_ERROR_CHARACTERS] for name in ("code", "message", "hint")
    }
    error["retryable"] = said.get("retryable") is True
    if isinstance(said.get("field"), str):
        error["field"] = said["field"][:_ERROR_CHARACTERS]
    if isinstance(said.get("retry_after_s"), int | float):
        error["retry_after_s"] = said["retry_after_s"]
    dumps(error)
    return error


def progress(said: dict[str, Any]) -> tuple[float, str]:
    """Return how far the job is, in percent, and what is being done.

    Raises:
        Failed: it is not a number.
    """
    percent = said.get("progress")
    if not isinstance(percent, int | float) or not math.isfinite(percent):
        raise Failed("event_invalid", "A progress must be a number from 0 to 100.")
    return min(max(float(percent), 0.0), 100.0), str(said.get("step", ""))[:MAX_TITLE_CHARACTERS]


def event_texts(type_name: str, said: Any) -> list[str]:
    """Return an event's payload as JSON texts within the bound: a long chunk becomes several.

    Raises:
        Failed: a worker may not say this, or not at this length.
        BadInput: it holds what JSON cannot carry.
    """
    if type_name not in events.WORKER_EVENT_TYPES or not isinstance(said, dict):
        raise Failed("event_unknown", f"A worker may not say “{str(type_name)[:80]}”.")
    check(said)
    if type_name == events.JOB_PROGRESS:
        percent, step = progress(said)
        said = {**said, "progress": percent, "step": step}
    if not shapes.fits(type_name, said):
        message = f"What the worker said is no “{type_name}”: a part of it is missing or no such."
        raise Failed("event_invalid", message)
    text = dumps(said)
    if len(text) <= MAX_EVENT_DATA_BYTES // 4 or len(text.encode()) <= MAX_EVENT_DATA_BYTES:
        return [text]
    if type_name != events.MODEL_CHUNK:
        raise Failed("event_too_large", f"An event of {len(text)} characters is too large.")
    return [dumps(part) for part in split_chunk(said)]


def split_chunk(said: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a chunk as several that are each within the bound of an event.

    The tokens are counted with the last part, so that an offset never claims unshown text.
    """
    whole = said["text"]
    starts = range(0, len(whole), CHUNK_CHARACTERS)
    parts = [whole[start : start + CHUNK_CHARACTERS] for start in starts] or [whole]
    counts = [0] * (len(parts) - 1) + [said["tokens"]]
    return [
        {**said, "text": part, "tokens": count} for part, count in zip(parts, counts, strict=True)
    ]
