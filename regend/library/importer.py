"""Taking documents into the library: files, addresses, captures.

Each goes the same way: bytes → text (`extract`) → passages and terms (`documents.prepare`, in a
thread) → the store, in writes short enough that a job's step waits for none of them. A document is
seen when all of it is durable; the rest of an interrupted import is cleared by `start`.

A file or address that was imported before and has changed since takes the place of its old self;
the same bytes at several places are one document, which goes with the last of them (`places`).
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from regend.clock import Clock, new_id
from regend.config import LibraryConfig
from regend.errors import BadInput, RegendError, TooLarge
from regend.library import index, places, rebuild, unreadable
from regend.library.documents import DocumentRow, NewDocument, PreparedDocument, prepare
from regend.library.extract import HTML, PLAIN, extract, one_line
from regend.library.fetch import fetch
from regend.limits import MAX_TITLE_CHARACTERS, MIB

T = TypeVar("T")

_MAX_SOURCE_CHARACTERS = 4096
_INDEXED_PER_WRITE = 150  # passages that are analysed in the writer's time; about 30 ms


class LibraryStore(Protocol):
    """What the importer needs of `store.Store`."""

    async def write(self, operation: Callable[[sqlite3.Connection], T], /) -> T:
        """Run an operation in a durable transaction and return its result."""

    async def query(self, operation: Callable[[sqlite3.Connection], T], /) -> T:
        """Run a reading operation and return its result."""


@dataclass(frozen=True, slots=True)
class _Incoming:
    """What came in.

    Attributes:
        name: gives type and title where nothing better does.
        source: where it came from, as it was said.
        is_place: what came from there before is its old self.
    """

    data: bytes
    name: str
    source: str
    media_type: str
    is_place: bool
    title: str = ""
    untrusted: bool = True

    @property
    def place(self) -> str:
        """Where it came from, as it is stored."""
        text = self.source.encode("utf-8", errors="replace").decode().replace("\0", "")
        return text[:_MAX_SOURCE_CHARACTERS]

    async def extracted(self, digest: str) -> NewDocument:
        """Return the document.

        Raises:
            RegendError: see `extract`.
        """
        found = await extract(self.data, name=self.name, media_type=self.media_type)
        return NewDocument(
            title=(one_line(self.title) or found.title)[:MAX_TITLE_CHARACTERS],
            source=self.place,
            media_type=found.media_type,
            digest=digest,
            size_bytes=len(self.data),
            language=found.language,
            text=found.text,
            untrusted=self.untrusted,
        )


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

        Builds the index again where this program analyses words in another way than the last one;
        meanwhile a search finds what is indexed so far. May be called again after it failed.
        """
        await self._store.write(rebuild.begin)
        for number, id in await self._store.query(index.unfinished):
            if id not in self._under_way:
                await self._purge(number)
        while await self._store.write(partial(rebuild.index_page, limit=_INDEXED_PER_WRITE)):
            pass

    async def import_file(
        self, data: bytes, name: str, user: str, *, media_type: str = ""
    ) -> index.Added:
        """Import a file.

        Args:
            name: its name, for its type and title. An absolute path names a place: a changed file
                takes its old self's.
            media_type: as declared by who sent it, if so.

        Raises:
            RegendError: see `extract`; or it is too large.
        """
        async with self._on_record(user, name):
            self._check_size(data)
            is_place = Path(name).is_absolute()
            incoming = _Incoming(data, name, name, media_type, is_place, untrusted=False)
            return await self._import(incoming, user)

    async def import_url(self, url: str, user: str) -> index.Added:
        """Fetch a page and import it, marked as untrusted.

        Raises:
            RegendError: see `fetch.fetch` and `extract.extract`.
        """
        page = await fetch(url, allow_private=self._config.allow_private_addresses)
        async with self._on_record(user, page.url):
            incoming = _Incoming(page.data, page.url, page.url, page.media_type, is_place=True)
            return await self._import(incoming, user)

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
            TooLarge: it is larger than a file may be.
        """
        if (html is None) == (text is None):
            raise BadInput(
                "capture_invalid", "A capture has either `html` or `text`.", field="html"
            )
        content = html if html is not None else text or ""
        data = await asyncio.to_thread(_encoded, content)
        self._check_size(data)
        kind = PLAIN if html is None else HTML
        incoming = _Incoming(data, title or source, source, kind, is_place=False, title=title)
        return await self._import(incoming, user)

    async def import_extracted(self, document: NewDocument, user: str, id: str) -> index.Added:
        """Import a document whose text another device extracted, under the id that it has there."""
        prepared = await asyncio.to_thread(prepare, document)
        origin = places.Origin(document.source, False, id)
        return await self._store_in_turns(prepared, user, origin)

    async def remove(self, user: str, id: str) -> None:
        """Remove a document; it is out of every listing and search at once.

        Raises:
            NotFound: the user has no such document.
        """
        with self._at_work_on(id):
            await self._purge(await self._store.write(lambda c: index.hide_document(c, user, id)))

    async def leave(self, user: str, id: str, place: str) -> None:
        """Note that a document is at one of its places no more; it goes with the last of them.

        Raises:
            NotFound: the user has no such document, or it is not there.
        """
        with self._at_work_on(id):
            hidden = await self._store.write(lambda c: places.leave(c, user, id, place))
            if hidden is not None:
                await self._purge(hidden)

    def _check_size(self, data: bytes) -> None:
        if len(data) > self._config.max_upload_mb * MIB:
            raise TooLarge(
                "document_too_large",
                f"It is larger than {self._config.max_upload_mb} MiB.",
                hint="Split it, or raise library.max_upload_mb in config.toml.",
            )

    async def _import(self, incoming: _Incoming, user: str) -> index.Added:
        """Store a document, unless the same bytes are there already."""
        origin = places.Origin(incoming.place, incoming.is_place, new_id(self._clock))
        digest = await asyncio.to_thread(_digest, incoming.data)
        present = await self._found_present(digest, user, origin)
        if present is not None:
            return present
        document = await incoming.extracted(digest)
        prepared = await asyncio.to_thread(prepare, document)
        return await self._store_in_turns(prepared, user, origin)

    async def _found_present(
        self, digest: str, user: str, origin: places.Origin
    ) -> index.Added | None:
        """Return the document of these bytes, said to be here too; None if there is none."""

        def look(connection: sqlite3.Connection) -> tuple[DocumentRow | None, bool]:
            found = index.find_by_digest(connection, user, digest)
            return found, found is None or places.knows(connection, found, origin)

        def settle(connection: sqlite3.Connection) -> places.Settled | None:
            found = index.find_by_digest(connection, user, digest)
            if found is None:  # it was removed meanwhile
                return None
            return places.settle(connection, user, index.Added(found, False), origin)

        found, is_known = await self._store.query(look)
        if is_known:
            return None if found is None else index.Added(found, False)
        settled = await self._store.write(settle)
        return None if settled is None else await self._cleared(settled)

    async def _cleared(self, settled: places.Settled) -> index.Added:
        """Return what was added, once what it took the place of is gone."""
        if settled.hidden is not None:
            await self._purge(settled.hidden)
        return settled.added

    async def _store_in_turns(
        self, prepared: PreparedDocument, user: str, origin: places.Origin
    ) -> index.Added:
        """Store a document, a long one in several writes that let others in between."""
        at_ms = self._clock.wall_ms()

        def add(connection: sqlite3.Connection) -> places.Settled:
            added = index.add_document(
                connection, user=user, prepared=prepared, id=origin.id, at_ms=at_ms
            )
            return places.settle(connection, user, added, origin)

        if len(prepared.passages) <= index.PASSAGES_PER_WRITE:
            return await self._cleared(await self._store.write(add))
        with self._at_work_on(origin.id):
            return await self._cleared(await self._store_long(prepared, user, origin, at_ms))

    async def _store_long(
        self, prepared: PreparedDocument, user: str, origin: places.Origin, at_ms: int
    ) -> places.Settled:
        id = origin.id
        try:
            number = await self._store.write(
                lambda c: index.begin_document(c, user=user, prepared=prepared, id=id, at_ms=at_ms)
            )
            for first, stop in _turns(len(prepared.passages)):
                await self._store.write(
                    lambda c, low=first, high=stop: index.append_passages(  # type: ignore[misc]
                        c, user, number, prepared, low, high
                    )
                )
            return await self._store.write(
                lambda c: places.settle(c, user, index.complete_document(c, user, number), origin)
            )
        except BaseException:
            with suppress(RegendError, sqlite3.Error):  # then `start` clears it
                await self._clear(id)
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
        if await self._store.query(lambda c: unreadable.is_noted(c, user, source)):
            await self._store.write(lambda c: unreadable.forget(c, user, source))

    @contextmanager
    def _at_work_on(self, id: str) -> Iterator[None]:
        """Keep `start` from taking a document for the remains of an earlier run."""
        self._under_way.add(id)
        try:
            yield
        finally:
            self._under_way.discard(id)

    async def _clear(self, id: str) -> None:
        """Purge what there is of a document that is not complete.

        It is looked for by the writer, who may still have some of it in hand.
        """
        for number, one in await self._store.write(index.unfinished):
            if one == id:
                await self._purge(number)

    async def _purge(self, number: int) -> None:
        limit = index.PASSAGES_PER_WRITE
        while await self._store.write(lambda c: index.purge(c, number, limit)):
            pass


def _turns(count: int) -> Iterator[tuple[int, int]]:
    for first in range(0, count, index.PASSAGES_PER_WRITE):
        yield first, min(first + index.PASSAGES_PER_WRITE, count)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _encoded(text: str) -> bytes:
    return text.replace("\0", "\ufffd").encode("utf-8", errors="replace")
