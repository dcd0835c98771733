"""Payloads as files, named by the SHA-256 of their content.

Order of a durable write: write, fsync, rename, fsync the folder, and only then commit the
reference. A file without a reference is harmless and is swept later; a reference without a file
cannot happen. Text payloads up to 32 KiB stay in their row: see `pack` and `unpack`.

Two writers may bring the same content while a third removes it. So what is found in place is
marked as new under the lock under which files are removed, and an adopted file goes only with the
last of those who adopted it, or is swept when nobody has referred to it for long.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from regend.errors import Failed
from regend.events import JOB_BESIDE
from regend.limits import INLINE_PAYLOAD_BYTES
from regend.store.files import private, sync_folder
from regend.store.writer import Probe, disk_refusal, no_probe

# Columns that hold a payload, or refer to one.
_PAYLOAD_COLUMNS: Final = (
    ("jobs", "input"),
    ("jobs", "result"),
    ("jobs", "error"),
    ("jobs", "waiting"),
    ("steps", "result"),
    ("dropped_steps", "result"),
    ("checkpoints", "data"),
    ("approvals", "preview"),
    ("effects", "receipt"),
)
# What may be of use later, with all that it refers to, whether in the open or packed.
_LATER_COLUMNS: Final = (
    *(("strays", "extra"), ("early_effects", "said"), ("coming_places", "data")),
    ("introductions", "columns"),
    ("events", "data"),  # of `JOB_BESIDE` alone
)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PACKED_REFERENCE: Final = re.compile(rb"@([0-9a-f]{64})")
REFERENCE_MARK = "@"  # no JSON text begins with it
_SWEEP_AGE_S = 3600.0  # a younger file may belong to a reference that is not committed yet


class Lost(Failed):
    """A payload that rows refer to is not here any more, or not as it was; `digest` names it."""

    def __init__(self, digest: str, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(code, message, hint=hint)
        self.digest = digest


class Blobs:
    """The blob folder of a home. Safe to use from several threads."""

    def __init__(self, folder: Path, probe: Probe = no_probe) -> None:
        self._folder = folder
        self._probe = probe
        self._lock = threading.Lock()
        self._adopted: Counter[str] = Counter()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return where the blob of this digest lies.

        Raises:
            ValueError: it is no digest, and would name a file elsewhere.
        """
        if not is_digest(digest):
            raise ValueError("no digest of a payload")
        return self._folder / digest[:2] / digest

    def put(self, content: bytes) -> str:
        """Store bytes durably and return their digest.

        Raises:
            Busy: the disk is full or failing; nothing is left behind.
        """
        digest = hashlib.sha256(content).hexdigest()
        target = self.path(digest)
        if self._renewed(target, len(content)):
            return digest
        temporary = self._temporary()
        try:
            with open(temporary, "xb", opener=private) as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            self._place(temporary, target)
        except OSError as error:
            raise disk_refusal(error) from error
        finally:
            temporary.unlink(missing_ok=True)
        return digest

    def adopt(self, file: Path) -> str:
        """Take over a file of the same file system durably and return its digest.

        The file is gone from its old place afterwards, also when its content was known.

        Raises:
            Failed: there is no such file.
            Busy: the disk is full or failing.
        """
        try:
            source = file.open("r+b")
        except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
            raise Failed(
                "file_missing", f"{file.name} is not there to be stored ({error.strerror})."
            ) from error
        try:
            with source:
                digest = hashlib.file_digest(source, "sha256").hexdigest()
                size_bytes = source.tell()
                os.fsync(source.fileno())
            file.chmod(0o600)
            with self._lock:
                self._adopted[digest] += 1
            try:
                target = self.path(digest)
                if self._renewed(target, size_bytes):
                    file.unlink()
                else:
                    self._place(file, target)
            except OSError:
                with self._lock:
                    self._let_go(digest)
                raise
        except OSError as error:
            raise disk_refusal(error) from error
        return digest

    def get(self, digest: str) -> bytes:
        """Return the bytes of a blob, verified against its name.

        Raises:
            Lost: the file is missing or its content changed on disk.
        """
        try:
            content = self.path(digest).read_bytes()
        except FileNotFoundError as error:
            raise _missing(digest) from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise Lost(
                digest,
                "blob_damaged",
                f"The stored payload {digest[:12]} was changed on disk.",
                hint="Restore it from a backup: regend restore.",
            )
        return content

    def set_aside(self, digest: str) -> None:
        """Let a blob that is not what it is named by lie there no more, so that it can come anew.

        What is left of it is swept after a while.
        """
        if not self.is_whole(digest):
            file = self.path(digest)
            with contextlib.suppress(OSError):
                os.replace(file, file.with_name(f"{digest}.damaged"))

    def is_whole(self, digest: str) -> bool:
        """Tell whether a blob is here, with the content that it is named by."""
        try:
            with self.path(digest).open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == digest
        except OSError:
            return False

    def require(self, digest: str) -> None:
        """Check that there is a blob of this digest, whatever its content.

        Raises:
            Lost: there is none.
        """
        if not self.path(digest).exists():
            raise _missing(digest)

    def discard(self, digests: Iterable[str]) -> None:
        """Remove adopted files that nothing refers to any more; missing ones are fine.

        One that was adopted again meanwhile stays: its reference may not be committed yet.
        """
        for digest in digests:
            with self._lock:
                if self._let_go(digest):
                    with contextlib.suppress(OSError):  # what is held open is swept later
                        self.path(digest).unlink(missing_ok=True)

    def sweep(self, referenced: set[str], now_s: float | None = None) -> int:
        """Remove old files that nothing refers to, and return how many."""
        now = time.time() if now_s is None else now_s
        removed = 0
        for file in self._files():
            with self._lock:
                if file.name not in referenced and now - _changed_s(file, now) > _SWEEP_AGE_S:
                    file.unlink(missing_ok=True)
                    self._adopted.pop(file.name, None)
                    removed += 1
        return removed

    def pack(self, text: str) -> str:
        """Return what a payload column holds: the JSON text itself, or a blob reference."""
        content = text.encode()
        if len(content) <= INLINE_PAYLOAD_BYTES:
            return text
        return REFERENCE_MARK + self.put(content)

    def has(self, column: str) -> bool:
        """Tell whether what a payload column refers to lies here."""
        digest = reference(column)
        return digest is None or self.path(digest).exists()

    def unpack(self, column: str) -> str:
        """Return the JSON text that `pack` stored.

        Raises:
            Failed: it is missing or damaged, or what another device sent in its place is no text.
        """
        digest = reference(column)
        try:
            return column if digest is None else self.get(digest).decode()
        except UnicodeDecodeError as error:
            raise _unreadable() from error

    def value(self, column: str) -> Any:
        """Return the value whose JSON text `pack` stored.

        Raises:
            Failed: as `unpack`, or it is no JSON.
        """
        try:
            return json.loads(self.unpack(column))
        except (ValueError, RecursionError) as error:
            raise _unreadable() from error

    def _files(self) -> Iterator[Path]:
        """Yield every blob, and what an interrupted write left."""
        for entry in self._folder.iterdir():
            if entry.is_dir():
                yield from entry.iterdir()
            else:
                yield entry

    def _let_go(self, digest: str) -> bool:
        """Count one fewer who adopted a file; True with the last of them."""
        self._adopted[digest] -= 1
        if self._adopted[digest] > 0:
            return False
        del self._adopted[digest]
        return True

    def _temporary(self) -> Path:
        # Not named by the process: in a container its id is the same after every start.
        return self._folder / f"tmp-{secrets.token_hex(8)}"

    def _renewed(self, target: Path, size_bytes: int) -> bool:
        """Keep a blob that is in place already from being swept; False where it is not whole."""
        with self._lock:
            try:
                if target.stat().st_size != size_bytes:
                    return False
                os.utime(target)
            except OSError:
                return False
            return True

    def _place(self, temporary: Path, target: Path) -> None:
        self._probe("blob:before-rename")
        target.parent.mkdir(mode=0o700, exist_ok=True)
        os.replace(temporary, target)
        sync_folder(target.parent)
        sync_folder(self._folder)
        self._probe("blob:after-rename")


