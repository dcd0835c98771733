"""Files that only their owner may read and that outlast a power cut."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def private(path: str, flags: int) -> int:
    """Open a file for its owner alone: an `opener` for `open`."""
    return os.open(path, flags, 0o600)


def write(path: Path, content: bytes) -> None:
    """Write a private file durably.

    Raises:
        OSError: it cannot be written; it names the file.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with open(path, "wb", opener=private) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # Only what opens a file names it by itself, and a full disk is found out later.
        error.filename = error.filename or str(path)
        raise


def replace(path: Path, content: bytes) -> None:
    """Write a private file durably and in one piece: it is the old one or the new at any moment.

    Raises:
        OSError: it cannot be written; it names the file, and nothing is left of it.
    """
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)  # left by a power cut, perhaps not private
    try:
        write(draft, content)
        os.replace(draft, path)
    except OSError as error:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
        error.filename, error.filename2 = str(path), None
        raise
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Make a file's content durable."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make a folder's names durable."""
    if os.name == "nt":
        return  # Windows makes renames durable by itself and cannot open folders
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
