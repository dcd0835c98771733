"""Saves and restores the state of a slot: the files that make a resume exact."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

from regend.errors import RegendError, Retryable
from regend.models.hostclient import HostClient
from regend.models.lease import Lease
from regend.models.pacing import CheckpointPacer


class Slot:
    """The slot of a lease on an embedded host."""

    def __init__(self, lease: Lease, client: HostClient, pacer: CheckpointPacer) -> None:
        self._path = f"/slots/{lease.slot}"
        self._folder = Path(lease.slots_dir)
        self._client = client
        self._pacer = pacer

    def save(self) -> Path | None:
        """Save the state to a new file; None where the host cannot (its disk is full).

        Raises:
            Retryable: the host died.
        """
        started_s = time.monotonic()
        path = self._folder / f"{os.urandom(12).hex()}.slot"
        answer: dict[str, Any] = {}
        try:
            answer = self._client.call(f"{self._path}?action=save", {"filename": path.name})
        except Retryable:
            raise
        except RegendError:
            path.unlink(missing_ok=True)
            return None
        finally:
            self._pacer.saved(_cost_s(answer, time.monotonic() - started_s))
        return path if path.is_file() else None

    def restore(self, saved: Path) -> int:
        """Load a saved state, which stays where it is; return its number of tokens.

        0 where the file is missing, or the host refuses it: the caller evaluates again.

        Raises:
            Retryable: the host died.
        """
        placed = self._folder / f"{os.urandom(12).hex()}.restore"
        try:
            _place(saved, placed)
            answer = self._client.call(f"{self._path}?action=restore", {"filename": placed.name})
        except Retryable:
            raise
        except (OSError, RegendError):
            return 0
        finally:
            placed.unlink(missing_ok=True)
        return int(answer["n_restored"])


def _cost_s(answer: dict[str, Any], passed_s: float) -> float:
    """Return what a save cost: while it waited for its turn, other slots decoded the faster."""
    return float(answer.get("timings", {}).get("save_ms", 1000 * passed_s)) / 1000


def _place(source: Path, target: Path) -> None:
    """Make a saved slot reachable for the host: a link where possible, else a copy."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(source, target)
