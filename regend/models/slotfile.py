"""Reads the token ids out of a slot that llama.cpp saved.

While it streams, the server tells no id for a token that ends inside a character; the saved slot
knows them all. The file's layout belongs to llama.cpp and changes between versions, so the ids are
found by what must stand before them: the ids that are known already.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

from regend.errors import Failed

_HEADER_BYTES = 64  # magic, version, counts: a few words in every known version


def read_tokens(path: Path, known: Sequence[int], total: int) -> list[int]:
    """Return all `total` token ids of a saved slot.

    Args:
        known: the first ids of the slot, at least one; they locate the rest.
        total: number of ids that the server says it saved.

    Raises:
        Failed: `slot_file_unreadable`; the ids are not where they should be.
    """
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES + 4 * total)
    wanted = struct.pack(f"<{len(known)}i", *known)
    start = head.find(wanted)
    if start < 0 or len(head) < start + 4 * total:
        raise Failed(
            "slot_file_unreadable",
            "The saved state of the model has a layout that this version does not know.",
            hint="Install the version of xllamacpp that belongs to this release.",
        )
    return list(struct.unpack(f"<{total}i", head[start : start + 4 * total]))
