"""What another device says of its jobs, checked whole before any of it is kept. Pure.

Invariants
1. What is refused here is refused by every device alike, whatever came before it: a part that was
   kept and found unfit only later would stop good changes there, and not elsewhere.
2. What is taken fits its columns, and can be shown to clients.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from regend import events
from regend.errors import BadInput
from regend.jobs.lifecycle import STATES
from regend.jobs.terms import Term, with_id
from regend.jsontext import loads
from regend.store.change import DEVICE_BYTES, INCARNATION_BYTES

TERM_BYTES: Final = 8

_LARGEST: Final = 1 << 53  # what clients can count to
_REFERENCE: Final = re.compile(r"@[0-9a-f]{64}")
# Both are told to clients as they are, in JSON and in lines of text.
_NAME: Final = re.compile(r"[0-9A-Za-z_.-]{1,100}")
_TYPE: Final = re.compile(r"[0-9A-Za-z_.:-]{1,100}")
_LINE_END: Final = re.compile(r"[\r\n]")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_HOW: Final = ("begun", "granted", "forced")
_DESIRED: Final = ("run", "pause", "cancel")

Check = Callable[[Any], bool]


class Told(NamedTuple):
    """An event of another device's job, as its change tells it."""

    place: int
    previous: int
    type: str
    at: int
    data: str
    extra: list[Any] | None


def event(value: Any) -> Told:
    """Return an event that can be kept and shown.

    Raises:
        BadInput: it cannot.
    """
    _require(type(value) is list and len(value) == len(Told._fields))
    told = Told(*value)
    _require(_number(told.previous) and _number(told.place) and told.previous < told.place)
    _require(
        _type(told.type) and _time(told.at) and _text(told.data) and not _LINE_END.search(told.data)
    )
    data = loads(told.data)
    _require(isinstance(data, dict))
    fits = _DATA.get(told.type)
    _require(fits is None or fits(data))
    if told.extra is not None:
        _require_row(told.extra, _EXTRAS.get(told.type))
    return told


def job_columns(values: Any) -> list[Any]:
    """Return the columns of a job that are told, in the order of `mirror.JOB_COLUMNS`.

    Raises:
        BadInput: they are others.
    """
    return _require_row(values, _JOB)


def effect_columns(values: Any) -> list[Any]:
    """Return the columns of an effect that are told, in the order of `mirror.EFFECT_COLUMNS`.

    Raises:
        BadInput: they are others.
    """
    return _require_row(values, _EFFECT)


def term(job_id: str, said: Any) -> Term:
    """Return a term, which is what its id says.

    Raises:
        BadInput: it is not.
    """
    _require(type(said) is list and len(said) == len(Term._fields))
    found = Term(*said)
    _require(_number(found.number) and found.number > 0 and _number(found.base))
    _require(_bytes(found.previous, TERM_BYTES) or found.previous == b"")
    _require(_bytes(found.device, DEVICE_BYTES) and _bytes(found.incarnation, INCARNATION_BYTES))
    _require(found.how in _HOW and _time(found.at))
    _require(with_id(job_id, found).id == found.id)
    return found


def name(value: Any) -> str:
    """Return the id of a job.

    Raises:
        BadInput: it is none.
    """
    _require(_is_name(value))
    return str(value)


def _require(holds: bool) -> None:
    if not holds:
        raise BadInput("change_malformed", "What another device says of a job cannot be read.")


def _require_row(values: Any, checks: Sequence[Check] | None) -> list[Any]:
    _require(type(values) is list)
    if checks is not None:
        _require(len(values) == len(checks))
        _require(all(check(one) for check, one in zip(checks, values, strict=True)))
    row: list[Any] = values
    return row


def _text(value: Any) -> bool:
    return type(value) is str


def _type(value: Any) -> bool:
    return type(value) is str and _TYPE.fullmatch(value) is not None


def _is_name(value: Any) -> bool:
    return type(value) is str and _NAME.fullmatch(value) is not None


def _number(value: Any) -> bool:
    return type(value) is int and 0 <= value < _LARGEST


def _whole(value: Any) -> bool:
    return type(value) is int and -(1 << 63) <= value < 1 << 63


