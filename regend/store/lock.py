"""One daemon to a home: an operating-system lock that dies with its holder.

The lock is on the file, not on its name, so a second daemon that comes by a symlink meets it too.
The holder writes who it is beside the lock, for the message that the second one prints.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from regend.errors import Conflict


class HomeLock:
    """The held lock of a home; `release` or the end of the process frees it."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            Conflict: another process holds it; the message names the process.
        """
        self._path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            _lock(self._file)
        except OSError as error:
            os.close(self._file)
            raise Conflict(
                "home_in_use",
                f"Another regend ({_holder(path)}) already runs on this home.",
                hint="Use it, stop it, or set REGEND_HOME to another folder.",
            ) from error
        _holder_file(path).write_text(json.dumps({"pid": os.getpid()}), encoding="utf-8")

    def release(self) -> None:
        """Free the home for the next daemon."""
        os.close(self._file)


def _holder_file(path: Path) -> Path:
    return path.with_suffix(".holder")


def _holder(path: Path) -> str:
    """Return who holds the lock, as far as it said."""
    try:
        return f"process {json.loads(_holder_file(path).read_text(encoding='utf-8'))['pid']}"
    except (OSError, ValueError, KeyError):
        return "process unknown"


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
