"""The extractor process: one document on standard input, its text on standard output.

Started by `extract` as `… -m regend.library.extractor regend extract KIND MEMORY SECONDS`. It
answers with one line of JSON (`{"title"}`, or an error as `RegendError.to_dict` with its status)
and, after a title, the text in UTF-8. It may die instead: that means the document is broken.

Limits that the system holds: memory, processor time, and an alarm so that it ends by itself should
the daemon be killed. It writes no file and opens no connection.
"""

from __future__ import annotations

import io
import json
import re
import signal
import sys
from html.parser import HTMLParser
from typing import IO

from regend.errors import BadInput, RegendError, TooLarge
from regend.limits import MAX_DOCUMENT_CHARACTERS

_META_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{2,40})", re.I
)
_HEAD_BYTES = 4096
_UNREAD = frozenset({"script", "style", "template", "title", "noscript"})
_INLINE = frozenset(
    {"a", "b", "i", "em", "strong", "code", "span", "sub", "sup", "u", "small", "abbr"}
)
_DETECTED_BYTES = 64 * 1024
_SHORT_SHARE = 0.2  # of a page's text; less than that, and what was taken for padding is kept


def main(arguments: list[str]) -> None:
    """Answer for one document: `regend extract KIND MEMORY_BYTES SECONDS`."""
    kind, memory_bytes, seconds = arguments[2:5]
    _limit(int(memory_bytes), int(seconds))
    data = sys.stdin.buffer.read()
    try:
        title, text = _READERS[kind](data)
        if len(text) > MAX_DOCUMENT_CHARACTERS:
            raise _too_large(f"Its text has more than {MAX_DOCUMENT_CHARACTERS:,} characters.")
    except RegendError as error:
        _refuse(error)
    except MemoryError:
        _refuse(_too_large("Reading it takes more memory than a document may."))
    else:
        _write(sys.stdout.buffer, {"title": title}, text)


def _limit(memory_bytes: int, seconds: int) -> None:
    """Bound memory and time, where the system can."""
    if hasattr(signal, "alarm"):
        signal.alarm(seconds + 5)
    try:
        import resource  # not on Windows
    except ImportError:
        return
    for which, bound in ((resource.RLIMIT_AS, memory_bytes), (resource.RLIMIT_CPU, seconds)):
        try:
            resource.setrlimit(which, (bound, bound))
        except (ValueError, OSError):
            continue  # macOS refuses some; time and output stay bounded by the daemon


def _write(stdout: IO[bytes], header: dict[str, object], text: str) -> None:
    stdout.write(json.dumps(header).encode() + b"\n")
    stdout.write(text.encode("utf-8", errors="replace"))
    stdout.flush()


def _refuse(error: RegendError) -> None:
    _write(sys.stdout.buffer, {**error.to_dict(), "status": error.status}, "")


def _too_large(message: str) -> TooLarge:
    return TooLarge("document_too_large", message, hint="Split it, and add the parts.")


def _read_text(data: bytes) -> tuple[str, str]:
    """Return text in an encoding that has to be guessed."""
    return "", _guessed(data)


def _guessed(data: bytes) -> str:
    import charset_normalizer  # heavy, and rarely needed

    best = charset_normalizer.from_bytes(data[:_DETECTED_BYTES]).best()
    # Undecided means a short text of a Western system, as nearly every such file is.
    return data.decode(best.encoding if best else "cp1252", errors="replace")


def _read_html(data: bytes) -> tuple[str, str]:
    """Return title and main text of a page as Markdown, without menus, scripts and styles."""
    import trafilatura  # heavy: loads lxml

    html = _decoded_html(data)
    everything = _BareText.of(html)
    tree = trafilatura.load_html(html)
    if tree is None:  # nested too deeply for the parser, or hardly HTML at all
        return "", everything
    title = tree.findtext(".//title") or tree.findtext(".//h1") or ""
    text = trafilatura.extract(
        tree,
        output_format="markdown",
        include_comments=False,
        include_links=False,
        include_tables=True,
        favor_recall=True,
    )
    # On a short or unusual page the search for the main part throws the text away with the rest.
    if not text or len(text) < _SHORT_SHARE * len(everything):
        text = everything
    return title, text


class _BareText(HTMLParser):
    """The text of a page without any judgement of what matters in it."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._parts: list[str] = []
        self._skipped = ""

    @classmethod
    def of(cls, html: str) -> str:
        """Return the text of a page, a line to each element that is not part of a line."""
        parser = cls()
        parser.feed(html)
        parser.close()
        lines = (" ".join(line.split()) for line in "".join(parser._parts).split("\n"))
        return "\n".join(line for line in lines if line)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a line, or a stretch to skip."""
        if tag in _UNREAD and not self._skipped:
            self._skipped = tag
        if tag not in _INLINE:
            self._parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """End a line, or a stretch to skip."""
        if tag == self._skipped:
            self._skipped = ""
        if tag not in _INLINE:
            self._parts.append("\n")

    def handle_data(self, data: str) -> None:
        """Keep text that a reader of the page sees."""
        if not self._skipped:
            self._parts.append(data.replace("\n", " "))


def _decoded_html(data: bytes) -> str:
    """Return a page as text: by its mark, as UTF-8, as it says itself, or by a guess."""
    for encoding in ("utf-8-sig", "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    if declared := _META_CHARSET.search(data[:_HEAD_BYTES]):
        try:
            return data.decode(declared[1].decode("ascii"), errors="replace")
        except LookupError:
            pass
    return _guessed(data)


def _read_pdf(data: bytes) -> tuple[str, str]:
    """Return title and text of a PDF, each page ended by a form feed."""
    import pypdf  # heavy
    from pypdf.errors import PyPdfError

    try:
        reader = pypdf.PdfReader(io.BytesIO(data))
        # Many files are “encrypted” with an empty password, only to forbid printing.
        if reader.is_encrypted and not reader.decrypt(""):
            raise BadInput(
                "document_encrypted",
                "This PDF is protected by a password.",
                hint="Save a copy without the password, and add that.",
            )
        title = (reader.metadata.title if reader.metadata else None) or ""
        return str(title), _pages(reader)
    except PyPdfError as error:
        raise BadInput(
            "document_broken",
            f"This PDF is broken: {error}.",
            hint="Open it in another program and save it again.",
        ) from error


def _pages(reader: object) -> str:
    """Return the text of the pages, parted by form feeds."""
    pages = []
    size = 0
    for page in reader.pages:  # type: ignore[attr-defined]  # typed where pypdf is imported
        text = page.extract_text()
        size += len(text)
        if size > MAX_DOCUMENT_CHARACTERS:
            raise _too_large(f"Its text has more than {MAX_DOCUMENT_CHARACTERS:,} characters.")
        pages.append(f"{text}\n\f\n")
    return "".join(pages)


_READERS = {"text": _read_text, "html": _read_html, "pdf": _read_pdf}

if __name__ == "__main__":
    main(sys.argv[1:])
