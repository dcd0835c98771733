"""Where documents are: files and addresses, each of which holds one document at a time.

Functions that take the connection. Rules:
 1. What comes to a place takes it over from what was there. A document that is left without any
    place goes, unless somebody brought it by hand: what was captured or uploaded is nowhere, and
    nothing takes its place.
 2. The same bytes at several places are one document, which is shown where it was seen last.
 3. Of two imports of one place, the one that began later holds it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from regend.errors import NotFound
from regend.library import index
from regend.library.documents import DocumentRow
from regend.library.index import Added


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one import found its document.

    Attributes:
        place: a path, an address or a name.
        is_place: it can be looked at again, and holds what came from there last.
        id: of the import, sortable.
    """

    place: str
    is_place: bool
    id: str


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a document, and the number of one that is hidden now, for `index.purge`."""

    added: Added
    hidden: int | None = None


def knows(connection: sqlite3.Connection, document: DocumentRow, origin: Origin) -> bool:
    """Tell whether a document is said to be where it was found: a look costs less than a write."""
    if origin.is_place and document.source != origin.place:
        return False
    found = connection.execute(
        "SELECT 1 FROM document_places WHERE document = ? AND is_place = ? AND (? OR place = ?)",
        (document.number, origin.is_place, not origin.is_place, origin.place),
    )
    return found.fetchone() is not None


def settle(connection: sqlite3.Connection, user: str, added: Added, origin: Origin) -> Settled:
    """Let a document be where it was found, instead of what came there before this import."""
    number, held = added.document.number, None
    if origin.is_place:
        held = connection.execute(
            "SELECT document, seen FROM document_places WHERE user = ? AND place = ? AND is_place",
            (user, origin.place),
        ).fetchone()
        if held is not None and held[0] != number and held[1] > origin.id:
            hidden = _hide_if_nowhere(connection, number) if added.is_new else None
            return Settled(Added(index.document_of(connection, held[0]), False), hidden)
    elif knows(connection, added.document, origin):
        return Settled(added)
    connection.execute(
        "INSERT OR REPLACE INTO document_places (document, user, place, is_place, seen)"
        " VALUES (?, ?, ?, ?, ?)",
        (number, user, origin.place, origin.is_place, origin.id),
    )
    _show_newest(connection, number)
    hidden = None
    if held is not None and held[0] != number:
        hidden = _hide_if_nowhere(connection, held[0])
    return Settled(Added(index.document_of(connection, number), added.is_new), hidden)


def leave(connection: sqlite3.Connection, user: str, id: str, place: str) -> int | None:
    """Take a document away from one of its places; return its number if that was the last.

    Where another device has it at a place of the same name, it stays there.

    Raises:
        NotFound: the user has no such document, or it is not there.
    """
    document = index.get_document(connection, user, id)
    if place not in document.places:
        raise NotFound("place_not_found", "The document is not at this place.", field="place")
    connection.execute(
        "DELETE FROM document_places WHERE document = ?1 AND place = ?2 AND is_place = "
        "(SELECT max(is_place) FROM document_places WHERE document = ?1 AND place = ?2)",
        (document.number, place),
    )
    return _hide_if_nowhere(connection, document.number)


def _hide_if_nowhere(connection: sqlite3.Connection, number: int) -> int | None:
    """Show a document where it still is; hide it, and return its number, where that is nowhere."""
    if not _show_newest(connection, number):
        connection.execute("UPDATE documents SET complete = 0 WHERE number = ?", (number,))
        return number
    return None


def _show_newest(connection: sqlite3.Connection, number: int) -> bool:
    """Let a document be shown at its newest place; False where it has none."""
    row = connection.execute(
        "SELECT place FROM document_places WHERE document = ?"
        " ORDER BY is_place DESC, seen DESC LIMIT 1",
        (number,),
    ).fetchone()
    if row is not None:
        connection.execute("UPDATE documents SET source = ? WHERE number = ?", (row[0], number))
    return row is not None
