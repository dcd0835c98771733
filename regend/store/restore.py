"""Restore: a backup in the place of a home's database, the present one put aside.

Invariants
1. Everything is verified before anything of the home is touched, and the names and the manifest
   before even a folder is made.
2. At every moment the home's database is either the whole present one or the whole restored one:
   the change is one rename. What was there stays in `before-restore-…`, blobs and keys too.
3. A restored home counts its events in a new epoch, so that no client takes them for those that it
   knows.
4. A token that was revoked stays revoked, though the backup is older than that.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from regend.clock import SystemClock, rfc3339
from regend.errors import BadInput, Busy, Failed, NotFound
from regend.home import Home
from regend.store.archive import (
    DATABASE,
    FORMAT,
    Progress,
    Summary,
    check_form,
    copy_file,
    read_manifest,
    summary,
    unpacked,
)
from regend.store.connection import open_reader
from regend.store.files import sync_file, sync_folder, write
from regend.store.lock import HomeLock
from regend.store.migrations import refuse_newer
from regend.store.writer import disk_refusal

_SQLITE_HEADER = b"SQLite format 3\x00"
_WORK = ".restore-"


def restore(home: Home, source: Path, *, progress: Progress = lambda done, total: None) -> Summary:
    """Put a backup in the place of a home's database and blobs.

    Args:
        source: a folder or tar file of `back_up`, or a database file alone, such as the copy that
            is made before a migration; then the blobs of the home stay.
        progress: told how many files of how many are checked.

    Settings, keys and token come back only where the backup has them.

    Raises:
        NotFound: there is no backup at `source`.
        BadInput: it is no backup, or its form is of a newer program.
        Refused: its database is of a newer program.
        Failed: a file of it is damaged or missing; nothing was changed.
        Conflict: a daemon runs on this home.
        Busy: the disk is full or failing; the home is as it was.
    """
    source = Path(os.path.expanduser(source)).absolute()
    if not source.exists():
        raise NotFound("backup_not_found", f"There is no backup at {source}.")
    try:
        if not _is_database(source):
            check_form(source)
    except OSError as error:
        raise _refusal(error) from error
    home.make()
    lock = HomeLock(home.lock_file)
    work: Path | None = None
    try:
        for left in home.data_dir.glob(f"{_WORK}*"):  # by a restore that was killed
            shutil.rmtree(left, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=_WORK, dir=home.data_dir))
        manifest = _verified(source, work, progress)
        database = work / "whole" / DATABASE
        _refuse_newer(database, source)
        _begin_epoch(database, _revoked(home.database))
        settings = _settings(work / "whole", home)
        aside = _keep_present(home, list(settings))
        _place(work / "whole", home, settings)
        return summary(source, manifest, aside)
    except OSError as error:
        raise _refusal(error) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)
        lock.release()


def _verified(source: Path, work: Path, progress: Progress) -> dict[str, Any]:
    """Copy the backup's files to `work/whole`, each checked on its way; return its manifest."""
    if _is_database(source):
        entry = copy_file(source, work / "whole" / DATABASE)
        return _manifest_of_database(source, entry)
    folder = unpacked(source, work)
    manifest = read_manifest(folder, source)
    files: dict[str, Any] = manifest["files"]
    for done, (name, entry) in enumerate(sorted(files.items()), 1):
        if not (folder / name).is_file():  # nor what never ends: a device, a pipe
            raise _damaged(name, "is missing")
        copied = copy_file(folder / name, work / "whole" / name)
        if copied != {"sha256": entry["sha256"], "size_bytes": entry["size_bytes"]}:
            raise _damaged(name, "was changed since")
        progress(done, len(files))
    return manifest


def _is_database(source: Path) -> bool:
    if not source.is_file():
        return False
    with source.open("rb") as file:
        return file.read(len(_SQLITE_HEADER)) == _SQLITE_HEADER


def _manifest_of_database(source: Path, entry: dict[str, Any]) -> dict[str, Any]:
    made_ms = int(source.stat().st_mtime * 1000)
    return {
        "format": FORMAT,
        "created_at": rfc3339(made_ms),
        "with_keys": False,
        "files": {DATABASE: entry},
    }


