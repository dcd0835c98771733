"""From bytes to the plain text of a document.

Markdown and plain text are decoded in process. HTML, PDF and text of an unknown encoding go through
a child process (`extractor`), one document to a child, bounded in number, time, memory and output:
the daemon neither loads a parser of foreign formats nor dies with one.

Every refusal has a code: `document_empty`, `document_encrypted`, `document_broken`,
`document_too_large`, `media_type_unknown`.
"""

from __future__ import annotations

import asyncio
import codecs
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final
from weakref import WeakKeyDictionary

from regend.environment import for_child
from regend.errors import BadInput, Busy, RegendError
from regend.library.passages import HEADING_SEPARATOR, split
from regend.library.refusals import broken, too_large, unknown_type
from regend.library.words import guess_language
from regend.lifeline import Lifeline
from regend.limits import (
    EXTRACT_MEMORY_BYTES,
    EXTRACT_TIMEOUT_S,
    EXTRACTIONS_WAITING,
    MAX_DOCUMENT_CHARACTERS,
    MAX_TITLE_CHARACTERS,
)
from regend.processes import kill

MARKDOWN: Final = "text/markdown"
PLAIN: Final = "text/plain"
HTML: Final = "text/html"
PDF: Final = "application/pdf"

_BY_SUFFIX: Final = {
    ".md": MARKDOWN,
    ".markdown": MARKDOWN,
    ".mdown": MARKDOWN,
    ".html": HTML,
    ".htm": HTML,
    ".xhtml": HTML,
    ".pdf": PDF,
}
_KINDS: Final = {HTML: "html", "application/xhtml+xml": "html", PDF: "pdf"}
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SNIFFED_BYTES = 8192
_CONTROL_SHARE = 0.02  # of the first bytes; real text has next to none
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))
_HEADER_BYTES = 64 * 1024
_HTML_OPENING = re.compile(
    rb"\s*(?:<!--.*?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_UNWANTED = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff]")
_WORD_CHARACTER = re.compile(r"[^\W_]")
_STRETCH_CHARACTERS = 1 << 18  # a search holds the interpreter: others get it in between
_TITLE_SAMPLE_CHARACTERS = 8000
_CHILDREN = 2  # at once: each may take its whole bound of memory
_ROOMS: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, _Room]] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of a document, and what it says of itself.

    Attributes:
        text: plain text, or Markdown where the original had structure; line ends are `\\n`, pages
            of a PDF end in `\\f`; no NUL, no lone surrogate.
    """

    text: str
    title: str
    media_type: str
    language: str


async def extract(data: bytes, *, name: str, media_type: str = "") -> Extracted:
    """Return the text of a document.

    Args:
        data: the file, whole.
        name: file name or address; gives the type where nothing better does, and the title where
            the document has none.
        media_type: as declared by who sent it; empty or `application/octet-stream` if unknown.

    Raises:
        BadInput: there is no text in it, it is encrypted, or broken.
        TooLarge: its text is longer than the bound, or extracting it took too much.
        WrongMediaType: it is neither Markdown, text, HTML nor PDF.
    """
    kind = media_type_of(data, name=name, declared=media_type)
    if kind in _KINDS:
        title, text = await _by_child(_KINDS[kind], data)
    else:
        plain = await asyncio.to_thread(decoded, data)
        title, text = await _by_child("text", data) if plain is None else ("", plain)
    text = await asyncio.to_thread(_readable, text, kind)
    title = one_line(title) or _own_title(text, kind) or _name_title(name)
    return Extracted(text, title, kind, guess_language(text))


_EMPTY: Final = {
    PDF: "It may hold pictures of pages only, as a scan does: run text recognition (OCR) on it.",
    HTML: "It may build its text with scripts: save the page as a browser shows it.",
    MARKDOWN: "",
    PLAIN: "",
}


def media_type_of(data: bytes, *, name: str, declared: str = "") -> str:
    """Return the type as which a document is read: what it is comes before what it is called.

    Raises:
        WrongMediaType: it is binary and no PDF, or declared as something that holds no text.
    """
    if data[:1024].lstrip().startswith(b"%PDF-"):
        return PDF
    said = declared.partition(";")[0].strip().lower()
    if said in ("", "application/octet-stream", "binary/octet-stream"):
        said = _BY_SUFFIX.get(PurePosixPath(name.lower()).suffix, "")
    if said in (HTML, "application/xhtml+xml"):
        return HTML
    if said == PDF:
        raise broken("It is called a PDF and does not begin like one.")
    if (said and not said.startswith("text/")) and said not in ("application/json",):
        raise unknown_type(f"Documents of the type {said} cannot be read.")
    if _is_binary(data):
        raise unknown_type("This is a binary file, and no PDF.")
    if not said and _HTML_OPENING.match(data[:_SNIFFED_BYTES]):
        return HTML
    return MARKDOWN if said in (MARKDOWN, "text/x-markdown") else PLAIN


def _is_binary(data: bytes) -> bool:
    if any(data.startswith(mark) for mark, _ in _BOMS):
        return False
    head = data[:_SNIFFED_BYTES]
    controls = len(head) - len(head.translate(None, _CONTROLS))
    return b"\0" in head or controls > _CONTROL_SHARE * len(head)


def decoded(data: bytes) -> str | None:
    """Return text by its byte order mark or as UTF-8, None where it is in another encoding."""
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _cleaned(text: str) -> str:
    """Return text with `\\n` line ends and without control characters and lone surrogates."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not _holds(text, _UNWANTED):
        return text
    cleaned = (_UNWANTED.sub("\ufffd", text[low:high]) for low, high in _stretches(text))
    return "".join(cleaned).replace("\ufeff", "")


