"""The text frames of the stream, parsed and checked before anything acts on them.

A frame is taken whole or refused whole: what is malformed raises ValueError and changes nothing.
An operation that this version does not know is None; a newer daemon may say more.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from regend.client.items import Gap, StreamEvent, is_position


@dataclass(frozen=True, slots=True)
class HelloFrame:
    """The daemon's answer to hello: its history, its newest position, what it no longer keeps."""

    epoch: str
    seq: int
    gap: Gap | None


@dataclass(frozen=True, slots=True)
class EventsFrame:
    """Some events, oldest first."""

    events: list[StreamEvent]


@dataclass(frozen=True, slots=True)
class SnapshotFrame:
    """Jobs as they are after a gap."""

    jobs: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class ReplyFrame:
    """The answer to the command of this id: `body` of a success, `error` of a failure.

    `status` is the HTTP status that fits the error, where the daemon tells it.
    """

    id: str
    body: dict[str, Any]
    error: dict[str, Any] | None
    status: int | None


Frame = HelloFrame | EventsFrame | SnapshotFrame | ReplyFrame


def parse_frame(text: str) -> Frame | None:
    """Return the frame, or None for an operation that this version does not know.

    Raises:
        ValueError: the text is not JSON, or not a frame of the contract.
    """
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError("a frame is nested too deeply") from error
    if not isinstance(value, dict) or not isinstance(value.get("op"), str):
        raise ValueError("a frame is not an object with an op")
    match value["op"]:
        case "hello":
            return _hello(value)
        case "events":
            return EventsFrame([StreamEvent.from_json(one) for one in _list(value, "events")])
        case "snapshot":
            return SnapshotFrame([_object(job) for job in _list(value, "jobs")])
        case "reply":
            return _reply(value)
        case _:
            return None


def number_in_reason(reason: str, name: str) -> float | None:
    """Return the number that a close reason carries under `name`, as in `{"after_seq": 7}`."""
    try:
        value = json.loads(reason)
    except (ValueError, RecursionError):
        return None
    number = value.get(name) if isinstance(value, dict) else None
    if not isinstance(number, int | float) or isinstance(number, bool):
        return None
    return number if 0 <= number < 2**53 else None


def _hello(value: dict[str, Any]) -> HelloFrame:
    epoch, seq, gap = value.get("epoch"), value.get("seq"), value.get("gap")
    if not isinstance(epoch, str) or not is_position(seq):
        raise ValueError("hello has no epoch or no seq")
    if gap is None:
        return HelloFrame(epoch, seq, None)
    first, last = _object(gap).get("from"), gap.get("to")
    if not is_position(first) or not is_position(last) or last < first:
        raise ValueError("the gap of hello has no valid ends")
    return HelloFrame(epoch, seq, Gap(first, last))


def _reply(value: dict[str, Any]) -> ReplyFrame:
    command_id, ok = value.get("id"), value.get("ok")
    if not isinstance(command_id, str) or not isinstance(ok, bool):
        raise ValueError("a reply has no id or no ok")
    if not ok:
        error = _object(value.get("error"))
        status = error.get("status")
        return ReplyFrame(command_id, {}, error, status if isinstance(status, int) else None)
    body = {name: value[name] for name in value if name not in ("op", "id", "ok")}
    return ReplyFrame(command_id, body, None, None)


def _list(value: dict[str, Any], name: str) -> list[Any]:
    found = value.get(name)
    if not isinstance(found, list):
        raise ValueError(f"{value['op']} has no {name}")
    return found


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("an object is missing")
    return value
