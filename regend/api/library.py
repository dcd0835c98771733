"""Calls about the library: import, listing, search."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from aiohttp import BodyPartReader, StreamReader, web
from aiohttp.multipart import MultipartReader

from regend.api.call import BROKEN_BODY, Call, answer
from regend.api.endpoints import API, CURSOR, LIMIT, Endpoint, listing
from regend.errors import BadInput, Busy, NotFound, TooLarge
from regend.jsonschema import Schema, fields, text, whole, words
from regend.library import index, unreadable
from regend.library.importer import Importer
from regend.library.search import search
from regend.limits import (
    BODY_TIMEOUT_S,
    IMPORT_BYTES_AT_ONCE,
    IMPORTS_AT_ONCE,
    KIB,
    MAX_BODY_BYTES,
    MIB,
    MULTIPART_HEADS_BYTES,
    QUESTION_CHARACTERS,
)
from regend.store import Store

_NAME_CHARACTERS = 4096
_LINES_AT_ONCE = 64
_TEXT_END = 10**9  # beyond that of any document
_DESCRIBED: Schema = {
    "description": "{url}, or {title, source} with html or text, or a file",
    **fields(url=text(), title=text(), html=text(), text=text(), source=text()),
    "oneOf": [
        {"required": ["url"], "maxProperties": 1},
        {"required": ["title", "html", "source"], "maxProperties": 3},
        {"required": ["title", "text", "source"], "maxProperties": 3},
    ],
}


class LibraryCalls:
    """Handlers of `/library`.

    Args:
        max_upload_mb: largest file that is taken.
    """

    def __init__(self, store: Store, importer: Importer, max_upload_mb: int) -> None:
        self._store = store
        self._importer = importer
        self._max_bytes = max_upload_mb * MIB
        self._in_hand = _InHand()

    def endpoints(self) -> list[Endpoint]:
        """Return the table of these calls."""
        return [*self._reading(), *self._changing()]

    def _reading(self) -> list[Endpoint]:
        path = API + "/library"
        return [
            Endpoint(
                "GET",
                path,
                self.list,
                "List documents, newest first",
                "library:read",
                query=fields(limit=LIMIT, cursor=text()),
                answers=listing("documents", next_cursor=CURSOR, unreadable={"type": "array"}),
            ),
            Endpoint(
                "GET",
                path + "/search",
                self.search,
                "Search passages in plain words",
                "library:read",
                query=fields("q", q=words(QUESTION_CHARACTERS), limit={**LIMIT, "default": 10}),
                answers=listing("hits"),
            ),
            Endpoint(
                "GET",
                path + "/{document_id}/text",
                self.text,
                "The text of a document, or a span of it",
                "library:read",
                query=fields(
                    start=whole(0, _TEXT_END, default=0),
                    end=whole(0, _TEXT_END, default=_TEXT_END),
                ),
                answers={"type": "object", "required": ["document_id", "text"]},
            ),
        ]

    def _changing(self) -> list[Endpoint]:
        path = API + "/library"
        return [
            Endpoint(
                "POST",
                path,
                self.add,
                "Import a file, an address or a capture",
                "library:write",
                body=_DESCRIBED,
                multipart=True,
                status=201,
                answers={"type": "object", "required": ["id", "title"]},
                errors=(422, 500),
            ),
            Endpoint(
                "DELETE",
                path + "/unreadable",
                self.forget,
                "Strike a source off the record of what could not be read",
                "library:write",
                query=fields("source", source=text()),
                status=204,
                errors=(404,),
            ),
            Endpoint(
                "DELETE",
                path + "/{document_id}",
                self.remove,
                "Remove a document, or take it away from one of its places",
                "library:write",
                query=fields(place=text()),
                status=204,
            ),
        ]

    async def add(self, call: Call) -> web.Response:
        """Import what the body brings."""
        is_file = call.request.content_type == "multipart/form-data"
        largest = self._max_bytes if is_file else MAX_BODY_BYTES
        with self._in_hand.one_more(min(call.request.content_length or largest, largest)):
            added = await (self._add_file(call) if is_file else self._add_described(call))
        body = {**added.document.to_dict(), "created": added.is_new}
        return answer(body, 201, {"Location": f"{API}/library/{added.document.id}"})

    async def list(self, call: Call) -> dict[str, Any]:
        """List documents."""
        limit, cursor = call.query["limit"], call.query["cursor"]
        rows, following = await self._store.query(
            lambda c: index.list_documents(c, call.user, limit, cursor)
        )
        refused = await self._store.query(lambda c: unreadable.listing(c, call.user, limit))
        documents = [row.to_dict() for row in rows]
        return {"documents": documents, "next_cursor": following, "unreadable": refused}

    async def search(self, call: Call) -> dict[str, Any]:
        """Search passages."""
        question, limit = call.query["q"], call.query["limit"]
        hits = await self._store.query(lambda c: search(c, call.user, question, limit))
        return {"hits": [hit.to_dict() for hit in hits]}

    async def text(self, call: Call) -> dict[str, Any]:
        """Return a document's text."""
        start, end = call.query["start"], call.query["end"]
        document_id = call.path("document_id")
        found = await self._store.query(
            lambda c: index.document_text(c, call.user, document_id, start, end)
        )
        return {"document_id": document_id, "start": start, "text": found}

    async def remove(self, call: Call) -> None:
        """Remove a document, or take it away from one of its places."""
        place, document_id = call.query["place"], call.path("document_id")
        if place is None:
            await self._importer.remove(call.user, document_id)
        else:
            await self._importer.leave(call.user, document_id, place)

    async def forget(self, call: Call) -> None:
        """Strike a source off the record of what could not be read."""
        user, source = call.user, call.query["source"]
        if not await self._store.query(lambda c: unreadable.is_noted(c, user, source)):
            raise NotFound("source_not_found", "Nothing of this source is on record.")
        await self._store.write(lambda c: unreadable.forget(c, user, source))

    async def _add_described(self, call: Call) -> index.Added:
        """Import the address or the capture of a JSON body."""
        body = await call.checked_body(_DESCRIBED)
        url = body.pop("url")
        if url is not None:
            return await self._importer.import_url(url, call.user)
        return await self._importer.import_capture(**body, user=call.user)

    async def _add_file(self, call: Call) -> index.Added:
        """Import the part `file` of a multipart body."""
        try:
            lines = cast(StreamReader, _Measured(call.request.content))
            part = await _find_file(MultipartReader(call.request.headers, lines))
            content = await self._read(part)
        except TimeoutError as error:
            raise BadInput("body_slow", "The file took too long to arrive.") from error
        except (ValueError, AssertionError, *BROKEN_BODY) as error:
            # aiohttp asserts what it takes a multipart body to look like.
            raise BadInput(
                "multipart_invalid",
                "The multipart body is broken.",
                hint="Send multipart/form-data with one part named “file”.",
            ) from error
        name = (part.filename or "document").encode(errors="replace").decode()[:_NAME_CHARACTERS]
        media_type = part.headers.get("Content-Type", "")
        return await self._importer.import_file(
            content, name, call.user, media_type=media_type.partition(";")[0]
        )

    async def _read(self, part: BodyPartReader) -> bytes:
        content = bytearray()
        while chunk := await _next_chunk(part):
            content += chunk
            if len(content) > self._max_bytes:
                raise TooLarge(
                    "document_too_large",
                    f"The file is larger than {self._max_bytes // MIB} MiB.",
                    hint="Split it, or raise library.max_upload_mb in config.toml.",
                )
            await asyncio.sleep(0)
        return bytes(content)