def _holds(text: str, character: re.Pattern[str]) -> bool:
    """Tell whether there is a character of a class in a text."""
    return any(character.search(text, low, high) for low, high in _stretches(text))


def _stretches(text: str) -> Iterator[tuple[int, int]]:
    for low in range(0, len(text), _STRETCH_CHARACTERS):
        yield low, low + _STRETCH_CHARACTERS


def _readable(text: str, kind: str) -> str:
    """Return a text cleaned; takes a while for a long one.

    Raises:
        BadInput: there is neither a letter nor a digit in it.
        TooLarge: it is longer than the bound.
    """
    text = _cleaned(text)
    if len(text) > MAX_DOCUMENT_CHARACTERS:
        raise too_large(f"Its text has more than {MAX_DOCUMENT_CHARACTERS:,} characters.")
    if not _holds(text, _WORD_CHARACTER):
        raise BadInput("document_empty", "There is no text in this document.", hint=_EMPTY[kind])
    return text


def one_line(title: str) -> str:
    """Return a title as one line of bounded length, free of control characters."""
    words = _UNWANTED.sub("", title[: 10 * MAX_TITLE_CHARACTERS]).split()
    return " ".join(words)[:MAX_TITLE_CHARACTERS]


def _own_title(text: str, kind: str) -> str:
    """Return the heading that a document begins with."""
    passages = split(text[:_TITLE_SAMPLE_CHARACTERS])
    if kind == PDF or not passages:
        return ""
    return one_line(passages[0].heading.partition(HEADING_SEPARATOR)[0])


def _name_title(name: str) -> str:
    path = PurePosixPath(name.replace("\\", "/").rstrip("/"))
    return one_line(path.stem or name) or "Untitled"


async def _by_child(kind: str, data: bytes) -> tuple[str, str]:
    """Return title and text of a document, extracted in a child process when there is room for one.

    Raises:
        Busy: too many wait already.
        RegendError: whatever the child found, or that it died or took too long.
    """
    room = _ROOMS.setdefault(asyncio.get_running_loop(), _Room())
    async with room.place():
        answer = await _answer_of_child(kind, data)
    return await asyncio.to_thread(_answer, answer)


class _Room:
    """The places for children; those of one loop, as its semaphore serves no other."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(_CHILDREN)
        self._waiting = 0

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place for a child, once one is free."""
        if self._waiting >= EXTRACTIONS_WAITING:
            raise Busy(
                "library_busy",
                "Too many documents wait to be read.",
                hint="Try again in a moment.",
                retry_after_s=5.0,
            )
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


async def _answer_of_child(kind: str, data: bytes) -> bytes:
    """Return what a child process writes about a document.

    Raises:
        TooLarge: it took too long, or wrote too much.
    """
    lifeline = Lifeline()
    process = await lifeline.start(
        *(sys.executable, "-P", "-W", "ignore", "-m", "regend.library.extractor"),
        *("regend", "extract", kind, str(EXTRACT_MEMORY_BYTES), str(int(EXTRACT_TIMEOUT_S))),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=for_child(os.environ),
    )
    try:
        async with asyncio.timeout(EXTRACT_TIMEOUT_S):
            answer, _ = await asyncio.gather(_read_bounded(process), _feed(process, data))
            await process.wait()
    except TimeoutError:
        raise too_large(f"Reading it took more than {EXTRACT_TIMEOUT_S:.0f} seconds.") from None
    finally:
        if process.returncode is None:
            kill(process.pid)
        lifeline.cut()
        await process.wait()
    return answer


async def _feed(process: asyncio.subprocess.Process, data: bytes) -> None:
    stdin = process.stdin
    assert stdin is not None
    try:
        stdin.write(data)
        await stdin.drain()
        stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        return  # the child is gone; its answer, or the lack of one, says why


async def _read_bounded(process: asyncio.subprocess.Process) -> bytes:
    stdout = process.stdout
    assert stdout is not None
    chunks: list[bytes] = []
    size = 0
    bound = 4 * MAX_DOCUMENT_CHARACTERS + _HEADER_BYTES
    while chunk := await stdout.read(1 << 20):
        size += len(chunk)
        if size > bound:
            raise too_large("Its text is longer than the library takes.")
        chunks.append(chunk)
    return b"".join(chunks)


def _answer(answer: bytes) -> tuple[str, str]:
    """Return title and text out of what the child wrote: a line of JSON, then the text."""
    header, newline, text = answer.partition(b"\n")
    if not newline:
        raise broken("It could not be read: the program that reads it gave up.")
    said: dict[str, Any] = json.loads(header)
    if "code" in said:
        raise RegendError.from_dict(said, int(said["status"]))
    return str(said["title"]), text.decode("utf-8", errors="replace")
