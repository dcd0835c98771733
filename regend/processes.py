"""Processes, where systems differ: whether one lives, and how it is ended.

Windows knows neither process groups nor signals: `os.kill` ends a process there whatever the
signal, even one that only asks whether it lives.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def terminate(pid: int) -> None:
    """Ask a process to end; on Windows it is ended."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)


def kill(pid: int) -> None:
    """End a process at once; one that is gone already needs no end."""
    with contextlib.suppress(OSError):
        os.kill(pid, _KILL)


def kill_group(leader: int) -> None:
    """End a process and all of its group at once; on Windows only the process."""
    _signal_group(leader, _KILL)


def terminate_group(leader: int) -> None:
    """Ask a process and all of its group to end; on Windows it is ended."""
    _signal_group(leader, signal.SIGTERM)


def _signal_group(leader: int, number: int) -> None:
    # Those that are gone need no signal; macOS refuses one to a group of the dead.
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            os.kill(leader, number)
        else:
            os.killpg(leader, number)


def leave_with_group() -> NoReturn:
    """End this process at once, and with it the group that it leads."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(0)


if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _QUERY_LIMITED_INFORMATION = 0x1000
    _STILL_ACTIVE = 259
    _ERROR_ACCESS_DENIED = 5
    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel.OpenProcess.restype = wintypes.HANDLE

    def is_alive(pid: int) -> bool:
        """Tell whether a process runs."""
        handle = wintypes.HANDLE(_kernel.OpenProcess(_QUERY_LIMITED_INFORMATION, False, pid))
        if not handle:
            return ctypes.get_last_error() == _ERROR_ACCESS_DENIED
        try:
            code = wintypes.DWORD()
            _kernel.GetExitCodeProcess(handle, ctypes.byref(code))
            return code.value == _STILL_ACTIVE
        finally:
            _kernel.CloseHandle(handle)

    def most_files() -> int | None:
        """Return how many files this process may open; None where that bounds no sockets."""
        return None

else:
    import resource

    def is_alive(pid: int) -> bool:
        """Tell whether a process runs; one whose end its parent has not noticed yet does not."""
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True  # another person's
        try:
            stat = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return not Path("/proc/self/stat").exists()  # it ended just now; or no Linux
        return stat.rpartition(b")")[2].split()[0] not in (b"Z", b"X")

    def most_files() -> int | None:
        """Return how many files this process may open; None where that bounds no sockets."""
        files: int = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return None if files == resource.RLIM_INFINITY else files
