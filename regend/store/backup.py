"""Backup: everything that a home holds, copied beside a running daemon.

SQLite's own backup interface gives one consistent view of the database, and a blob, once written,
never changes. Models are not in a backup: they can be pulled again. `restore` brings one back.

Invariants
1. The target appears under its name whole, or not at all.
2. Every blob that the copied database refers to is in the backup, its content that of its name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from regend import __version__
from regend.clock import SystemClock, rfc3339
from regend.errors import BadInput, Conflict, Failed, NotFound, RegendError
from regend.home import Home
from regend.jsontext import dumps
from regend.store.archive import (
    DATABASE,
    FORMAT,
    MANIFEST,
    Progress,
    Summary,
    copy_file,
    entry_of,
    pack,
    summary,
)
from regend.store.blobs import Blobs, later_references, reference, references, still_to_come
from regend.store.connection import open_reader
from regend.store.files import sync_file, sync_folder, write

_OTHER_ARCHIVES = (".bz2", ".gz", ".tgz", ".xz", ".zip", ".zst")
_OF_THIS_LIFE = ("incarnation.json", "tls.pem")  # a restored home begins a new one
_PAGES_AT_ONCE = 2048  # of the copy, about 8 MB


def back_up(
    home: Home,
    target: Path,
    *,
    with_keys: bool = False,
    progress: Progress = lambda done, total: None,
) -> Summary:
    """Copy a home to `target`: a tar file where its name ends in `.tar`, otherwise a folder.

    Args:
        with_keys: also settings, keys and the owner's token; then the backup is a secret itself.
        progress: told how many files of how many are copied.

    Raises:
        NotFound: there is no database.
        Conflict: the target exists.
        BadInput: the target cannot be written.
        Failed: the database or a blob is damaged.
    """
    target = Path(os.path.expanduser(target)).absolute()
    if target.suffix in _OTHER_ARCHIVES:
        raise BadInput(
            "backup_kind",
            f"A backup is a folder or a .tar file, not a {target.suffix} file.",
            hint=f"Give a name like {target.name.split('.')[0]}.tar.",
        )
    if not home.database.is_file():
        raise NotFound("nothing_to_back_up", f"There is no database at {home.database}.")
    if target.exists() or target.is_symlink():
        raise Conflict(
            "backup_exists", f"{target} exists already.", hint="Give a name that is not taken."
        )
    if not target.parent.is_dir():
        # A mistyped path, or a disk that is not there: no copy that its owner would miss.
        raise BadInput(
            "backup_no_folder",
            f"There is no folder {target.parent}.",
            hint="Make it first, or give another place.",
        )
    work: Path | None = None
    try:
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
        manifest = _collect(home, work / "whole", with_keys, progress)
        if target.suffix == ".tar":
            pack(work / "whole", work / "packed")
            os.replace(work / "packed", target)
        else:
            os.replace(work / "whole", target)
        sync_folder(target.parent)
    except OSError as error:
        raise _cannot_write(target, error) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
    return summary(target, manifest)


def _collect(home: Home, folder: Path, with_keys: bool, progress: Progress) -> dict[str, Any]:
    """Copy everything into a folder and return the manifest that was written there."""
    folder.mkdir(mode=0o700)
    database = folder / DATABASE
    _copy_database(home.database, database)
    blobs = Blobs(home.blobs_dir)
    files: dict[str, Any] = {}
    digests = sorted(_settle_references(database, blobs))
    for done, digest in enumerate(digests, 1):
        name = f"blobs/{digest[:2]}/{digest}"
        files[name] = _copy_blob(blobs, digest, folder / name)
        progress(done, len(digests))
    if with_keys:
        for name, path in _secrets(home):
            files[name] = copy_file(path, folder / name)
    sync_file(database)
    manifest = {
        "format": FORMAT,
        "version": __version__,
        "created_at": rfc3339(SystemClock().wall_ms()),
        "with_keys": with_keys,
        "files": {DATABASE: entry_of(database), **files},
    }
    write(folder / MANIFEST, dumps(manifest).encode())
    return manifest


def _copy_database(source: Path, target: Path) -> None:
    """Copy the database as of one moment, whatever is written meanwhile, and check the copy."""
    try:
        with (
            contextlib.closing(open_reader(source)) as reader,
            contextlib.closing(sqlite3.connect(target)) as copy,
        ):
            # One read transaction: without it, each write of the daemon would begin the copy anew.
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            reader.backup(copy, pages=_PAGES_AT_ONCE)
            verdict = str(copy.execute("PRAGMA quick_check(1)").fetchone()[0])
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        raise _damaged(str(error)) from error
    if verdict != "ok":
        raise _damaged(verdict.splitlines()[0])
    target.chmod(0o600)


def _settle_references(database: Path, blobs: Blobs) -> set[str]:
    """Return the digests of all blobs that the copied database refers to.

    Since it was copied, the daemon may have dropped the saved place of a step that went on. Such a
    checkpoint is taken out of the copy: its step begins anew. Everything else must be there.

    Raises:
        Failed: a payload's blob is missing.
    """
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        gone = [
            row[0]
            for row in connection.execute("SELECT job, data, slot FROM checkpoints")
            if any(not blobs.path(one).exists() for one in (reference(row[1]), row[2]) if one)
        ]
        connection.executemany("DELETE FROM checkpoints WHERE job = ?", [(job,) for job in gone])
        # What another device has not sent yet, a restored home asks for.
        digests = references(connection) - still_to_come(connection)
        later = later_references(connection)
    missing = sorted(digest for digest in digests if not blobs.path(digest).exists())
    if missing:
        raise Failed(
            "blob_missing",
            f"{len(missing)} stored payloads are missing, the first is {missing[0][:12]}. "
            "No backup was made.",
            hint="Look closer: regend doctor",
        )
    return digests | {digest for digest in later if blobs.path(digest).exists()}


def _copy_blob(blobs: Blobs, digest: str, target: Path) -> dict[str, Any]:
    try:
        entry = copy_file(blobs.path(digest), target)
    except FileNotFoundError as error:
        raise Failed(
            "blob_missing",
            f"The stored payload {digest[:12]} went away while it was copied.",
            hint="Try again.",
        ) from error
    if entry["sha256"] != digest:
        raise Failed(
            "blob_damaged",
            f"The stored payload {digest[:12]} was changed on disk. No backup was made.",
            hint="Restore it from an earlier backup.",
        )
    return entry


def _secrets(home: Home) -> Iterator[tuple[str, Path]]:
    for path in (home.config_file, home.token_file):
        if path.is_file():
            yield path.name, path
    if home.keys_dir.is_dir():
        for path in sorted(home.keys_dir.iterdir()):
            if path.is_file() and path.name not in _OF_THIS_LIFE:
                yield f"keys/{path.name}", path


def _damaged(what: str) -> Failed:
    return Failed(
        "database_damaged",
        f"The database cannot be copied: {what}. No backup was made.",
        hint="Look closer: regend doctor",
    )


def _cannot_write(target: Path, error: OSError) -> RegendError:
    return BadInput(
        "backup_not_written",
        f"The backup {target} cannot be written: {error.strerror or error}. Nothing is left of it.",
        hint="Give a place that is writable and has room.",
    )
