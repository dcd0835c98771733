"""Which machine this is: an id that a copy of the home on another machine does not have.

No subprocess: Linux has a file, Windows a value in its registry, macOS a system call. Where there
is none of these, the host's name and a network card stand in; a change of them only means a new
log.
"""

from __future__ import annotations

import ctypes
import re
import socket
import sys
import uuid
from pathlib import Path
from typing import Final

_FILES: Final = (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id"))
_FORM: Final = re.compile(r"[0-9a-fA-F-]{16,64}")
_RANDOM: Final = 1 << 40  # set in what `uuid.getnode` makes up where it finds no card


def machine_id(places: tuple[Path, ...] = _FILES) -> str | None:
    """Return what tells this machine from others, None where nothing does.

    Args:
        places: files that may hold it.
    """
    for place in places:
        try:
            content = place.read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if _FORM.fullmatch(content):  # on a first boot it says “uninitialized”
            return content.lower()
    return _told_by_system() or _card()


def _card() -> str | None:
    node = uuid.getnode()
    return None if node & _RANDOM else f"{socket.gethostname()} {node:012x}"


if sys.platform == "win32":
    import winreg

    def _told_by_system() -> str | None:
        try:
            with winreg.OpenKey(
                winreg.HKEY_LOCAL_MACHINE,
                r"SOFTWARE\Microsoft\Cryptography",
                access=winreg.KEY_READ | winreg.KEY_WOW64_64KEY,
            ) as key:
                return str(winreg.QueryValueEx(key, "MachineGuid")[0]).lower()
        except OSError:
            return None

elif sys.platform == "darwin":

    def _told_by_system() -> str | None:
        """Return what gethostuuid(2) says."""
        found, wait = ctypes.create_string_buffer(16), (ctypes.c_long * 2)(1, 0)
        try:
            failed = ctypes.CDLL(None).gethostuuid(found, wait)
        except (OSError, AttributeError):
            return None
        return None if failed else str(uuid.UUID(bytes=found.raw))

else:

    def _told_by_system() -> str | None:
        return None
