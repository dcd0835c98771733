"""Reading stretches of the stored texts."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from regend.library.documents import PIECE_CHARACTERS, unpack_piece


class TextReader:
    """Reads stretches of documents, unpacking each piece of text once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Read by this connection, within one transaction."""
        self._connection = connection
        self._last: tuple[int, int, str] = (-1, -1, "")

    def read(self, number: int, start: int, end: int) -> str:
        """Return the characters from `start` up to `end` of the document with this number."""
        return "".join(self._stretches(number, start, end))

    def _stretches(self, number: int, start: int, end: int) -> Iterator[str]:
        while start < end:
            first = start - start % PIECE_CHARACTERS
            piece = self._piece(number, first)
            if start - first >= len(piece):
                return
            yield piece[start - first : end - first]
            start = first + PIECE_CHARACTERS

    def _piece(self, number: int, first: int) -> str:
        if self._last[:2] != (number, first):
            row = self._connection.execute(
                "SELECT text FROM document_texts WHERE document = ? AND start = ?", (number, first)
            ).fetchone()
            self._last = (number, first, unpack_piece(row[0]) if row else "")
        return self._last[2]
