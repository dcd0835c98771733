"""The extractor process: one document on standard input, its text on standard output.

Started by `extract` as `… -m regend.library.extractor regend extract KIND MEMORY SECONDS`. It
answers with one line of JSON (`{"title"}`, or an error as `RegendError.to_dict` with its status)
and, after a title, the text in UTF-8. It may die instead: that means the document is broken.

Limits that the system holds: memory, processor time, and an alarm so that it ends by itself should
the daemon be killed. It writes no file and opens no connection.
"""

from __future__ import annotations

import json
import re
import signal
import sys
from typing import IO

from regend.errors import RegendError
from regend.library.refusals import too_large
from regend.limits import MAX_DOCUMENT_CHARACTERS

_META_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{2,40})", re.I
)
_HEAD_BYTES = 4096
_DETECTED_BYTES = 64 * 1024


def main(arguments: list[str]) -> None:
    """Answer for one document: `regend extract KIND MEMORY_BYTES SECONDS`."""
    kind, memory_bytes, seconds = arguments[2:5]
    _limit(int(memory_bytes), int(seconds))
    data = sys.stdin.buffer.read()
    try:
        title, text = _READERS[kind](data)
        if len(text) > MAX_DOCUMENT_CHARACTERS:
            raise too_large(f"Its text has more than {MAX_DOCUMENT_CHARACTERS:,} characters.")
    except RegendError as error:
        _refuse(error)
    except MemoryError:
        _refuse(too_large("Reading it takes more memory than a document may."))
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


def _read_text(data: bytes) -> tuple[str, str]:
    """Return text in an encoding that has to be guessed."""
    return "", _guessed(data)


def _guessed(data: bytes) -> str:
    import charset_normalizer  # heavy, and rarely needed

    best = charset_normalizer.from_bytes(data[:_DETECTED_BYTES]).best()
    # Undecided means a short text of a Western system, as nearly every such file is.
    return data.decode(best.encoding if best else "cp1252", errors="replace")


def _read_html(data: bytes) -> tuple[str, str]:
    from regend.library import webpage  # heavy: loads lxml

    return webpage.read(_decoded_html(data))


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
    from regend.library import pdf  # heavy: loads pypdf

    return pdf.read(data)


_READERS = {"text": _read_text, "html": _read_html, "pdf": _read_pdf}

if __name__ == "__main__":
    main(sys.argv[1:])
