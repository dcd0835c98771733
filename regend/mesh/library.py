"""The library on all of the person's devices: what was added on one is found on the others.

A document is told of after it was stored, by comparing what is here with what was told: to hash a
long text takes longer than a transaction may. Its extracted text goes as a payload; what the index
makes of it is each device's own. An add is told of each place where a document is or was brought
from (`library.places`), under the id of the import that found it there.

Invariants
1. A document is in the library as long as anybody who added it has not removed it, as far as they
   knew: an add that a removal did not know of wins.
2. The same bytes added on two devices, or at two places, are one document, and count as two adds.
3. A person who removes a document removes every add of it that is known here. A file that goes, or
   changes, takes only its own add along.
4. What has come is imported once; what was removed does not come back by itself.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from regend.clock import Clock
from regend.errors import Failed, NotFound, RegendError
from regend.jobs.arrivals import want_blob
from regend.library import index
from regend.library.documents import NewDocument
from regend.library.importer import Importer
from regend.limits import MAX_DOCUMENT_CHARACTERS
from regend.mesh import documents
from regend.mesh.unfit import note_unfit
from regend.store import Store, files

log = logging.getLogger("regend.sync")

_QUIET_S: Final = 0.5  # after a change, so that a folder being added is told of in few turns
_RETRY_S: Final = 30.0
_CHARACTER_BYTES: Final = 4  # of UTF-8 at most
_EXPORTS: Final = 4  # texts that are being sent, kept as files meanwhile


class SharedLibrary:
    """Tells the other devices of documents, and takes in theirs.

    Args:
        folder: for texts that are being sent.
    """

    def __init__(self, store: Store, clock: Clock, importer: Importer, folder: Path) -> None:
        self._store = store
        self._clock = clock
        self._importer = importer
        self._folder = folder
        self._exports: dict[str, Path] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to compare."""
        for left in self._folder.glob("*.text"):
            left.unlink(missing_ok=True)
        self._store.bell.listen(self._wake.set)
        self._wake.set()
        self._task = asyncio.create_task(self._run(), name="shared-library")

    async def stop(self) -> None:
        """End it."""
        if self._task is not None:
            self._store.bell.forget(self._wake.set)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for file in self._exports.values():
            file.unlink(missing_ok=True)
        self._exports.clear()

    async def exported(self, digest: str) -> Path | None:
        """Return a file with the text of this digest, for another device; None where it is not."""
        known = self._exports.get(digest)
        if known is not None:
            return known
        text = await self._store.query(lambda c: documents.text_of(c, digest))
        if text is None:
            return None
        while len(self._exports) >= _EXPORTS:
            self._exports.pop(next(iter(self._exports))).unlink(missing_ok=True)
        file = self._folder / f"{digest}.text"
        await asyncio.to_thread(files.write, file, text.encode())
        self._exports[digest] = file
        return file

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(_QUIET_S)
            self._wake.clear()
            try:
                while await self._tell_added() or await self._tell_removed():
                    pass
                await self._import_what_came()
            except (RegendError, sqlite3.Error, OSError) as error:
                log.warning("the library cannot be compared now: %s", error)
                await asyncio.sleep(_RETRY_S)
                self._wake.set()

    async def _tell_added(self) -> bool:
        """Tell of documents that were added here; return whether there were any."""
        fresh, at_ms = await self._store.query(documents.untold), self._clock.wall_ms()
        for row in fresh:
            await self._tell_one(row, at_ms)
        return bool(fresh)

    async def _tell_one(self, row: Mapping[str, Any], at_ms: int) -> None:
        text = await self._store.query(lambda c: documents.text_digest(c, row["number"]))
        await self._store.write(lambda c: documents.tell(c, row, text, at_ms))

    async def _tell_removed(self) -> bool:
        """Tell of documents that were removed here; return whether there were any."""
        at_ms = self._clock.wall_ms()
        return await self._store.write(lambda c: documents.tell_gone(c, at_ms))

    async def _import_what_came(self) -> None:
        for row in await self._store.query(documents.arrived):
            try:
                await self._import_one(row)
            except (ValueError, sqlite3.IntegrityError) as error:
                # Others come all the same. Its own device keeps it: the fault may be here.
                log.warning("a document of another device cannot be imported: %s", error)
                reason = str(error)
                await self._store.write(lambda c, id=row["id"], why=reason: note_unfit(c, id, why))  # type: ignore[misc]
        for user, id in await self._store.query(documents.to_remove):
            with suppress(NotFound):
                await self._importer.remove(user, id)

    async def _import_one(self, row: Mapping[str, Any]) -> None:
        """Import a document that has come, unless the same bytes are here already.

        Raises:
            ValueError, IntegrityError: it cannot be imported, here or elsewhere.
        """
        user, digest = row["user"], row["digest"]
        if await self._store.query(lambda c: index.find_by_digest(c, user, digest)) is None:
            try:
                text = await asyncio.to_thread(self._came, row["text"])
            except Failed as error:
                log.warning("the text of a document is asked for again: %s", error.message)
                await self._store.write(lambda c: want_blob(c, row["device"], row["text"], None))
                return
            document = NewDocument(digest=digest, text=text, **documents.description(row))
            await self._importer.import_extracted(document, user, row["id"])
        needless = await self._store.write(lambda c: documents.settle(c, row))
        await asyncio.to_thread(self._store.blobs.discard, needless)

    def _came(self, digest: str) -> str:
        """Return a text that has come.

        Raises:
            ValueError: it is none.
            Failed: it is here no more, or damaged.
        """
        file = self._store.blobs.path(digest)
        if file.exists() and file.stat().st_size > MAX_DOCUMENT_CHARACTERS * _CHARACTER_BYTES:
            raise ValueError("it is larger than the longest document")
        return self._store.blobs.get(digest).decode()