class _InHand:
    """What is being imported at once: each is held in memory from its first byte on."""

    def __init__(self) -> None:
        self._count = 0
        self._bytes = 0

    @contextmanager
    def one_more(self, size_bytes: int) -> Iterator[None]:
        """Count one import while it goes on.

        Raises:
            Busy: there is no room beside those under way.
        """
        full = self._bytes + size_bytes > IMPORT_BYTES_AT_ONCE or self._count >= IMPORTS_AT_ONCE
        if self._count and full:
            raise Busy(
                "library_busy",
                "The library is busy with other documents.",
                hint="Send fewer at once; this one was not taken.",
                retry_after_s=2.0,
            )
        self._count += 1
        self._bytes += size_bytes
        try:
            yield
        finally:
            self._count -= 1
            self._bytes -= size_bytes


async def _next_chunk(part: BodyPartReader) -> bytes:
    async with asyncio.timeout(BODY_TIMEOUT_S):
        return await part.read_chunk(256 * KIB)


class _Measured:
    """A body whose lines are bounded; others have their turn between some of them.

    By itself aiohttp looks for the first boundary through as many lines as come, and never rests
    while some are there. What is in the parts is read in pieces, not in lines.
    """

    def __init__(self, content: StreamReader) -> None:
        self._content = content
        self._read_bytes = 0
        self._lines = 0

    async def readline(self, *, max_line_length: int | None = None) -> bytes:
        """Return the next line.

        Raises:
            ValueError: there are too many.
        """
        self._lines += 1
        if self._lines % _LINES_AT_ONCE == 0:
            await asyncio.sleep(0)
        line = await self._content.readline(max_line_length=max_line_length)
        self._read_bytes += len(line)
        if self._read_bytes > MULTIPART_HEADS_BYTES:
            raise ValueError("too many lines outside of the parts")
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._content, name)


async def _find_file(reader: MultipartReader) -> BodyPartReader:
    async with asyncio.timeout(BODY_TIMEOUT_S):
        async for part in reader:
            if not isinstance(part, BodyPartReader):
                raise ValueError("a part that is made of parts")
            if part.name == "file":
                return part
            await asyncio.sleep(0)
    raise BadInput("file_missing", "The multipart body has no part named “file”.", field="file")
