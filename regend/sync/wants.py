"""What the other side of a link is asked to send again. Pure.

Invariants
1. The same is not asked for twice: who cannot supply it would be asked on and on.
2. A frame whose key is not here is asked for once the key is, of up to `MAX_MESH_LOGS` logs.
3. Of two wants of a log the one that reaches farther back is asked for: it brings the other too.
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
            self._due[log] = min(seq, self._due.get(log, seq))

    def lock(self, log: LogId, locked: Locked) -> None:
        """Want a frame once its key is here, and what follows."""
        if len(self.locked) < MAX_MESH_LOGS:
            self.locked.setdefault(log, locked)

    def take(self, keys: Container[bytes]) -> dict[LogId, int]:
        """Return what to ask for now: behind which change, by log.

        Args:
            keys: ids of the epoch keys that are here.
        """
        due, self._due = self._due, {}
        for log, (seq, key_id) in list(self.locked.items()):
            if key_id in keys:
                del self.locked[log]
                due[log] = min(seq, due.get(log, seq))
        return due
