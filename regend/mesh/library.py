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
import hashlib
import logging
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgpack

from regend.clock import Clock
from regend.errors import Failed, NotFound, RegendError
from regend.jobs.arrivals import want_blob
from regend.library import index
from regend.library.documents import NewDocument
from regend.library.importer import Importer
from regend.library.texts import TextReader
from regend.limits import MAX_DOCUMENT_CHARACTERS, MAX_INTEGER
from regend.mesh.unfit import fit, note_unfit
from regend.store import Store, changelog, files
from regend.store.blobs import is_digest
from regend.store.change import Change
from regend.sync.replica import Folder, Source

log = logging.getLogger("regend.sync")

_ADDED: Final = "document"
_REMOVED: Final = "document gone"
_FIELDS: Final = ("title", "source", "media_type", "size_bytes", "language", "untrusted")
_QUIET_S: Final = 0.5  # after a change, so that a folder being added is told of in few turns
_RETRY_S: Final = 30.0
_TOLD_AT_ONCE: Final = 20
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

    def folders(self) -> Mapping[str, Folder]:
        """Return what folds the changes that are about documents."""
        return FOLDERS

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
        text = await self._store.query(lambda c: _text_of(c, digest))
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
        fresh, at_ms = await self._store.query(_untold), self._clock.wall_ms()
        for row in fresh:
            text = await self._store.query(lambda c, row=row: _hashed(c, row))  # type: ignore[misc]
            told = {**row, "text": text}
            await self._store.write(lambda c, told=told: _tell(c, told, at_ms))  # type: ignore[misc]
        return bool(fresh)

    async def _tell_removed(self) -> bool:
        """Tell of documents that were removed here; return whether there were any."""
        at_ms = self._clock.wall_ms()
        return await self._store.write(lambda c: _tell_gone(c, at_ms))

    async def _import_what_came(self) -> None:
        for row in await self._store.query(_arrived):
            try:
                await self._import_one(row)
            except (ValueError, sqlite3.IntegrityError) as error:
                # Others come all the same. Its own device keeps it: the fault may be here.
                log.warning("a document of another device cannot be imported: %s", error)
                reason = str(error)
                await self._store.write(lambda c, id=row["id"], why=reason: note_unfit(c, id, why))  # type: ignore[misc]
        for user, id in await self._store.query(_to_remove):
            with suppress(NotFound):
                await self._importer.remove(user, id)

    async def _import_one(self, row: Mapping[str, Any]) -> None:
        """Import a document that has come, unless the same bytes are here already.

        Raises:
            ValueError, IntegrityError: it cannot be imported, here or elsewhere.
        """
        about = dict(zip(_FIELDS, msgpack.unpackb(row["about"]), strict=True))
        user, digest = row["user"], row["digest"]
        if await self._store.query(lambda c: index.find_by_digest(c, user, digest)) is None:
            try:
                text = await asyncio.to_thread(self._came, row["text"])
            except Failed as error:
                log.warning("the text of a document is asked for again: %s", error.message)
                await self._store.write(lambda c: want_blob(c, row["device"], row["text"], None))
                return
            document = NewDocument(digest=digest, text=text, **about)
            await self._importer.import_extracted(document, user, row["id"])
        needless = await self._store.write(lambda c: _settle(c, row, about["source"]))
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


