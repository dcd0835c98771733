"""Single values of which the last writer's holds: the same one in whatever order writes come."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from regend.store import cells
from regend.store.connection import open_writer
from regend.store.migrations import migrate

# Two copies of a home may write with one version, at one time, as one device.
WRITES = st.lists(
    st.tuples(st.integers(1, 2), st.integers(1, 2), st.sampled_from([b"a", b"b"]), st.text("xy")),
    min_size=1,
    max_size=6,
)


def merged(writes: Sequence[cells.Row], at_once: bool) -> list[cells.Cell]:
    connection = open_writer(Path(":memory:"))
    try:
        migrate(connection, Path(":memory:"))
        for some in [writes] if at_once else [[one] for one in writes]:
            cells.merge(connection, some)
        return cells.of(connection, "job")
    finally:
        connection.close()


@settings(deadline=None)
@given(WRITES, st.randoms(use_true_random=False))
def test_writes_come_to_the_same_value_in_every_order(
    writes: list[tuple[int, int, bytes, str]], chance: random.Random
) -> None:
    rows = [
        row
        for version, clock, device, value in writes
        for row in cells.rows_of(device, clock, "job", ["title", value, version])
    ]
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert merged(rows, at_once=True) == merged(shuffled, at_once=False)
