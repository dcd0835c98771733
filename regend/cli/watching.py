"""Watching a job: a line for each step as it ends, a moving line for what goes on now.

All of it goes to stderr: what the job results in is for the command that watches to print.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from regend import events
from regend.cli.daemon import Daemon, quote
from regend.cli.failure import FAILED, INTERRUPTED
from regend.cli.flow import Flow
from regend.cli.progress import LiveLine
from regend.cli.stream import Event
from regend.cli.stream import events as stream
from regend.cli.terminal import MEASURE, columns, is_terminal, paint, room, say
from regend.cli.text import count, duration, line, pad, plain, shown_width
from regend.cli.view import STATES, decision, short_id, wished
from regend.errors import RegendError

_NAME_COLUMNS = 12
_TIME_COLUMNS = 9
_DRAFT_INDENT = "    "
DRAFT_NOTE = "the model drafts; only what its quotes support is kept:"


def resumption(data: dict[str, Any]) -> str:
    """Return in plain words how a generation goes on, from the data of its `job:resumed:v1`."""
    position = data["position"]
    match data["resume"]:
        case "exact" if position:
            return f"going on from token {position}, exactly where it was saved"
        case "exact":
            return "nothing of it was saved yet; the same tokens are computed again"
        case "restarted":
            return "it cannot go on; what stands above is void, and it is written anew:"
    return f"going on from token {position}, which the model reads again first"


class Detached(Exception):
    """The person stopped watching; the job goes on."""


class Watcher:
    """Shows the events of one job.

    Args:
        text_to: where streamed text of the model goes: `stdout` where it is the answer, `stderr`
            dimmed where it is only a sign of life, `nowhere`.
    """

    def __init__(self, text_to: str = "stderr") -> None:
        self._line = LiveLine()
        self._is_answer = text_to == "stdout"
        self._text_to = text_to if is_terminal(_stream(text_to)) else "nowhere"
        self._reached: dict[int, int] = {}
        self._in_text = False
        self._flow = self._new_flow()
        self._notes: list[str] = []
        self._documents: set[str] = set()
        self._passages: set[tuple[str, int]] = set()
        self._chosen = 0
        self.wrote_text = False

    def show(self, event: Event) -> None:
        """Show one event; types that this program does not know are passed over."""
        data = event["data"]
        match event["type"]:
            case events.JOB_STEP:
                self._step_done(data)
            case events.JOB_PROGRESS:
                self._progress(data)
            case events.SEARCH_RESULT:
                self._found(data)
            case events.MODEL_CHUNK:
                self._chunk(data)
            case events.JOB_RESUMED:
                self._resumed(data)
            case events.JOB_STATE:
                self._state(event["job_id"], data)
            case events.JOB_WISHED if data.get("became") != "done":
                self.tell(f"  {line(wished(data))}", "dim")
            case events.TOOL_CALL:
                self.tell(f"  calls {line(str(data.get('tool', data.get('name', ''))))}", "dim")

    def tell(self, text: str, style: str = "") -> None:
        """Say something in a line of its own."""
        self._end_text()
        self._line.clear()
        say(paint(text, style, sys.stderr))

    def close(self) -> None:
        """Take away what moves."""
        self._end_text()
        self._line.clear()

    def _step_done(self, data: dict[str, Any]) -> None:
        self._end_text()
        if self._is_answer:
            return
        self._note_step(data)
        icon = paint(STATES["completed"][0], "green", sys.stderr)
        name = pad(line(data["name"]), _NAME_COLUMNS)
        took = pad(duration(data["duration_ms"] / 1000), _TIME_COLUMNS, right=True)
        notes = "   " + ", ".join(self._notes) if self._notes else ""
        row = f"{icon} {name}{took}{paint(notes, 'dim', sys.stderr)}"
        if shown_width(row) > room(sys.stderr, MEASURE):
            row = f"{icon} {name}{took}\n{paint('  ' + ', '.join(self._notes), 'dim', sys.stderr)}"
        self.tell(row)
        self._notes = []

    def _note_step(self, data: dict[str, Any]) -> None:
        tokens = self._reached.get(data["ordinal"])
        if tokens:
            self._notes.append(count(tokens, "token"))
        if self._passages:
            passages = count(len(self._passages), "passage")
            documents = count(len(self._documents), "document")
            self._notes.append(f"{passages} in {documents}")
        if self._chosen:
            self._notes.append(f"{count(self._chosen, 'quote')} chosen")
        self._passages, self._chosen = set(), 0

    def _progress(self, data: dict[str, Any]) -> None:
        if self._in_text:
            return
        step = str(data.get("step") or "")
        if not self._is_answer:
            self._line.bar(float(data["progress"]) / 100, step)
        else:
            self._line.show(f"◐ {step} …", "dim")

    def _found(self, data: dict[str, Any]) -> None:
        hits = data.get("hits", [])
        if data.get("chosen"):
            self._chosen += len(hits)
            return
        for hit in hits:
            self._passages.add((str(hit.get("document_id")), int((hit.get("span") or [0])[0])))
        self._documents |= {str(hit.get("document_id")) for hit in hits}
        if hits:
            self._line.show(f"◐ found: {hits[0].get('title', '')}", "dim")

    def _chunk(self, data: dict[str, Any]) -> None:
        ordinal, offset = int(data.get("step") or 0), int(data["offset"])
        reached = self._reached.get(ordinal, 0)
        self._reached[ordinal] = offset + int(data["tokens"])
        self._line.clear()
        if self._text_to == "nowhere":
            return
        if offset < reached:
            self.tell(f"  written again from token {offset} on", "dim")
        if self._text_to == "stderr" and not self._in_text and offset == 0:
            self.tell(f"  {DRAFT_NOTE}", "dim")
        if not self._in_text:
            self._flow = self._new_flow()
            self._in_text = True
        self._write(self._flow.feed(plain(data["text"])))
        self.wrote_text = True

    def _resumed(self, data: dict[str, Any]) -> None:
        self.tell(f"  {resumption(data)}", "dim")

    def _state(self, job_id: str, data: dict[str, Any]) -> None:
        after, error, waiting = data.get("to"), data.get("error"), data.get("waiting")
        if waiting:
            self.tell(f"◆ {line(str(waiting.get('message', 'The job waits for you.')))}", "amber")
            self.tell(f"  Decide: {decision(job_id, waiting)}", "dim")
        elif after == "paused":
            self.tell("‖ Paused. Everything so far is kept.", "slate")
        elif after == "created" and error:
            message = line(str(error.get("message", "The attempt failed.")))
            said = f"{message.rstrip('.')}. Trying again; finished steps are kept."
            self.tell(f"  {said}", "amber")

    def _end_text(self) -> None:
        if self._in_text:
            self._write(self._flow.end())
            self._in_text = False

    def _new_flow(self) -> Flow:
        """Return what sets a text, as wide as the terminal is now."""
        wide = min(columns(_stream(self._text_to)), MEASURE)
        return Flow(wide, "" if self._is_answer else _DRAFT_INDENT)

    def _write(self, text: str) -> None:
        target = _stream(self._text_to)
        target.write(text if self._is_answer else paint(text, "dim", target))
        target.flush()


def _stream(name: str) -> Any:
    return sys.stdout if name == "stdout" else sys.stderr


def say_detached(job_id: str) -> None:
    """Tell the person that the job goes on without them, and how to come back or stop it."""
    short = short_id(job_id)
    say(f"\nDetached. The job goes on: regend jobs logs -f {short}")
    say(f"What came out, at its end: regend jobs show {short}")
    say(f"To stop it: regend jobs cancel {short}")


def watch(
    daemon: Daemon,
    job: dict[str, Any],
    watcher: Watcher,
    after_seq: int = 0,
    left: Callable[[str], None] = say_detached,
) -> Any:
    """Show a job until it ends and return it as it then is.

    Args:
        left: called with the job's id when the person presses Ctrl-C.

    Raises:
        Detached: the person pressed Ctrl-C.
    """
    try:
        for event in stream(daemon, job["id"], after_seq, watcher.tell):
            watcher.show(event)
        watcher.close()
        return daemon.get(f"/jobs/{quote(job['id'])}")
    except KeyboardInterrupt:
        watcher.close()
        left(job["id"])
        raise Detached from None
    finally:
        watcher.close()


def conclude(job: dict[str, Any]) -> int:
    """Say how a job ended that brought no result, and return the exit code for its end."""
    if job["state"] == "completed":
        return 0
    if job["state"] == "cancelled":
        say(
            "The job was cancelled. Its finished steps are kept: regend jobs fork "
            + short_id(job["id"])
        )
        return FAILED
    error = RegendError.from_dict(job["error"] or {"message": "The job failed."})
    from regend.cli.failure import report

    report(error)
    return FAILED


DETACHED_CODE = INTERRUPTED
