"""The hybrid clock: it grows whatever the wall clock does, and follows others only so far."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regend.store.hlc import AHEAD_MS, COUNTER_BITS, HybridClock, milliseconds

WALLS = st.integers(min_value=-(2**50), max_value=2**60)
STAMPS = st.integers(min_value=0, max_value=2**64 - 1)


@given(st.lists(st.one_of(WALLS, st.tuples(STAMPS, WALLS)), max_size=30))
def test_every_stamp_is_greater_than_all_before_it(steps: list[int | tuple[int, int]]) -> None:
    clock, before = HybridClock(), 0
    for step in steps:
        if isinstance(step, tuple):
            clock.observe(*step)
            assert clock.last >= before
        else:
            stamp = clock.tick(step)
            assert before < stamp < 2**63
            before = stamp


@given(STAMPS, st.integers(min_value=0, max_value=2**45))
def test_no_stamp_of_others_moves_it_further_than_five_minutes(stamp: int, wall_ms: int) -> None:
    clock = HybridClock()
    clock.observe(stamp, wall_ms)
    assert clock.last <= stamp
    assert milliseconds(clock.last) <= wall_ms + AHEAD_MS
    near = min(stamp, (wall_ms + AHEAD_MS) << COUNTER_BITS)
    assert clock.tick(wall_ms) > near


def test_it_shows_the_wall_time_where_that_is_ahead() -> None:
    clock = HybridClock()
    assert clock.tick(1000) == 1000 << COUNTER_BITS
    assert milliseconds(clock.tick(1001)) == 1001


def test_a_wall_clock_that_goes_back_is_counted_past() -> None:
    clock = HybridClock()
    last = clock.tick(5000)
    assert clock.tick(4000) == last + 1


def test_a_counter_that_is_full_carries_into_the_milliseconds() -> None:
    clock = HybridClock((1000 << COUNTER_BITS) + 2**COUNTER_BITS - 1)
    assert clock.tick(1000) == 1001 << COUNTER_BITS


def test_it_goes_on_after_the_last_stamp_of_the_log() -> None:
    assert HybridClock(7777 << COUNTER_BITS).tick(10) == (7777 << COUNTER_BITS) + 1
