"""How jobs look in a listing: state with icon, word and colour, short ids, ages."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final

from regend.cli.table import Cell
from regend.cli.text import age, fit_end, line, width
from regend.clock import parse_rfc3339

# icon, colour; a state is never shown by its colour alone
STATES: Final = {
    "created": ("○", "slate"),
    "running": ("◐", "accent"),
    "waiting": ("◆", "amber"),
    "paused": ("‖", "slate"),
    "completed": ("●", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("⊘", "slate"),
}

# Ids begin with their time, thirteen characters to the millisecond. The five after that are chance:
# of jobs that began together, one pair in four thousand shares them, and is told when it is named.
_LEAST_ID_LENGTH = 18

_RECENT_S = 30 * 24 * 3600.0


def state_cell(job: dict[str, Any]) -> Cell:
    """Return the state of a job with its icon and colour, flagged where devices contest it."""
    icon, style = STATES.get(job["state"], ("·", ""))
    flag = ", contested" if job.get("contested") else ""
    return Cell(f"{icon} {_state_word(job)}{flag}", style)


def _state_word(job: dict[str, Any]) -> str:
    """Return the state, or what the job is on its way to."""
    wish = {"cancel": "cancelling", "pause": "pausing"}.get(job.get("desired", ""))
    return wish if job["state"] == "running" and wish else str(job["state"])


def wished(data: dict[str, Any]) -> str:
    """Return what became of what was asked on another device, from a `job:wished:v1`."""
    command = str(data.get("command", ""))
    if data.get("became") == "done":
        return f"{command}, as was asked on another device"
    return f"{command}, asked on another device, came too late. {data.get('message', '')}".rstrip()


def short_id(identity: str) -> str:
    """Return the id as it is shown where there is only one."""
    return identity[:_LEAST_ID_LENGTH]


def short_ids(identities: Sequence[str]) -> list[str]:
    """Return the ids cut to a common length at which they still differ."""
    length = _LEAST_ID_LENGTH
    while length < 36 and len({one[:length] for one in identities}) < len(set(identities)):
        length += 1
    return [one[:length] for one in identities]


def seconds_since(moment: str) -> float:
    """Return how long ago an RFC 3339 time was, in seconds; never less than 0."""
    return max(0.0, time.time() - parse_rfc3339(moment) / 1000)


def age_of(moment: str | None) -> str:
    """Return how long ago an RFC 3339 time was, short; a dash for none."""
    return "–" if moment is None else age(seconds_since(moment))


def since(moment: str) -> str:
    """Return how long ago an RFC 3339 time was, as one says it: `just now`, `3m ago`."""
    passed = age_of(moment)
    return "just now" if passed == "now" else f"{passed} ago"


def is_recent(moment: str) -> bool:
    """Tell whether an RFC 3339 time is so near that a person should be told without asking."""
    return seconds_since(moment) < _RECENT_S


def moment_of(moment: str) -> str:
    """Return an RFC 3339 time as a person's clock shows it: `2026-03-04 17:05 IST`."""
    return time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(parse_rfc3339(moment) / 1000))


def time_of(moment: str) -> str:
    """Return the time of day of an RFC 3339 time, with milliseconds, as a person's clock has it."""
    return time.strftime("%H:%M:%S", time.localtime(parse_rfc3339(moment) / 1000)) + moment[19:23]


def lasted_s(job: dict[str, Any]) -> float:
    """Return how long a job took, or has taken so far, in seconds."""
    end = job["finished_at"]
    until = time.time() if end is None else parse_rfc3339(end) / 1000
    return max(0.0, until - parse_rfc3339(job["created_at"]) / 1000)


def place_rows(source: str, span: Sequence[int], columns: int) -> list[str]:
    """Return where a passage stands, in a line or two: the place, and its characters."""
    start, end = span
    place, characters = line(source), f"characters {start}–{end}"
    whole = f"{place} · {characters}"
    return [whole] if width(whole) <= columns else [fit_end(place, columns), characters]


def decision(job_id: str, waiting: dict[str, Any]) -> str:
    """Return the command by which a person answers a job that waits for them."""
    if waiting.get("reason") == "approval":
        return f"regend jobs approve {short_id(job_id)}"
    command = f"regend jobs resume {short_id(job_id)}"
    first, *others = waiting.get("choices") or [""]
    if not first:
        return command
    return f"{command} --choice {first}" + (f"  (or {', '.join(others)})" if others else "")