def _refuse_newer(database: Path, source: Path) -> None:
    """Refuse what only a newer program can go on with, while the present home still stands."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        try:
            refuse_newer(Database(connection), source)
        except sqlite3.DatabaseError as error:
            raise _damaged(DATABASE, f"cannot be read ({error})") from error


def _revoked(database: Path) -> list[tuple[int, str]]:
    """Return when each token was revoked that holds no more in the present database.

    One that cannot be read says nothing of them: it is often why a backup is brought back.
    """
    if not database.exists():
        return []
    with (
        contextlib.suppress(sqlite3.DatabaseError),
        contextlib.closing(open_reader(database)) as connection,
    ):
        rows = connection.execute("SELECT revoked_at, id FROM tokens WHERE revoked_at IS NOT NULL")
        return [(row[0], row[1]) for row in rows]
    return []


def _begin_epoch(database: Path, revoked: list[tuple[int, str]]) -> None:
    """Check the database to be restored, and give its history a name of its own.

    Args:
        revoked: when which tokens were revoked, perhaps since it was copied.
    """
    try:
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
            verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            connection.execute("PRAGMA journal_mode = DELETE")
            changed = connection.execute(
                "UPDATE settings SET value = ? WHERE name = 'epoch'", (secrets.token_hex(8),)
            ).rowcount
            if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'tokens'").fetchone():
                connection.executemany(
                    "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", revoked
                )
    except sqlite3.DatabaseError as error:
        raise _damaged(DATABASE, f"cannot be read ({error})") from error
    if verdict != "ok" or changed != 1:
        raise _damaged(DATABASE, "is not whole" if verdict != "ok" else "has no epoch")
    sync_file(database)


def _settings(whole: Path, home: Home) -> dict[Path, bytes]:
    """Return what the backup has of settings, keys and token, by the place of each."""
    places = {path: whole / path.name for path in (home.config_file, home.token_file)}
    if (whole / "keys").is_dir():
        places |= {home.keys_dir / path.name: path for path in (whole / "keys").iterdir()}
    return {place: path.read_bytes() for place, path in places.items() if path.is_file()}


def _keep_present(home: Home, settings: list[Path]) -> Path | None:
    """Link what is present, and may be replaced, into a folder of its own; None if nothing is.

    It stays in its places as well: until the rename, the home is what it was.

    Args:
        settings: what is replaced beside database and blobs.
    """
    replaced = [path for path in settings if path.exists()]
    if not home.database.exists() and not replaced:
        return None
    stamp = rfc3339(SystemClock().wall_ms())[:19].replace(":", "")
    aside = home.data_dir / f"before-restore-{stamp}-{secrets.token_hex(2)}"
    aside.mkdir(mode=0o700)
    for path in replaced:
        _link(path, aside / path.relative_to(home.config_dir))
    if home.database.exists():
        _keep_database(home, aside)
    sync_folder(aside)
    return aside


def _keep_database(home: Home, aside: Path) -> None:
    for path in (home.database, *_logs_of(home.database)):
        if path.exists():
            _link(path, aside / path.name)
    _fold_log_in(home.database)
    for folder in home.blobs_dir.iterdir():
        for blob in folder.iterdir() if folder.is_dir() else ():
            _link(blob, aside / "blobs" / folder.name / blob.name)


def _fold_log_in(database: Path) -> None:
    """Let SQLite write its log into the file, so that the file alone is the database.

    The file has its second name already, so what is written is in both. A damaged database may not
    let it: then its log lies beside it under that name, whatever SQLite did to the first.
    """
    with (
        contextlib.suppress(sqlite3.DatabaseError),
        contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection,
    ):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _logs_of(database: Path) -> list[Path]:
    """Return SQLite's own files beside a database; they belong to it and to no other."""
    return [database.with_name(database.name + ending) for ending in ("-wal", "-shm", "-journal")]


def _place(whole: Path, home: Home, settings: dict[Path, bytes]) -> None:
    """Move the verified files to their places, the database last.

    What takes room is written before anything is replaced: a full disk leaves the home as it was.
    """
    drafts = {place: place.with_name(f"{place.name}.restored") for place in settings}
    try:
        for place, draft in drafts.items():
            draft.unlink(missing_ok=True)  # left by a restore that was killed
            write(draft, settings[place])
        _place_blobs(whole / "blobs", home)
    except OSError:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
        raise
    for place, draft in drafts.items():
        os.replace(draft, place)
        sync_folder(place.parent)
    for log in _logs_of(home.database):
        log.unlink(missing_ok=True)
    os.replace(whole / DATABASE, home.database)
    sync_folder(home.data_dir)


def _place_blobs(blobs: Path, home: Home) -> None:
    if not blobs.is_dir():
        return
    for folder in blobs.iterdir():
        target = home.blobs_dir / folder.name
        target.mkdir(mode=0o700, exist_ok=True)
        for blob in folder.iterdir():
            os.replace(blob, target / blob.name)
        sync_folder(target)
    sync_folder(home.blobs_dir)


def _link(path: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no such thing."""
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.link(path, target)
    except OSError:
        copy_file(path, target)


def _damaged(name: str, what: str) -> Failed:
    return Failed(
        "backup_damaged",
        f"The backup is damaged: {name} {what}. Nothing was changed.",
        hint="Use another backup.",
    )


def _refusal(error: OSError) -> Busy | BadInput:
    if isinstance(error, PermissionError):
        return BadInput("backup_unreadable", f"{error.filename} may not be read or written.")
    return disk_refusal(error)
