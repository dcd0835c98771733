"""Checkpoints keep within their share of the time."""

from __future__ import annotations

from pathlib import Path

import pytest

from regend import limits
from regend.errors import Failed
from regend.models.pacing import CheckpointPacer
from regend.models.slotfile import read_tokens


@pytest.mark.parametrize("cost_s", [0.001, 0.02, 3.0])
def test_the_share_of_checkpoints_stays_bounded_whatever_one_costs(cost_s: float) -> None:
    pacer, now_s, saves = CheckpointPacer(0.0), 0.0, 0
    for _ in range(20_000):
        now_s += 0.1
        if pacer.is_due(now_s):
            now_s += cost_s
            pacer.saved(cost_s)
            saves += 1
    assert saves > 5
    assert pacer.cost_s <= now_s * limits.CHECKPOINT_COST_SHARE + cost_s


def test_a_cheap_checkpoint_is_made_at_every_segment() -> None:
    pacer = CheckpointPacer(0.0)
    for segment in range(1, 50):
        assert pacer.is_due(segment * 0.25)
        pacer.saved(0.004)


@pytest.mark.parametrize("content", [b"", b"ggsq", b"\1\0\0\0\2\0\0\0", b"\xff" * 500])
def test_a_saved_slot_of_an_unknown_layout_is_an_error_not_a_guess(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "a.slot"
    file.write_bytes(content)
    with pytest.raises(Failed) as caught:
        read_tokens(file, [1, 2], 3)
    assert caught.value.code == "slot_file_unreadable"
