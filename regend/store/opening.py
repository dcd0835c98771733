"""Opens the database of a home, and says plainly what is wrong where something is.

Rules
1. What is damaged is left as it is, byte for byte; it is never replaced by an empty database.
2. A newer database is refused before anything is written to it.
3. SQLite drops the rest of a damaged log without a word; here the log is looked at first (`wal`).
4. A database that is gone where one was before is an error, not a beginning.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import sqlite3
from pathlib import Path

from sqlite_utils import Database

from regend.errors import Busy, Failed, RegendError
from regend.limits import MIB
from regend.store.connection import open_reader, open_writer
from regend.store.migrations import migrate, refuse_newer
from regend.store.wal import Break, find_break, frames_taken
from regend.store.writer import FULL_DISK

log = logging.getLogger("regend.store")

_CHECK_AT_START_BYTES = 32 * MIB  # larger files are checked by `verify` once the daemon is up

_DATABASE_HEADER_BYTES = 100  # see https://sqlite.org/fileformat.html


def open_database(path: Path) -> sqlite3.Connection:
    """Open and migrate the database, creating it where there never was one.

    Returns:
        The writer's connection.

    Raises:
        Refused: the database is newer than this program.
        Failed: it is damaged, gone, or cannot be used.
        Busy: the disk is full or failing.
    """
    connection: sqlite3.Connection | None = None
    try:
        existed = path.exists() and path.stat().st_size > 0
        if existed:
            _examine(path)
        else:
            _begin(path)
        connection = open_writer(path)
        if existed and path.stat().st_size <= _CHECK_AT_START_BYTES:
            check(connection)
        migrate(connection, path)
        _made_mark(path).touch(mode=0o600)
        return connection
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error | OSError):
            raise _refusal(path, error) from error
        raise


def check(connection: sqlite3.Connection) -> None:
    """Read the whole structure once.

    Raises:
        sqlite3.DatabaseError: a page is not what it should be.
    """
    verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def _begin(path: Path) -> None:
    """Make an empty database file, unless a database was there before (rule 4)."""
    wal = _beside(path, "-wal")
    logged = wal.exists() and wal.stat().st_size > 0
    if logged or _made_mark(path).exists():
        raise Failed(
            "database_missing",
            f"{path} is {'empty' if path.exists() else 'gone'}, and a database was there before.",
            hint=f"Restore it: regend restore {_newest_copy(path)}. "
            f"To begin anew without its jobs, move away {path.name}* in {path.parent}.",
        )
    path.touch(mode=0o600)


def _examine(path: Path) -> None:
    """Look at a database and its log without changing either."""
    wal = _beside(path, "-wal")
    with contextlib.closing(open_reader(path)) as reader:
        reader.execute("BEGIN")
        refuse_newer(Database(reader), path)
        taken = frames_taken(_beside(path, "-shm"))
    if not taken:
        _require_whole(path)
    broken = find_break(wal, taken)
    if broken is None:
        return
    if broken.proven:
        raise _damaged_log(path, wal, broken)
    kept = _keep(wal)
    log.warning(
        "the last write to %s was cut short, or its log is damaged at byte %d; "
        "a copy of the log is kept as %s",
        path,
        broken.offset,
        kept,
    )


def _require_whole(path: Path) -> None:
    """Hold the length of the file against its header, which SQLite reads past without a word.

    Only for a database without a log: until its log is folded in, a file may be shorter.
    """
    with path.open("rb") as file:
        header = file.read(_DATABASE_HEADER_BYTES)
    page_bytes = int.from_bytes(header[16:18], "big")
    page_bytes = 65536 if page_bytes == 1 else page_bytes
    pages = int.from_bytes(header[28:32], "big") if header[24:28] == header[92:96] else 0
    if path.stat().st_size < pages * page_bytes:
        raise sqlite3.DatabaseError("its end is missing")


def _keep(wal: Path) -> Path:
    """Copy a log aside, once for each content."""
    with wal.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    kept = wal.with_name(f"{wal.name}.cut-{digest[:8]}")
    if not kept.exists():
        shutil.copyfile(wal, kept)
        kept.chmod(0o600)
    return kept


def _damaged_log(path: Path, wal: Path, broken: Break) -> Failed:
    return Failed(
        "database_log_damaged",
        f"{wal} is damaged at byte {broken.offset}: {broken.transactions} stored changes behind it "
        "cannot be read. Nothing was changed by this start.",
        hint=f"Keep a copy of it, then restore: regend restore {_newest_copy(path)}. To go on "
        f"without those changes, cut the log there: truncate -s {broken.offset} {wal}",
    )


def _refusal(path: Path, error: sqlite3.Error | OSError) -> RegendError:
    """Turn a refusal of SQLite or of the system into advice."""
    text = str(error)
    of_disk = isinstance(error, OSError) and not isinstance(error, PermissionError)
    if of_disk or "disk is full" in text or "disk I/O" in text:
        full = "full" in text or getattr(error, "errno", None) in FULL_DISK
        return Busy(
            "disk_full" if full else "disk_error",
            f"The disk that holds {path} is full or fails ({text}).",
            hint="Free some space and start again.",
        )
    if isinstance(error, sqlite3.OperationalError | OSError):
        return Failed(
            "database_unusable",
            f"{path} cannot be used: {text}.",
            hint="Look at its owner and permissions, and whether another program holds it.",
        )
    return Failed(
        "database_damaged",
        f"{path} is damaged ({text.splitlines()[0] if text else error!r}). It was left as it is, "
        "and nothing was lost by this start.",
        hint=f"Keep a copy of it, then restore: regend restore {_newest_copy(path)}",
    )


def _newest_copy(path: Path) -> str:
    """Return the newest copy made before a migration, or words for the person's own."""
    copies = [one for one in path.parent.glob(f"{path.name}.before-*") if one.suffix != ".partial"]
    newest = max(copies, key=lambda one: one.stat().st_mtime, default=None)
    return "BACKUP" if newest is None else str(newest)


def _made_mark(path: Path) -> Path:
    """Return the file that says that a database was made here."""
    return _beside(path, ".made")


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