def _time(value: Any) -> bool:
    return type(value) is int and abs(value) < 1 << 62


def _bytes(value: Any, size: int) -> bool:
    return type(value) is bytes and len(value) == size


def _payload(value: Any) -> bool:
    """Tell whether a payload column is JSON, or refers to a payload."""
    if type(value) is not str:
        return False
    if value.startswith("@"):
        return _REFERENCE.fullmatch(value) is not None
    loads(value)
    return True


def _digest(value: Any) -> bool:
    return type(value) is str and _DIGEST.fullmatch(value) is not None


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _is_state(data: dict[str, Any]) -> bool:
    return (
        data.get("from") in STATES
        and data.get("to") in STATES
        and data.get("desired", "run") in _DESIRED
        and _number(data.get("attempt", 0))
        and _number(data.get("dropped_from", 0))
        and _is_error(data.get("error", {}))
        and _is_waiting(data.get("waiting", {}))
    )


def _is_error(error: Any) -> bool:
    """Tell whether people can be told of an error."""
    texts = ("code", "message", "hint")
    return type(error) is dict and all(map(_or_none(_text), map(error.get, texts)))


def _is_waiting(waiting: Any) -> bool:
    """Tell whether people can be told why a job waits."""
    if type(waiting) is not dict:
        return False
    choices = waiting.get("choices", [])
    return _text(waiting.get("reason", "")) and type(choices) is list and all(map(_text, choices))


def _is_step(data: dict[str, Any]) -> bool:
    return (
        _number(data.get("ordinal")) and _text(data.get("name")) and _whole(data.get("duration_ms"))
    )


def _is_progress(data: dict[str, Any]) -> bool:
    percent: Any = data.get("progress")
    return type(percent) in (int, float) and 0 <= percent <= 100 and _text(data.get("step"))


def _is_account(account: Any) -> bool:
    return type(account) is list and all(_is_finding(one) for one in account)


def _is_finding(one: Any) -> bool:
    """Tell whether it can be shown among what is told of a job."""
    return (
        isinstance(one, dict)
        and _text(one.get("kind"))
        and _text(one.get("text"))
        and _or_none(_text)(one.get("counts"))
        and type(one.get("steps")) is list
        and all(map(_whole, one["steps"]))
        and type(one.get("devices")) is list
        and all(map(_text, one["devices"]))
    )


# What is made of an event's payload, here or when it is taken back.
_DATA: Final[dict[str, Callable[[dict[str, Any]], bool]]] = {
    events.JOB_STATE: _is_state,
    events.JOB_PROGRESS: _is_progress,
    events.JOB_FAILED: lambda data: _is_error(data.get("error")),
    events.JOB_TAKEOVER: lambda data: _text(data.get("device")),
    events.JOB_WISHED: lambda data: _text(data.get("wish")) and _text(data.get("became")),
    events.JOB_BESIDE: lambda data: _is_account(data.get("account")),
    events.JOB_STEP: _is_step,
    events.JOB_CHECKPOINT: lambda d: _number(d.get("ordinal")) and _number(d.get("position")),
    events.APPROVAL_REQUESTED: lambda data: _text(data.get("id")),
    events.APPROVAL_DECIDED: lambda data: _text(data.get("id")),
}

_APPROVAL: Final = (_text, _number, _text, _text, _payload, _text, _time, _or_none(_time))
_EXTRAS: Final[dict[str, Sequence[Check]]] = {
    events.JOB_STEP: (_number, _text, _text, _payload, _time, _whole),
    events.JOB_CHECKPOINT: (_number, _number, _payload, _or_none(_digest), _time),
    events.JOB_COMPLETED: (_or_none(_payload),),
    events.APPROVAL_REQUESTED: _APPROVAL,
    events.APPROVAL_DECIDED: _APPROVAL,
}
_JOB: Final = (
    *(_text, _type, _text),  # user, type, title
    *(_whole, _whole, _whole),  # priority, max_attempts, seed
    *(_text, _payload, _or_none(_is_name), _text, _time),
)
_EFFECT: Final = (
    *(_number, _text, _text, _text, _text, _or_none(_payload)),
    *(_time, _or_none(_time), _number),
)
