"""A job's events as lines of text: when, what, and the part of the payload that says something."""

from __future__ import annotations

import json
from typing import Any

from regend import events
from regend.cli.terminal import paint
from regend.cli.text import count, duration, fit, line

_PAYLOAD_CHARACTERS = 160
_ENDINGS = {
    events.JOB_COMPLETED: "green",
    events.JOB_FAILED: "red",
    events.JOB_CANCELLED: "slate",
}


def event_line(event: dict[str, Any]) -> str:
    """Return one event as a line: time of day, name, and what it says."""
    moment = paint(event["at"][11:23], "dim")
    name = event["type"].removesuffix(":v1")
    said = line(_said(event["type"], event["data"]))
    style = _ENDINGS.get(event["type"], "")
    return f"{moment}  {paint(f'{name:<19}', style)} {said}".rstrip()


def _said(kind: str, data: dict[str, Any]) -> str:
    """Return what the payload says, in a few words."""
    match kind:
        case events.JOB_STEP:
            took = duration(data["duration_ms"] / 1000)
            return f"{data['ordinal']} {data['name']}, {took}"
        case events.JOB_STATE:
            return _transition(data)
        case events.JOB_PROGRESS:
            return f"{float(data['progress']):.0f}% {data.get('step', '')}"
        case events.JOB_CHECKPOINT:
            return f"step {data['ordinal']}, token {data['position']}"
        case events.MODEL_CHUNK:
            return f"{data['offset']:>5} {json.dumps(data['text'], ensure_ascii=False)}"
        case events.SEARCH_RESULT:
            return f"“{data.get('query', '')}”: {count(len(data.get('hits', [])), 'passage')}"
        case events.JOB_FAILED:
            return str((data.get("error") or {}).get("message", ""))
        case events.APPROVAL_REQUESTED:
            return str(data.get("action", ""))
        case events.JOB_COMPLETED | events.JOB_CANCELLED:
            return ""
        case _:
            return fit(json.dumps(data, ensure_ascii=False), _PAYLOAD_CHARACTERS)


def _transition(data: dict[str, Any]) -> str:
    said = f"{data.get('from')} → {data.get('to')}"
    if data.get("desired"):
        said += f" (to be: {data['desired']})"
    for cause in ("error", "waiting"):
        if data.get(cause):
            said += f": {data[cause].get('message', '')}"
    return said
