"""Taking documents into the library: files, folders, addresses, captures.

Each goes the same way: bytes → text (`extract`) → passages and terms (`documents.prepare`, in a
thread) → the store, in writes short enough that a job's step waits for none of them. A document is
seen when all of it is durable; the rest of an interrupted import is cleared by `start`.

A file or address that was imported before and has changed since takes the place of its old self.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from regend.clock import Clock, new_id
from regend.config import LibraryConfig
from regend.errors import BadInput, RegendError, TooLarge
from regend.library import index, unreadable
from regend.library.documents import DocumentRow, NewDocument, PreparedDocument, prepare
from regend.library.extract import HTML, PLAIN, Extracted, extract, one_line
from regend.library.fetch import fetch
from regend.library.folder import Unreadable, find_files, printable, read_file
from regend.limits import MAX_TITLE_CHARACTERS, MIB

T = TypeVar("T")

_AT_A_TIME = 3  # documents of a folder under way: one is written while others are read
_MAX_SOURCE_CHARACTERS = 4096


class LibraryStore(Protocol):
    """What the importer needs of `store.Store`."""

    async def write(self, operation: Callable[[sqlite3.Connection], T], /) -> T:
        """Run an operation in a durable transaction and return its result."""

    async def query(self, operation: Callable[[sqlite3.Connection], T], /) -> T:
        """Run a reading operation and return its result."""


@dataclass(slots=True)
class FolderReport:
    """What became of a folder's files."""

    added: list[DocumentRow] = field(default_factory=list)
    unchanged: list[DocumentRow] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as clients see it."""
        return {
            "added": [document.to_dict() for document in self.added],
            "unchanged": [document.to_dict() for document in self.unchanged],
            "unreadable": [
                {"source": one.source, "reason": one.reason, "code": one.code}
                for one in self.unreadable
            ],
        }


class Importer:
    """Takes documents into the library, and out of it."""

    def __init__(self, store: LibraryStore, clock: Clock, config: LibraryConfig) -> None:
        """Import into this store, within the bounds of this configuration."""
        self._store = store
        self._clock = clock
        self._config = config
        self._under_way: set[str] = set()  # ids being imported or removed by this process

    async def start(self) -> None:
        """Clear what an interrupted run left half done; imports may already be going on.

        Builds the index again where this program analyses words in another way than the last one.
        """
        for number, id in await self._store.query(index.unfinished):
            if id not in self._under_way:
                await self._purge(number)
        await self._store.write(index.ensure_analysis)

    async def import_file(
        self, path_or_bytes: Path | bytes, name: str, user: str, *, media_type: str = ""
    ) -> index.Added:
        """Import one file: by its path, or its bytes as they were uploaded.

        Args:
            name: the file's name, for its type and title; of a path, its own name where empty. Of
                an upload, an absolute path names a place: a changed file takes its old self's.
            media_type: as declared by who uploaded it, if so.

        Raises:
            RegendError: see `extract`; or the file cannot be read, or is too large.
        """
        if isinstance(path_or_bytes, Path):
            path = path_or_bytes.expanduser().resolve()
            async with self._on_record(user, printable(path)):
                data = await asyncio.to_thread(read_file, path, self._max_bytes)
                return await self._import_located(data, path, name or path.name, user)
        async with self._on_record(user, name):
            return await self._import_upload(path_or_bytes, name, user, media_type)

    async def _import_upload(
        self, data: bytes, name: str, user: str, media_type: str
    ) -> index.Added:
        if len(data) > self._max_bytes:
            raise TooLarge(
                "document_too_large",
                f"It is larger than {self._config.max_upload_mb} MiB.",
                hint="Split it, or raise library.max_upload_mb in config.toml.",
            )
        extracted = await extract(data, name=name, media_type=media_type)
        document = await asyncio.to_thread(_document, extracted, data, source=name, untrusted=False)
        return await self._add(document, user, takes_place=Path(name).is_absolute())

    async def import_folder(
        self,
        path: Path,
        user: str,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> FolderReport:
        """Import every document below a folder; what cannot be read is listed and the rest goes in.

        Args:
            on_progress: is told how many of how many files are done.

        Raises:
            NotFound: there is no such folder.
            BadInput: it is not a folder.
            Busy: the store cannot take more now; what was imported stays.
        """
        found = await asyncio.to_thread(lambda: list(find_files(path.expanduser())))
        report = FolderReport(unreadable=[one for one in found if isinstance(one, Unreadable)])
        files = [one for one in found if isinstance(one, Path)]
        waiting = iter(files)
        done = 0

        async def work() -> None:
            nonlocal done
            for file in waiting:
                await self._import_into(report, file, user)
                done += 1
                on_progress(done, len(files))

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_A_TIME):
                group.create_task(work())
        return report

    async def import_url(self, url: str, user: str) -> index.Added:
        """Fetch a page and import it, marked as untrusted.

        Raises:
            RegendError: see `fetch.fetch` and `extract.extract`.
        """
        page = await fetch(url, allow_private=self._config.allow_private_addresses)
        async with self._on_record(user, page.url):
            extracted = await extract(page.data, name=page.url, media_type=page.media_type)
            document = await asyncio.to_thread(
                _document, extracted, page.data, source=page.url, untrusted=True
            )
            return await self._add(document, user, takes_place=True)

    async def import_capture(
        self,
        *,
        title: str,
        source: str,
        user: str,
        html: str | None = None,
        text: str | None = None,
    ) -> index.Added:
        """Import what a browser posted: a page as it showed it, or a selection of its text.

        Raises:
            BadInput: neither or both of `html` and `text` are given, or no text is in it.
        """
        if (html is None) == (text is None):
            raise BadInput(
                "capture_invalid", "A capture has either `html` or `text`.", field="html"
            )
        content = html if html is not None else text or ""
        if len(content) > self._max_bytes:
            raise TooLarge("document_too_large", "The capture is too large.", field="html")
        data = content.replace("\0", "\ufffd").encode("utf-8", errors="replace")
        kind = HTML if html is not None else PLAIN
        extracted = await extract(data, name=title or source, media_type=kind)
        document = await asyncio.to_thread(
            _document, extracted, data, source=source, untrusted=True, title=title
        )
        return await self._add(document, user)

    async def remove(self, user: str, id: str) -> None:
        """Remove a document; it is out of every listing and search at once.

        Raises:
            NotFound: the user has no such document.
        """
        with self._at_work_on(id):
            await self._purge(await self._store.write(lambda c: index.hide_document(c, user, id)))

    @property
    def _max_bytes(self) -> int:
        return self._config.max_upload_mb * MIB

    async def _import_into(self, report: FolderReport, file: Path, user: str) -> None:
        """Import one file of a folder and write the outcome into the report."""
        try:
            async with self._on_record(user, printable(file)):
                data = await asyncio.to_thread(read_file, file, self._max_bytes)
                added = await self._import_located(data, file, file.name, user)
        except RegendError as error:
            if error.retryable:
                raise
            report.unreadable.append(Unreadable(printable(file), error.message, error.code))
        else:
            (report.added if added.is_new else report.unchanged).append(added.document)

    async def _import_located(self, data: bytes, path: Path, name: str, user: str) -> index.Added:
        source = printable(path)
        digest = await asyncio.to_thread(_digest, data)
        present = await self._store.query(lambda c: index.find_by_digest(c, user, digest))
        if present is not None and present.source == source:
            return index.Added(present, False)  # spares extracting the same again
        extracted = await extract(data, name=name)
        document = await asyncio.to_thread(
            _document, extracted, data, source=source, untrusted=False
        )
        return await self._add(document, user, takes_place=True)

    async def _add(
        self, document: NewDocument, user: str, *, takes_place: bool = False
    ) -> index.Added:
        """Store a document, and remove the older ones from the same place if it takes theirs."""
        prepared = await asyncio.to_thread(prepare, document)
        added = await self._store_in_turns(prepared, user)
        if takes_place and added.is_new:
            source = added.document.source
            for old in await self._store.query(lambda c: index.find_by_source(c, user, source)):
                if old.id < added.document.id:
                    await self.remove(user, old.id)
        return added

    async def _store_in_turns(self, prepared: PreparedDocument, user: str) -> index.Added:
        """Store a document, a long one in several writes that let others in between."""
        id, at_ms = new_id(self._clock), self._clock.wall_ms()
        if len(prepared.passages) <= index.PASSAGES_PER_WRITE:
            return await self._store.write(
                lambda c: index.add_document(c, user=user, prepared=prepared, id=id, at_ms=at_ms)
            )
        with self._at_work_on(id):
            return await self._store_long(prepared, user, id, at_ms)

    async def _store_long(
        self, prepared: PreparedDocument, user: str, id: str, at_ms: int
    ) -> index.Added:
        number = await self._store.write(
            lambda c: index.begin_document(c, user=user, prepared=prepared, id=id, at_ms=at_ms)
        )
        try:
            for first, stop in _turns(len(prepared.passages)):
                await self._store.write(
                    lambda c, low=first, high=stop: index.append_passages(  # type: ignore[misc]
                        c, user, number, prepared, low, high
                    )
                )
            return await self._store.write(lambda c: index.complete_document(c, user, number))
        except RegendError:
            await self._purge(number)
            raise

    @asynccontextmanager
    async def _on_record(self, user: str, source: str) -> AsyncIterator[None]:
        """Keep the record of what could not be read: note a refusal, strike off a success."""
        try:
            yield
        except RegendError as error:
            refusal = error
            if not error.retryable:
                at_ms = self._clock.wall_ms()
                await self._store.write(lambda c: unreadable.note(c, user, source, refusal, at_ms))
            raise
        await self._store.write(lambda c: unreadable.forget(c, user, source))

    @contextmanager
    def _at_work_on(self, id: str) -> Iterator[None]:
        """Keep `start` from taking a document for the remains of an earlier run."""
        self._under_way.add(id)
        try:
            yield
        finally:
            self._under_way.discard(id)

    async def _purge(self, number: int) -> None:
        limit = index.PASSAGES_PER_WRITE
        while await self._store.write(lambda c: index.purge(c, number, limit)):
            pass


def _turns(count: int) -> Iterator[tuple[int, int]]:
    for first in range(0, count, index.PASSAGES_PER_WRITE):
        yield first, min(first + index.PASSAGES_PER_WRITE, count)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _document(
    extracted: Extracted, data: bytes, *, source: str, untrusted: bool, title: str = ""
) -> NewDocument:
    clean_source = source.encode("utf-8", errors="replace").decode().replace("\0", "")
    return NewDocument(
        title=(one_line(title) or extracted.title)[:MAX_TITLE_CHARACTERS],
        source=clean_source[:_MAX_SOURCE_CHARACTERS],
        media_type=extracted.media_type,
        digest=_digest(data),
        size_bytes=len(data),
        language=extracted.language,
        text=extracted.text,
        untrusted=untrusted,
    )
