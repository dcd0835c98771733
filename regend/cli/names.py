"""What people call the devices that jobs name by their ids."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regend.cli.daemon import Daemon
from regend.cli.text import line
from regend.errors import NotAllowed

_ID_CHARACTERS = 8


class DeviceNames:
    """Names of devices by id; the daemon is asked once, and only where a name is wanted."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._known: Mapping[str, dict[str, Any]] | None = None

    def __getitem__(self, device: str | None) -> str:
        """Return what a device is called, the beginning of its id where nobody knows."""
        if device is None:
            return "this device"
        known = self._asked().get(device)
        return device[:_ID_CHARACTERS] if known is None else line(known["name"])

    def elsewhere(self, device: str | None) -> str | None:
        """Return what a device is called if it is known to be another than this one."""
        known = self._asked().get(device or "")
        return None if known is None or known["this"] else line(known["name"])

    def is_out(self, device: str | None) -> bool:
        """Tell whether a device is known to have been put out of the mesh."""
        return bool(self._asked().get(device or "", {}).get("revoked"))

    def _asked(self) -> Mapping[str, dict[str, Any]]:
        if self._known is None:
            try:
                shown = self._daemon.get("/devices")
            except NotAllowed:  # a token that may see jobs alone
                shown = {"devices": []}
            self._known = {one["id"]: one for one in shown["devices"]}
        return self._known
