"""Payloads as files, named by the SHA-256 of their content.

Order of a durable write: write, fsync, rename, fsync the folder, and only then commit the
reference. A file without a reference is harmless and is swept later; a reference without a file
cannot happen. Text payloads up to 32 KiB stay in their row: see `pack` and `unpack`.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from regend.errors import Failed
from regend.limits import INLINE_PAYLOAD_BYTES, MIB
from regend.store.writer import Probe, disk_refusal, no_probe

_REFERENCE_MARK = "@"  # no JSON text begins with it
_SWEEP_AGE_S = 3600.0  # a younger file may belong to a reference that is not committed yet


class Blobs:
    """The blob folder of a home. Safe to use from several threads."""

    def __init__(self, folder: Path, probe: Probe = no_probe) -> None:
        self._folder = folder
        self._probe = probe
        self._lock = threading.Lock()
        self._counter = 0
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Return where the blob of this digest lies."""
        return self._folder / digest[:2] / digest

    def put(self, content: bytes) -> str:
        """Store bytes durably and return their digest.

        Raises:
            Busy: the disk is full or failing; nothing is left behind.
        """
        digest = hashlib.sha256(content).hexdigest()
        target = self.path(digest)
        if target.exists():
            os.utime(target)
            return digest
        temporary = self._temporary()
        try:
            with open(temporary, "xb", opener=_private) as file:
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
        """
        digest = hashlib.sha256()
        try:
            with file.open("r+b") as source:
                while chunk := source.read(MIB):
                    digest.update(chunk)
                os.fsync(source.fileno())
            target = self.path(digest.hexdigest())
            if target.exists():
                os.utime(target)
                file.unlink()
            else:
                self._place(file, target)
        except OSError as error:
            raise disk_refusal(error) from error
        return target.name

    def get(self, digest: str) -> bytes:
        """Return the bytes of a blob, verified against its name.

        Raises:
            Failed: the file is missing or its content changed on disk.
        """
        try:
            content = self.path(digest).read_bytes()
        except FileNotFoundError as error:
            raise Failed("blob_missing", f"The stored payload {digest[:12]} is missing.") from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise Failed(
                "blob_damaged",
                f"The stored payload {digest[:12]} was changed on disk.",
                hint="Restore it from a backup: regend restore.",
            )
        return content

    def discard(self, digests: Iterable[str]) -> None:
        """Remove blobs that nothing refers to any more; missing ones are fine."""
        for digest in digests:
            self.path(digest).unlink(missing_ok=True)

    def sweep(self, referenced: set[str], now_s: float | None = None) -> int:
        """Remove old files that nothing refers to, and return how many."""
        now = time.time() if now_s is None else now_s
        removed = 0
        for file in self._files():
            if file.name not in referenced and now - file.stat().st_mtime > _SWEEP_AGE_S:
                file.unlink(missing_ok=True)
                removed += 1
        return removed

    def pack(self, text: str) -> str:
        """Return what a payload column holds: the JSON text itself, or a blob reference."""
        content = text.encode()
        if len(content) <= INLINE_PAYLOAD_BYTES:
            return text
        return _REFERENCE_MARK + self.put(content)

    def unpack(self, column: str) -> str:
        """Return the JSON text that `pack` stored."""
        digest = reference(column)
        return column if digest is None else self.get(digest).decode()

    def _files(self) -> Iterator[Path]:
        for folder in self._folder.iterdir():
            if folder.is_dir():
                yield from folder.iterdir()

    def _temporary(self) -> Path:
        with self._lock:
            self._counter += 1
            return self._folder / f"tmp-{os.getpid()}-{self._counter}"

    def _place(self, temporary: Path, target: Path) -> None:
        self._probe("blob:before-rename")
        target.parent.mkdir(mode=0o700, exist_ok=True)
        os.replace(temporary, target)
        _sync_folder(target.parent)
        _sync_folder(self._folder)
        self._probe("blob:after-rename")


def reference(column: str | None) -> str | None:
    """Return the digest that a payload column refers to, or None where the payload is inline."""
    if column is not None and column.startswith(_REFERENCE_MARK):
        return column[1:]
    return None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # Windows makes renames durable by itself and cannot open folders
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