def _missing(digest: str) -> Lost:
    return Lost(digest, "blob_missing", f"The stored payload {digest[:12]} is missing.")


def _unreadable() -> Failed:
    return Failed(
        "payload_unreadable",
        "A stored payload cannot be read: the device that wrote it sent something else.",
        hint="Update regend on that device; if you do not trust it, revoke it.",
    )


def is_digest(text: str) -> bool:
    """Tell whether a text names a payload."""
    return _DIGEST.fullmatch(text) is not None


def reference(column: str | None) -> str | None:
    """Return the digest that a payload column refers to, or None where the payload is inline."""
    if column is not None and column.startswith(REFERENCE_MARK):
        return column[1:]
    return None


def references(connection: sqlite3.Connection) -> set[str]:
    """Return the digest of every blob that a payload or a saved model state refers to.

    Also in a database of an earlier schema, which has fewer tables.
    """
    rows = connection.execute("SELECT slot FROM checkpoints WHERE slot IS NOT NULL")
    found = {str(row[0]) for row in rows}
    for table, column in _there(connection, _PAYLOAD_COLUMNS):
        rows = connection.execute(
            f"SELECT {column} FROM {table} WHERE substr({column}, 1, 1) = '{REFERENCE_MARK}'"
        )
        found |= {digest for row in rows if (digest := reference(row[0]))}
    return found


def later_references(connection: sqlite3.Connection) -> set[str]:
    """Return the digests that rows refer to which are of no use now, and may be later.

    Where such a payload lies here it is kept; it need not. Also in a database of an earlier schema.
    """
    found: set[str] = set()
    of = {"events": f"WHERE type = '{JOB_BESIDE}'"}
    for table, column in _there(connection, _LATER_COLUMNS):
        rows = connection.execute(f"SELECT CAST({column} AS BLOB) FROM {table} {of.get(table, '')}")
        for packed in (row[0] for row in rows if row[0]):
            found |= {one.decode() for one in _PACKED_REFERENCE.findall(packed)}
    return found


def still_to_come(connection: sqlite3.Connection) -> set[str]:
    """Return the digests of payloads that another device has not sent yet."""
    return {
        row[0]
        for table, column in _there(connection, [("wanted_blobs", "digest")])
        for row in connection.execute(f"SELECT {column} FROM {table}")
    }


def _there(
    connection: sqlite3.Connection, columns: Iterable[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Return those of the columns whose table the database has."""
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    tables = {row[0] for row in rows}
    return [one for one in columns if one[0] in tables]


def _changed_s(file: Path, otherwise: float) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return otherwise
