"""What the devices have told each other of documents, and what follows from it here.

A row of `shared_documents` is an add of a document under its id: `coming` until the document is in
this library, `here` from then on, `gone` once it was removed by anybody who knew of it. A row
without a device holds nothing that counts (`disown`).
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgpack

from regend.jobs.arrivals import want_blob
from regend.library import index
from regend.library.texts import TextReader
from regend.limits import MAX_INTEGER
from regend.mesh.unfit import fit
from regend.store import changelog
from regend.store.blobs import is_digest
from regend.store.change import Change
from regend.sync.replica import Folder, Source

_ADDED: Final = "document"
_REMOVED: Final = "document gone"
_FIELDS: Final = ("title", "source", "media_type", "size_bytes", "language", "untrusted")
_AT_ONCE: Final = 20

# Of a place `p`: what another device added stands under an id that is known.
_UNTOLD: Final = "NOT EXISTS (SELECT 1 FROM shared_documents known WHERE known.id = p.seen)"


def untold(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return documents that were added here and not told of, once for each place."""
    return _rows(
        connection,
        f"SELECT d.number, p.seen AS id, d.user, d.digest, {', '.join(_FIELDS)} "
        "FROM documents d JOIN document_places p ON p.document = d.number "
        f"WHERE d.complete AND {_UNTOLD} ORDER BY d.number LIMIT ?",
        _AT_ONCE,
    )


def text_digest(connection: sqlite3.Connection, number: int) -> str:
    """Return the digest of a document's extracted text, under which it goes as a payload."""
    text = _read(connection, number)
    return hashlib.sha256(text.encode()).hexdigest()


def _read(connection: sqlite3.Connection, number: int) -> str:
    characters = connection.execute(
        "SELECT characters FROM documents WHERE number = ?", (number,)
    ).fetchone()[0]
    return TextReader(connection).read(number, 0, characters)


def tell(connection: sqlite3.Connection, row: Mapping[str, Any], text: str, at_ms: int) -> None:
    """Tell the other devices of a document.

    Args:
        row: one of `untold`.
        text: the digest of its text.
    """
    about = [row[name] for name in _FIELDS[:-1]] + [bool(row["untrusted"])]
    said = [row["id"], row["user"], row["digest"], text, about]
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


def tell_gone(connection: sqlite3.Connection, at_ms: int) -> bool:
    """Tell of adds that hold no more; return whether there were any.

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
    connection.executemany(
        "UPDATE shared_documents SET state = 'gone' WHERE id = ?", [(id,) for id in ids]
    )
    return True


def _fold_added(connection: sqlite3.Connection, source: Source, change: Change) -> None:
    id, user, digest, text, about = change.fields
    _require_document(id, user, digest, text, about)
    present = index.find_by_digest(connection, user, digest)
    _record(connection, source.log.device, change.fields, "here" if present else "coming")
    if present is None:
        want_blob(connection, source.log.device, text, None)
    else:
        _hold(connection, id, _source(about))


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


def _source(about: list[Any]) -> str:
    source: str = about[_FIELDS.index("source")]
    return source


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


def description(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was told of a document, one of `arrived`: `title`, `source` and so on."""
    return dict(zip(_FIELDS, msgpack.unpackb(row["about"]), strict=True))


def arrived(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return documents whose text is here and is not in the library yet, but for unfit ones."""
    return _rows(
        connection,
        "SELECT id, user, digest, text, about, device FROM shared_documents s "
        f"WHERE state = 'coming' AND {fit()} "
        "AND NOT EXISTS (SELECT 1 FROM wanted_blobs w WHERE w.digest = s.text) ORDER BY id LIMIT ?",
        _AT_ONCE,
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
    return {id: _source(msgpack.unpackb(told)) for id, told in rows}


def settle(connection: sqlite3.Connection, row: Mapping[str, Any]) -> list[str]:
    """Note that a document is here; return the texts that are needless as payloads now."""
    connection.execute(
        "UPDATE shared_documents SET state = 'here' WHERE id = ? AND state = 'coming'",
        (row["id"],),
    )
    _hold(connection, row["id"], description(row)["source"])
    waits = connection.execute(
        "SELECT 1 FROM shared_documents WHERE text = ? AND state = 'coming'", (row["text"],)
    )
    return [] if waits.fetchone() else [row["text"]]


def to_remove(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return user and id of documents that everybody who added them has removed."""
    rows = connection.execute(
        "SELECT d.user, d.id FROM documents d JOIN shared_documents s ON s.user = d.user "
        "AND s.digest = d.digest WHERE d.complete AND NOT EXISTS (SELECT 1 FROM document_places p "
        f"WHERE p.document = d.number AND {_UNTOLD}) "
        "GROUP BY d.number HAVING min(s.state = 'gone') = 1"
    )
    return [(user, id) for user, id in rows]


def text_of(connection: sqlite3.Connection, digest: str) -> str | None:
    """Return the text of a document of the library by the text's digest."""
    row = connection.execute(
        "SELECT d.number FROM shared_documents s JOIN documents d ON d.user = s.user "
        "AND d.digest = s.digest WHERE s.text = ? AND d.complete LIMIT 1",
        (digest,),
    ).fetchone()
    return None if row is None else _read(connection, row[0])


def _rows(connection: sqlite3.Connection, query: str, *values: Any) -> list[dict[str, Any]]:
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]
