"""What passes as an event's payload is shown everywhere, whoever said it."""

from __future__ import annotations

import io
import sys
from typing import Any
from unittest import mock

from hypothesis import assume, example, given
from hypothesis import strategies as st

from regend import events
from regend.api.metrics import Metrics
from regend.cli.history import History
from regend.cli.watching import Watcher
from regend.errors import RegendError
from regend.events import Event
from regend.jobs import reports
from regend.jobs.history import StoredEvent
from regend.jobs.journal import join_chunks
from regend.jobs.projection import Shape, after
from regend.jobs.shapes import fits
from regend.jobs.told import event as told
from regend.jsontext import dumps

NAMES = (
    *("text", "offset", "tokens", "step", "position", "resume", "usage", "elapsed_s", "hits"),
    *("query", "progress", "ordinal", "name", "duration_ms", "type", "from", "to", "error"),
    *("waiting", "device", "wish", "became", "id", "chosen", "tool", "title", "command"),
)
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, 0, -1, 5, 1 << 53, (1 << 53) - 1, 0.5, 1e308, "", "text", "created"),
        *("running", "exact", [], {}, [5], {"completion_tokens": "x"}, {"message": []}),
        *({"completion_tokens": 5}, [{}], [{"span": [1]}], [{"span": {}, "title": 5}]),
        *({"choices": [5]}, {"choices": ["a"]}, {"reason": "approval"}),
    ]
)
PAYLOADS = st.dictionaries(st.sampled_from(NAMES), ODD, max_size=6)
TYPES = st.sampled_from(sorted(events.EVENT_TYPES))
AT = "2026-01-01T00:00:00.000Z"
CHUNK = {"text": "x", "offset": 0, "tokens": 1}


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@given(TYPES, PAYLOADS)
@example(events.MODEL_CHUNK, CHUNK)
@example(events.MODEL_CHUNK, {**CHUNK, "step": None})
@example(events.MODEL_CHUNK, {**CHUNK, "offset": "0"})
@example(events.MODEL_COMPLETE, {"elapsed_s": 1e308, "usage": {"completion_tokens": 5}})
@example(events.MODEL_COMPLETE, {"usage": [5]})
@example(events.SEARCH_RESULT, {"hits": [{"span": None}]})
@example(events.SEARCH_RESULT, {"hits": [{"span": {}}]})
@example(events.JOB_RESUMED, {"position": 5})
@example(events.JOB_CREATED, {})
@example(events.JOB_STATE, {"from": "created", "to": "created", "error": {"message": "text"}})
def test_what_fits_is_shown_wherever_events_are(type_name: str, data: dict[str, Any]) -> None:
    assume(fits(type_name, data))
    text = dumps(data)
    told([2, 1, type_name, 1000, text, None])
    shown = {"type": type_name, "data": data, "job_id": "j", "at": AT}
    for out in (io.StringIO, _Terminal):
        with mock.patch.object(sys, "stdout", out()), mock.patch.object(sys, "stderr", out()):
            history = History()
            history.tell(shown)
            history.close()
            for text_to in ("stdout", "stderr", "nowhere"):
                watcher = Watcher(text_to)
                watcher.show(shown)
                watcher.close()
    Metrics().count(StoredEvent("owner", Event(1, "j", 1, type_name, AT, text)))
    after(Shape(), type_name, 1, text)
    if type_name == events.MODEL_CHUNK:
        join_chunks([data, data])


@given(st.sampled_from(sorted(events.WORKER_EVENT_TYPES)), PAYLOADS)
@example(events.JOB_PROGRESS, {"progress": 1e308, "step": 5})
@example(events.JOB_PROGRESS, {"progress": -1})
def test_what_a_worker_may_say_no_other_device_refuses(
    type_name: str, data: dict[str, Any]
) -> None:
    try:
        texts = reports.event_texts(type_name, data)
    except RegendError:
        return
    for text in texts:
        told([2, 1, type_name, 1000, text, None])
