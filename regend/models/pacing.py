"""Decides when a checkpoint is worth its cost.

As often as possible while saving takes less than `limits.CHECKPOINT_COST_SHARE` of the time, so
that a fast machine with a small model loses a fraction of a second, and a model whose state is a
gigabyte is not slowed down.
"""

from __future__ import annotations

from regend import limits


class CheckpointPacer:
    """Weighs the time that checkpoints took against the time since the start.

    Attributes:
        cost_s: time spent on saving so far.
    """

    def __init__(self, started_s: float) -> None:
        self._started_s = started_s
        self._last_cost_s = 0.0
        self.cost_s = 0.0

    def is_due(self, now_s: float) -> bool:
        """Return whether another checkpoint, as dear as the last, keeps within the share."""
        worked_s = now_s - self._started_s - self.cost_s
        return self.cost_s + self._last_cost_s <= worked_s * limits.CHECKPOINT_COST_SHARE

    def saved(self, cost_s: float) -> None:
        """Take note of what a checkpoint cost."""
        self._last_cost_s = cost_s
        self.cost_s += cost_s
