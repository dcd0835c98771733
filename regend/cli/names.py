"""What people call the devices that jobs name by their ids."""

from __future__ import annotations

from collections.abc import Mapping

from regend.cli.daemon import Daemon
from regend.cli.text import line
from regend.errors import NotAllowed

_ID_CHARACTERS = 8


class DeviceNames:
    """Names of devices by id; the daemon is asked once, and only where a name is wanted."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._names: Mapping[str, str] | None = None

    def __getitem__(self, device: str | None) -> str:
        """Return what a device is called, the beginning of its id where nobody knows."""
        if device is None:
            return "this device"
        if self._names is None:
            self._names = self._asked()
        return self._names.get(device, device[:_ID_CHARACTERS])

    def _asked(self) -> dict[str, str]:
        try:
            shown = self._daemon.get("/devices")
        except NotAllowed:  # a token that may see jobs alone
            return {}
        return {one["id"]: line(one["name"]) for one in shown["devices"]}