def _rows(connection: sqlite3.Connection, query: str, *values: Any) -> list[dict[str, Any]]:
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _untold(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return documents that were added here and not told of, once for each place."""
    return _rows(
        connection,
        f"SELECT d.number, p.seen AS id, d.user, d.digest, {', '.join(_FIELDS)} "
        "FROM documents d JOIN document_places p ON p.document = d.number "
        f"WHERE d.complete AND {_UNTOLD} ORDER BY d.number LIMIT ?",
        _TOLD_AT_ONCE,
    )


# Of a place `p`: what another device added stands under an id that is known.
_UNTOLD: Final = "NOT EXISTS (SELECT 1 FROM shared_documents known WHERE known.id = p.seen)"


def _hashed(connection: sqlite3.Connection, row: Mapping[str, Any]) -> str:
    text = _read(connection, row["number"])
    return hashlib.sha256(text.encode()).hexdigest()


def _read(connection: sqlite3.Connection, number: int) -> str:
    characters = connection.execute(
        "SELECT characters FROM documents WHERE number = ?", (number,)
    ).fetchone()[0]
    return TextReader(connection).read(number, 0, characters)


def _tell(connection: sqlite3.Connection, row: Mapping[str, Any], at_ms: int) -> None:
    about = [row[name] for name in _FIELDS[:-1]] + [bool(row["untrusted"])]
    said = [row["id"], row["user"], row["digest"], row["text"], about]
    with changelog.writing(connection, at_ms) as log_:
        if log_ is None:
            return
        log_.add(_ADDED, *said)
        _record(connection, log_.device, said, "here")


def _record(connection: sqlite3.Connection, device: bytes, said: list[Any], state: str) -> None:
    id, user, digest, text, about = said
    connection.execute("DELETE FROM shared_documents WHERE id = ? AND device = x''", (id,))
    connection.execute(
        "INSERT OR IGNORE INTO shared_documents (id, user, digest, text, about, device, state) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (id, user, digest, text, msgpack.packb(about), device, state),
    )


def _tell_gone(connection: sqlite3.Connection, at_ms: int) -> bool:
    """Tell of adds that hold no more (invariant 3).

    Those are adds whose document is here no more, and of this device's own those whose place is
    not, or holds other bytes.
    """
    own = changelog.current(connection)
    if own is None:
        return False
    rows = connection.execute(
        "SELECT id FROM shared_documents s WHERE state = 'here' AND NOT EXISTS "
        "(SELECT 1 FROM documents d WHERE d.user = s.user AND d.digest = s.digest AND d.complete "
        "AND (s.device <> ? OR EXISTS (SELECT 1 FROM document_places p "
        "WHERE p.document = d.number AND p.seen = s.id)))",
        (own.device,),
    ).fetchall()
    ids = [row[0] for row in rows]
    if not ids:
        return False
    with changelog.writing(connection, at_ms) as log_:
        assert log_ is not None
        log_.add(_REMOVED, ids)
    _mark_gone(connection, ids)
    return True


def _mark_gone(connection: sqlite3.Connection, ids: list[str]) -> None:
    connection.executemany(
        "UPDATE shared_documents SET state = 'gone' WHERE id = ?", [(id,) for id in ids]
    )


def _fold_added(connection: sqlite3.Connection, source: Source, change: Change) -> None:
    id, user, digest, text, about = change.fields
    _require_document(id, user, digest, text, about)
    present = index.find_by_digest(connection, user, digest)
    _record(connection, source.log.device, change.fields, "here" if present else "coming")
    if present is None:
        want_blob(connection, source.log.device, text, None)
    else:
        _hold(connection, id, about[_FIELDS.index("source")])


def _require_document(id: Any, user: Any, digest: Any, text: Any, about: Any) -> None:
    """Check what another device says of a document.

    The digest of its text becomes the name of a file here, so it must be nothing but that.

    Raises:
        ValueError: it cannot be kept.
    """
    types = tuple(type(one) for one in about) if type(about) is list else ()
    fits = type(id) is type(user) is str and types == (str, str, str, int, str, bool)
    for one in (digest, text):
        fits = fits and type(one) is str and is_digest(one)
    if not fits or not 0 <= about[_FIELDS.index("size_bytes")] <= MAX_INTEGER:
        raise ValueError(_ADDED)


def _hold(connection: sqlite3.Connection, id: str, source: str) -> None:
    """Keep a document that is here for an add that counts, though its own file goes or changes."""
    connection.execute(
        "INSERT OR IGNORE INTO document_places (document, user, place, is_place, seen) "
        "SELECT d.number, d.user, ?, 0, s.id FROM shared_documents s JOIN documents d "
        "ON d.user = s.user AND d.digest = s.digest AND d.complete "
        "WHERE s.id = ? AND s.state = 'here' AND NOT EXISTS (SELECT 1 FROM document_places p "
        "WHERE p.document = d.number AND (p.seen = s.id OR p.is_place = 0))",
        (source, id),
    )


def _fold_removed(connection: sqlite3.Connection, source: Source, change: Change) -> None:
    (ids,) = change.fields
    for id in ids:
        # The add may come later, by another way: it is marked before it is known.
        connection.execute(
            "INSERT INTO shared_documents (id, user, digest, text, about, device, state) "
            "VALUES (?, '', '', '', x'90', ?, 'gone') "
            "ON CONFLICT (id) DO UPDATE SET state = 'gone', "
            "device = iif(device = x'', excluded.device, device)",
            (id, source.log.device),
        )


FOLDERS: Final[Mapping[str, Folder]] = {_ADDED: _fold_added, _REMOVED: _fold_removed}


def documents_of(change: Change) -> set[str]:
    """Return the ids of the documents that a change tells of."""
    if change.kind == _ADDED:
        return {change.fields[0]}
    return set(change.fields[0]) if change.kind == _REMOVED else set()


def disown(connection: sqlite3.Connection, ids: Iterable[str]) -> None:
    """Let documents be as if nobody had told of them, until a change that counts does again."""
    connection.executemany(
        "UPDATE shared_documents SET state = 'gone', device = x'' WHERE id = ?",
        [(id,) for id in ids],
    )


def _arrived(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return documents whose text is here and is not in the library yet, but for unfit ones."""
    return _rows(
        connection,
        "SELECT id, user, digest, text, about, device FROM shared_documents s "
        f"WHERE state = 'coming' AND {fit()} "
        "AND NOT EXISTS (SELECT 1 FROM wanted_blobs w WHERE w.digest = s.text) ORDER BY id LIMIT ?",
        _TOLD_AT_ONCE,
    )


def on_the_way(connection: sqlite3.Connection, job: int) -> dict[str, str]:
    """Return the documents that a job's owner has and that are still to come here, by their ids.

    Only for a job that came from another device, where they may be what it is about; what is told
    of later is none of them.

    Returns:
        Where each came from.
    """
    rows = connection.execute(
        "SELECT s.id, s.about FROM jobs j JOIN shared_documents s ON s.user = j.user "
        "WHERE j.number = ? AND s.state = 'coming' AND EXISTS "
        "(SELECT 1 FROM terms t WHERE t.job_id = j.id AND t.how <> 'begun')",
        (job,),
    )
    at = _FIELDS.index("source")
    return {id: msgpack.unpackb(about)[at] for id, about in rows}


def _settle(connection: sqlite3.Connection, row: Mapping[str, Any], source: str) -> list[str]:
    """Note that a document is here; return the texts that are needless as payloads now."""
    connection.execute(
        "UPDATE shared_documents SET state = 'here' WHERE id = ? AND state = 'coming'",
        (row["id"],),
    )
    _hold(connection, row["id"], source)
    waits = connection.execute(
        "SELECT 1 FROM shared_documents WHERE text = ? AND state = 'coming'", (row["text"],)
    )
    return [] if waits.fetchone() else [row["text"]]


def _to_remove(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return user and id of documents that everybody who added them has removed."""
    rows = connection.execute(
        "SELECT d.user, d.id FROM documents d JOIN shared_documents s ON s.user = d.user "
        "AND s.digest = d.digest WHERE d.complete AND NOT EXISTS (SELECT 1 FROM document_places p "
        f"WHERE p.document = d.number AND {_UNTOLD}) "
        "GROUP BY d.number HAVING min(s.state = 'gone') = 1"
    )
    return [(user, id) for user, id in rows]


def _text_of(connection: sqlite3.Connection, digest: str) -> str | None:
    """Return the text of a document of the library by its digest."""
    row = connection.execute(
        "SELECT d.number FROM shared_documents s JOIN documents d ON d.user = s.user "
        "AND d.digest = s.digest WHERE s.text = ? AND d.complete LIMIT 1",
        (digest,),
    ).fetchone()
    return None if row is None else _read(connection, row[0])
