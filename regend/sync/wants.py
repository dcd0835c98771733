"""What the other side of a link is asked to send again. Pure.

Invariants
1. The same is not asked for twice: who cannot supply it would be asked on and on.
2. A frame whose key is not here is asked for once the key is.
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from regend.limits import MAX_MESH_LOGS
from regend.store.change import LogId


class Locked(NamedTuple):
    """A frame that waits on the other side for its key to come here.

    Attributes:
        seq: the change before it.
    """

    seq: int
    key_id: bytes


class Wants:
    """Of one exchange.

    Attributes:
        locked: by log, the first frame that came and whose key is not here.
    """

    def __init__(self) -> None:
        self.locked: dict[LogId, Locked] = {}
        self._due: dict[LogId, int] = {}
        self._known: set[tuple[LogId, int]] = set()

    def add(self, log: LogId, seq: int) -> None:
        """Want a log behind a change."""
        if (log, seq) not in self._known:
            self._known.add((log, seq))
            self._due[log] = seq

    def lock(self, log: LogId, frame: Locked) -> None:
        """Want a frame once its key is here, and what follows."""
        if len(self.locked) < MAX_MESH_LOGS:
            self.locked.setdefault(log, frame)

    def take(self, keys: Container[bytes]) -> dict[LogId, int]:
        """Return what to ask for now: behind which change, by log.

        Args:
            keys: ids of the epoch keys that are here.
        """
        due, self._due = self._due, {}
        for log, (seq, key_id) in list(self.locked.items()):
            if key_id in keys:
                del self.locked[log]
                due[log] = seq
        return due
