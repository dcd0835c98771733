"""Events, one after the other, whatever happens to the connection or the daemon.

Invariants
1. Events are handed out in the order of `seq`, each once.
2. The stream of a job ends after the event that ends it, and with nothing else; an ending that a
   retry has undone is not the end. That of the devices does not end.
3. A daemon that is away is waited for; the person is told once when it goes and once when it is
   back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

from regend.cli.daemon import Daemon, quote
from regend.cli.terminal import say
from regend.cli.wire import Dropped, Exchange, Unreachable
from regend.errors import NOT_RUNNING_CODE, RegendError
from regend.events import JOB_ENDINGS
from regend.limits import HEARTBEAT_COMMENT_S, STREAM_BACKOFF_FIRST_S

_SILENCE_S = 3 * HEARTBEAT_COMMENT_S  # the daemon says something at least every heartbeat
_LONGEST_WAIT_S = 3.0  # a person is watching; STREAM_BACKOFF_LAST_S would feel like forever

Event = dict[str, Any]


def events(
    daemon: Daemon, job_id: str, after_seq: int = 0, tell: Callable[[str], None] = say
) -> Iterator[Event]:
    """Yield the events of a job after a position until it ends.

    Args:
        tell: called with what the person should know of the daemon's absence.

    Raises:
        RegendError: the daemon refuses (no such job, no right to it).
    """

    def is_over(event: Event) -> bool:
        return event["type"] in JOB_ENDINGS and _is_over(daemon, job_id, event["seq"])

    safe = "Your job is safe; waiting for it …"
    for event in _followed(daemon, f"/jobs/{quote(job_id)}/events", after_seq, tell, safe):
        if event is not None:
            yield event
            if is_over(event):
                return


def device_events(
    daemon: Daemon, after_seq: int, tell: Callable[[str], None] = say
) -> Iterator[Event | None]:
    """Yield what happens to the devices after a position; None where nothing did for a while."""
    return _followed(daemon, "/devices/events", after_seq, tell, "Waiting for it …")


def _followed(
    daemon: Daemon, path: str, cursor: int, tell: Callable[[str], None], away_note: str
) -> Iterator[Event | None]:
    """Yield the events of a path until the daemon says that no more will come; None for a beat."""
    wait_s, away = STREAM_BACKOFF_FIRST_S, False
    while True:
        try:
            with daemon.stream(path, cursor, _SILENCE_S) as exchange:
                if away:
                    tell("The daemon is back.")
                away, wait_s = False, STREAM_BACKOFF_FIRST_S
                if exchange.status == 204:
                    return
                for event in _parsed(exchange):
                    if event is None:
                        yield None
                    elif event["seq"] > cursor:
                        cursor = event["seq"]
                        yield event
            gone = False
        except Dropped:
            gone = False  # a restart shows itself at the next try
        except Unreachable:
            gone = True
        except RegendError as error:
            if not _is_absence(error):
                raise
            gone = True
        if gone and not away:
            tell(f"The daemon is away. {away_note}")
            tell("To start it again: regend serve --background")
            away = True
        time.sleep(wait_s)
        wait_s = min(_LONGEST_WAIT_S, 2 * wait_s)


def _is_over(daemon: Daemon, job_id: str, seq: int) -> bool:
    """Tell whether nothing came after this ending; a failed job may have been tried again."""
    job = daemon.get(f"/jobs/{quote(job_id)}")
    return job["finished_at"] is not None and job["last_seq"] <= seq


def _is_absence(error: RegendError) -> bool:
    """Tell whether the error will pass: the daemon is stopping, starting or busy."""
    return error.code == NOT_RUNNING_CODE or error.status == 503


def _parsed(exchange: Exchange) -> Iterator[Event | None]:
    """Yield the events of a stream (WHATWG HTML, server-sent events), and None for a comment."""
    pieces: list[bytes] = []
    for line in exchange.lines():
        if line.startswith(b"data:"):
            pieces.append(line[5:].removeprefix(b" "))
        elif line.startswith(b":"):
            yield None
        elif not line and pieces:
            event = json.loads(b"\n".join(pieces))
            pieces.clear()
            if isinstance(event, dict) and isinstance(event.get("seq"), int):
                yield event
