"""A job's events as lines of text: when, what, and the part of the payload that says something."""

from __future__ import annotations

import json
import sys
from typing import Any

from regend import events
from regend.cli.flow import Flow
from regend.cli.terminal import MEASURE, columns, is_terminal, paint, say
from regend.cli.text import count, duration, fit, line, pad, plain
from regend.cli.view import time_of, wished

_PAYLOAD_CHARACTERS = 160
_NAME_COLUMNS = 19
_INDENT = " " * (len("00:00:00.000") + 2 + _NAME_COLUMNS + 1)
_LEAST_COLUMNS = 20  # for what an event says; where there are fewer, it stands below its name
_BELOW = "  "
_ENDINGS = {
    events.JOB_COMPLETED: "green",
    events.JOB_FAILED: "red",
    events.JOB_CANCELLED: "slate",
}


class History:
    """Prints events: one to a line; on a terminal long ones are set in a column of their own, and
    what the model writes runs on as one text."""

    def __init__(self) -> None:
        self._on_terminal = is_terminal(sys.stdout)
        self._flow: Flow | None = None  # sets the text that the next chunk continues
        self._begun = False
        self._beside = True

    def tell(self, event: dict[str, Any]) -> None:
        """Print one event."""
        if not self._on_terminal:
            _write(f"{_head(event)}{line(_said(event))}".rstrip() + "\n")
            return
        is_chunk = event["type"] == events.MODEL_CHUNK
        text = plain(event["data"]["text"]) if is_chunk else line(_said(event))
        if self._flow is None or not is_chunk:
            self.close()
            self._begin(event)
        flow = self._flow = self._flow or self._new_flow()
        self._set(flow.feed(text))
        if not is_chunk:
            self.close()

    def say(self, text: str) -> None:
        """Say something that is no event in a line of its own."""
        self.close()
        say(text)

    def close(self) -> None:
        """End the line that is open."""
        if self._flow is not None:
            rest = self._flow.end()
            self._set(rest or ("\n" if self._beside else ""))
            self._flow = None

    def _begin(self, event: dict[str, Any]) -> None:
        """Write the head of an event, and settle where its text stands: beside it, or below."""
        self._beside = columns(sys.stdout) >= len(_INDENT) + _LEAST_COLUMNS
        _write(_head(event) if self._beside else _head(event).rstrip() + "\n")

    def _new_flow(self) -> Flow:
        self._begun = not self._beside
        if not self._beside:
            return Flow(columns(sys.stdout), _BELOW)
        return Flow(min(columns(sys.stdout), len(_INDENT) + MEASURE), _INDENT)

    def _set(self, text: str) -> None:
        """Write a part of a text, whose first line stands behind the head of its event."""
        _write(text if self._begun else text.removeprefix(_INDENT))
        self._begun = self._begun or bool(text)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _head(event: dict[str, Any]) -> str:
    """Return what stands before what the event says: time of day and name."""
    name = pad(event["type"].removesuffix(":v1"), _NAME_COLUMNS)
    moment = paint(time_of(event["at"]), "dim")
    return f"{moment}  {paint(name, _ENDINGS.get(event['type'], ''))} "


def _said(event: dict[str, Any]) -> str:
    """Return what the payload says, in a few words."""
    data = event["data"]
    match event["type"]:
        case events.JOB_CREATED:
            return f"{data.get('type', '')}: {data.get('title', '')}"
        case events.JOB_STEP:
            took = duration(data["duration_ms"] / 1000)
            return f"{data['ordinal']} {data['name']}, {took}"
        case events.JOB_STATE:
            return _transition(data)
        case events.JOB_PROGRESS:
            return f"{float(data['progress']):.0f}% {data.get('step', '')}"
        case events.JOB_CHECKPOINT:
            return f"step {data['ordinal']}, token {data['position']}"
        case events.JOB_RESUMED:
            return f"from token {data.get('position')}, {data.get('resume')}"
        case events.MODEL_CHUNK:
            return f"{data['offset']:>5} {json.dumps(data['text'], ensure_ascii=False)}"
        case events.MODEL_COMPLETE:
            return _completion(data)
        case events.SEARCH_RESULT:
            found = "quote" if data.get("chosen") else "passage"
            return f"“{data.get('query', '')}”: {count(len(data.get('hits', [])), found)}"
        case events.JOB_FAILED:
            return str((data.get("error") or {}).get("message", ""))
        case events.APPROVAL_REQUESTED:
            return str(data.get("action", ""))
        case events.JOB_WISHED:
            return wished(data)
        case events.JOB_BESIDE:
            return " ".join(one["text"] for one in data["account"])
        case events.JOB_COMPLETED | events.JOB_CANCELLED:
            return ""
        case _:
            return fit(json.dumps(data, ensure_ascii=False), _PAYLOAD_CHARACTERS)


def _completion(data: dict[str, Any]) -> str:
    written = int((data.get("usage") or {}).get("completion_tokens", 0))
    took = duration(float(data.get("elapsed_s", 0)))
    return f"{count(written, 'token')} in {took}, ended by {data.get('finish_reason')}"


def _transition(data: dict[str, Any]) -> str:
    said = f"{data.get('from')} → {data.get('to')}"
    if data.get("desired"):
        said += f" (to be: {data['desired']})"
    for cause in ("error", "waiting"):
        if data.get(cause):
            said += f": {data[cause].get('message', '')}"
    return said
