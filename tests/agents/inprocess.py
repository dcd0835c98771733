"""A durable context in this process: the real library on a file of its own, a journal in memory.

Search, text and spans are the library's own; `journal` holds what steps returned, as JSON, so that
a second context over the same journal replays them. `writer` stands for the model: a function from
messages to text, given by the test that needs one.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from regend.agents.context import Generated
from regend.errors import NotFound, RegendError
from regend.events import WORKER_EVENT_TYPES
from regend.library.documents import NewDocument, prepare
from regend.library.index import add_document, document_text
from regend.library.search import search
from regend.store.connection import open_writer
from regend.store.migrations import migrate

T = TypeVar("T")
USER = "owner"


class Library:
    """The documents of one user, in the tables and with the search of the product."""

    def __init__(self, path: Path) -> None:
        self.connection: sqlite3.Connection = open_writer(path)
        weakref.finalize(self, self.connection.close)
        migrate(self.connection, path)
        self.unreadable: list[dict[str, Any]] = []
        self.pages: dict[str, str] = {}  # what a fetch of an address brings

    def add(self, title: str, text: str, source: str = "") -> str:
        """Import a text; return the id of its document."""
        digest = hashlib.sha256(f"{title}\n{text}".encode("utf-8", "surrogatepass")).hexdigest()
        document = NewDocument(
            title, source or title, "text/markdown", digest, len(text), "und", text
        )
        row = add_document(
            self.connection, user=USER, prepared=prepare(document), id=f"doc-{digest[:12]}", at_ms=0
        )
        return row.document.id

    def text(self, document_id: str, start: int = 0, end: int | None = None) -> str:
        """Return characters of a document."""
        return document_text(self.connection, USER, document_id, start, end)


@dataclass
class InProcess:
    """One attempt; implements `agents.context.Context`."""

    library: Library
    input: dict[str, Any]
    model: str = ""
    writer: Callable[[list[dict[str, str]]], str | RegendError] | None = None
    journal: dict[int, tuple[str, str]] = field(default_factory=dict)
    job_id: str = "job"
    seed: int = 1
    events: list[tuple[str, dict[str, Any], float]] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    tokens: Callable[[str], int] | None = None  # how the model counts; words where not given
    fetch_error: RegendError | None = None
    _ordinal: int = 0
    _inside: bool = False

    def step(self, name: str, function: Callable[..., T], *args: Any) -> T:
        assert not self._inside, "a step began inside a step"
        json.dumps(args)
        self._ordinal += 1
        if self._ordinal in self.journal:
            recorded, result = self.journal[self._ordinal]
            assert recorded == name, f"replay wants {name}, the journal has {recorded}"
        else:
            self._inside = True
            try:
                result = json.dumps(function(*args))
            finally:
                self._inside = False
            self.ran.append(name)
            self.journal[self._ordinal] = (name, result)
        replayed: T = json.loads(result)
        return replayed

    def emit(self, type: str, data: dict[str, Any]) -> None:
        assert type in WORKER_EVENT_TYPES
        json.dumps(data)
        self.events.append((type, data, time.perf_counter()))

    def progress(self, percent: float, step: str) -> None:
        self.emit("job:progress:v1", {"progress": percent, "step": step})

    def call(self, service: str, **arguments: Any) -> Any:
        assert self._inside, "services are called inside steps"
        self.calls.append((service, arguments))
        if service == "library.search":
            return self._search(**arguments)
        if service == "library.text":
            return self.library.text(**arguments)
        if service == "library.unreadable":
            return self.library.unreadable
        assert service == "library.fetch", service
        return self._fetch(arguments["url"])

    def _search(
        self, question: str, limit: int, sources: Sequence[str] | None = None
    ) -> list[dict[str, Any]]:
        many = limit if sources is None else 1000
        hits = search(self.library.connection, USER, question, many)
        wanted = [hit for hit in hits if sources is None or hit.document_id in sources]
        return [hit.to_dict() for hit in wanted[:limit]]

    def _fetch(self, url: str) -> dict[str, Any]:
        if url not in self.library.pages:
            raise self.fetch_error or NotFound("page_not_found", f"{url} answered 404.")
        return {"document_id": self.library.add(url, self.library.pages[url], url)}

    def generate(
        self,
        name: str,
        *,
        messages: list[dict[str, str]],
        max_tokens: int,
        temperature: float | None = None,
        repeat_penalty: float | None = None,
        schema: dict[str, Any] | None = None,
        stop: Sequence[str] = (),
        stop_repeating: bool = False,
    ) -> Generated:
        def write() -> list[Any]:
            written = self._writer()(messages)
            if isinstance(written, RegendError):
                raise written
            reason = "length" if len(written.split()) >= max_tokens else "stop"
            return [written, reason, {"completion_tokens": len(written.split())}]

        return Generated(*self.step(name, write))

    def _writer(self) -> Callable[[list[dict[str, str]]], str | RegendError]:
        if self.writer is None:
            raise NotFound("model_not_found", f"There is no model “{self.model}”.")
        return self.writer

    def count_tokens(self, text: str) -> int:
        self._writer()
        return self.tokens(text) if self.tokens else len(text.split())

    def approve(self, action: str, preview: dict[str, Any]) -> bool:
        raise AssertionError("research asks for no approval")

    def effect(
        self,
        name: str,
        perform: Callable[[str], Any],
        arguments: Any,
        *,
        inquire: Callable[[str], Any] | None = None,
    ) -> Any:
        raise AssertionError("research does nothing outside")
