"""One daemon to a home: an operating-system lock that dies with its holder.

The lock is on the file, not on its name, so a second daemon that comes by a symlink meets it too.
The holder writes who it is beside the lock, for the message that the second one prints.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sys
import time
from pathlib import Path

from regend.errors import BadInput, Conflict

_TRIES = 5
_PAUSE_S = 0.02


class HomeLock:
    """The held lock of a home; `release` or the end of the process frees it."""

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            Conflict: another process holds it; the message names the process.
            BadInput: the lock cannot be made or taken here at all.
        """
        self._file: int | None = None
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError as error:
            raise _unusable(path, error) from error
        try:
            _lock_patiently(file)
        except OSError as error:
            os.close(file)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise _unusable(path, error) from error
            raise Conflict(
                "home_in_use",
                f"Another regend ({_holder(path)}) already runs on this home.",
                hint="End it first: regend stop. Or set REGEND_HOME to another folder.",
            ) from error
        self._file = file
        # Only the message of a second daemon needs it: a full disk must not keep the first out.
        with contextlib.suppress(OSError):
            _holder_file(path).touch(mode=0o600)
            _holder_file(path).write_text(json.dumps({"pid": os.getpid()}), encoding="utf-8")

    def release(self) -> None:
        """Free the home for the next daemon. Twice is once."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _lock_patiently(file: int) -> None:
    """Take the lock, beside clients that touch it for a moment to see whether a daemon holds it."""
    for _ in range(_TRIES):
        with contextlib.suppress(OSError):
            return _lock(file)
        time.sleep(_PAUSE_S)
    return _lock(file)


def _unusable(path: Path, error: OSError) -> BadInput:
    return BadInput(
        "home_not_writable",
        f"The lock {path} cannot be taken: {error.strerror or error}.",
        hint="Make the folder writable, or set REGEND_HOME to one on a local disk that is.",
    )


def _holder_file(path: Path) -> Path:
    return path.with_suffix(".holder")


def holder_pid(path: Path) -> int | None:
    """Return the process that took the lock last; None where it could not say."""
    try:
        return int(json.loads(_holder_file(path).read_text(encoding="utf-8"))["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _holder(path: Path) -> str:
    """Return who holds the lock, as far as it said."""
    return f"process {holder_pid(path) or 'unknown'}"


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
