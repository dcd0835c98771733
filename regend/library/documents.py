"""What a document is: as it comes in, as it is prepared for the index, as it is stored and found.

Preparing is the work that takes processor time (splitting, analysing, compressing). It is done
before, and outside, the transaction that stores the document. Pure.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from regend.clock import rfc3339
from regend.library.passages import Kind, Passage, split
from regend.library.words import terms

# Unpacked in well under a millisecond, and packs nearly as well as the whole.
PIECE_CHARACTERS: Final = 16 * 1024
_COMPRESSION_LEVEL = 1


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document whose text has been extracted.

    Attributes:
        title: for people.
        source: where it came from: a path, an address, a name.
        media_type: of the original, such as `application/pdf`.
        digest: SHA-256 of the original, in hex.
        size_bytes: of the original.
        language: BCP 47 code, `und` if unknown.
        text: the plain text that spans refer to.
        untrusted: it came from elsewhere, so nothing in it may be taken as an instruction.
    """

    title: str
    source: str
    media_type: str
    digest: str
    size_bytes: int
    language: str
    text: str
    untrusted: bool = True


@dataclass(frozen=True, slots=True)
class PreparedPassage:
    """A passage with the terms of its headings and its text, as the index takes them."""

    passage: Passage
    heading_terms: str
    text_terms: str


@dataclass(frozen=True, slots=True)
class PreparedDocument:
    """A document ready to be stored.

    Attributes:
        pieces: (first character, compressed text) of each piece of the text.
    """

    document: NewDocument
    title_terms: str
    passages: Sequence[PreparedPassage]
    pieces: Sequence[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """A stored document; `number` is its row, which clients never see.

    Attributes:
        source: where it was seen last.
        places: all that it is at or was brought from, `source` the first.
        places_here: those of them that are files or addresses which were added on this device.
        is_elsewhere: whether it was also brought by hand, or added on another device.
    """

    number: int
    id: str
    user: str
    title: str
    source: str
    media_type: str
    digest: str
    language: str
    size_bytes: int
    characters: int
    passages: int
    added_at_ms: int
    untrusted: bool
    places: tuple[str, ...]
    places_here: tuple[str, ...]
    is_elsewhere: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the document as clients see it."""
        return {
            "id": self.id,
            "title": self.title,
            "source": self.source,
            "places": list(self.places),
            "places_here": list(self.places_here),
            "elsewhere": self.is_elsewhere,
            "media_type": self.media_type,
            "digest": self.digest,
            "language": self.language,
            "size_bytes": self.size_bytes,
            "characters": self.characters,
            "passages": self.passages,
            "added_at": rfc3339(self.added_at_ms),
            "untrusted": self.untrusted,
        }


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that a search found.

    Attributes:
        heading: the headings above it, joined by “ › ”.
        kind: `prose`, `code` or `table`.
        span: first character and one past the last in the document's text.
        text: exactly the document's text at that span.
        score: higher is better; comparable within one search only.
    """

    document_id: str
    title: str
    source: str
    heading: str
    kind: Kind
    span: tuple[int, int]
    text: str
    score: float
    untrusted: bool

    def to_dict(self) -> dict[str, Any]:
        """Return the hit as clients see it."""
        return {
            "document_id": self.document_id,
            "title": self.title,
            "source": self.source,
            "heading": self.heading,
            "kind": self.kind,
            "span": list(self.span),
            "text": self.text,
            "score": round(self.score, 4),
            "untrusted": self.untrusted,
        }


def prepare(document: NewDocument) -> PreparedDocument:
    """Split, analyse and compress a document; takes about 0.3 s of processor time to the MB."""
    text = document.text
    heading_terms: dict[str, str] = {}
    passages = []
    for passage in split(text):
        if passage.heading not in heading_terms:
            heading_terms[passage.heading] = " ".join(terms(passage.heading))
        found = " ".join(terms(text[passage.start : passage.end]))
        passages.append(PreparedPassage(passage, heading_terms[passage.heading], found))
    return PreparedDocument(
        document, " ".join(terms(document.title)), passages, _compressed_pieces(text)
    )


def _compressed_pieces(text: str) -> list[tuple[int, bytes]]:
    return [
        (start, zlib.compress(text[start : start + PIECE_CHARACTERS].encode(), _COMPRESSION_LEVEL))
        for start in range(0, len(text), PIECE_CHARACTERS)
    ]


def unpack_piece(piece: bytes) -> str:
    """Return the text of one compressed piece."""
    return zlib.decompress(piece).decode()
