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
from regend.jobs import shapes
from regend.jobs.shapes import number, or_none, text, whole
from regend.jobs.terms import Term, with_id
from regend.jsontext import loads
from regend.store.change import DEVICE_BYTES, INCARNATION_BYTES

TERM_BYTES: Final = 8

_REFERENCE: Final = re.compile(r"@[0-9a-f]{64}")
# Both are told to clients as they are, in JSON and in lines of text.
_NAME: Final = re.compile(r"[0-9A-Za-z_.-]{1,100}")
_TYPE: Final = re.compile(r"[0-9A-Za-z_.:-]{1,100}")
_LINE_END: Final = re.compile(r"[\r\n]")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_HOW: Final = ("begun", "granted", "forced")

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
    _require(number(told.previous) and number(told.place) and told.previous < told.place)
    _require(
        _type(told.type) and _time(told.at) and text(told.data) and not _LINE_END.search(told.data)
    )
    data = loads(told.data)
    _require(isinstance(data, dict))
    _require(shapes.fits(told.type, data))
    if told.extra is not None:
        _require_row(told.extra, _EXTRAS.get(told.type))
    return told


def job_columns(values: Any) -> list[Any]:
    """Return the columns of a job that are told, in the order of `introductions.JOB_COLUMNS`.

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
    _require(number(found.number) and found.number > 0 and number(found.base))
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


def _type(value: Any) -> bool:
    return type(value) is str and _TYPE.fullmatch(value) is not None


def _is_name(value: Any) -> bool:
    return type(value) is str and _NAME.fullmatch(value) is not None


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


_APPROVAL: Final = (text, number, text, text, _payload, text, _time, or_none(_time))
_EXTRAS: Final[dict[str, Sequence[Check]]] = {
    events.JOB_STEP: (number, text, text, _payload, _time, whole),
    events.JOB_CHECKPOINT: (number, number, _payload, or_none(_digest), _time),
    events.JOB_COMPLETED: (or_none(_payload),),
    events.APPROVAL_REQUESTED: _APPROVAL,
    events.APPROVAL_DECIDED: _APPROVAL,
}
_JOB: Final = (
    *(text, _type, text),  # user, type, title
    *(whole, whole, whole),  # priority, max_attempts, seed
    *(text, _payload, or_none(_is_name), text, _time),
)
_EFFECT: Final = (
    *(number, text, text, text, text, or_none(_payload)),
    *(_time, or_none(_time), number),
)
