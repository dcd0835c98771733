"""The tag that only the mesh recognises."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from regend.sync.beacon import (
    DAY_MS,
    day_of,
    discovery_key,
    recognise,
    recognise_wrong_clock,
    tag,
)

KEY, OLD = discovery_key(b"k" * 32), discovery_key(b"o" * 32)
DEVICES = [bytes([number]) * 16 for number in range(20)]
INSTANCE = "0123456789abcdef"


def test_members_recognise_which_device_it_is() -> None:
    for device in DEVICES:
        shown = tag(KEY, device, INSTANCE, 100)
        assert re.fullmatch("[0-9a-f]{16}", shown)
        assert recognise(shown, INSTANCE, 100, DEVICES, [OLD, KEY]) == device


def test_an_older_key_is_recognised_as_long_as_it_is_known() -> None:
    shown = tag(OLD, DEVICES[3], INSTANCE, 100)
    assert recognise(shown, INSTANCE, 100, DEVICES, [OLD, KEY]) == DEVICES[3]
    assert recognise(shown, INSTANCE, 100, DEVICES, [KEY]) is None


def test_clocks_may_differ_by_a_day_and_not_by_two() -> None:
    shown = tag(KEY, DEVICES[3], INSTANCE, 100)
    for day, known in ((98, False), (99, True), (100, True), (101, True), (102, False)):
        assert (recognise(shown, INSTANCE, day, DEVICES, [KEY]) is not None) == known


def test_a_device_with_a_wrong_clock_is_found_by_trying_other_days() -> None:
    today = 20_000
    for day in (0, 30, today - 3000, today - 2, today + 2, today + 365):
        shown = tag(KEY, DEVICES[3], INSTANCE, day)
        found = recognise_wrong_clock(shown, INSTANCE, today, DEVICES[2:5], KEY)
        assert found == (DEVICES[3], day)
    shown = tag(OLD, DEVICES[3], INSTANCE, today - 5)
    assert recognise_wrong_clock(shown, INSTANCE, today, DEVICES[2:5], KEY) is None


def test_the_first_days_of_all_have_no_day_before() -> None:
    assert recognise(tag(KEY, DEVICES[0], INSTANCE, 1), INSTANCE, 0, DEVICES, [KEY]) == DEVICES[0]


def test_a_tag_is_another_for_each_name_and_day_so_that_nobody_else_can_follow_it() -> None:
    shown = {
        tag(KEY, DEVICES[0], instance, day) for instance in ("a" * 16, "b" * 16) for day in (1, 2)
    }
    assert len(shown) == 4
    repeated = tag(KEY, DEVICES[0], "a" * 16, 1)
    assert recognise(repeated, "b" * 16, 1, DEVICES, [KEY]) is None


@given(st.text(max_size=40))
def test_what_strangers_show_is_nobodys(shown: str) -> None:
    assert recognise(shown, INSTANCE, 100, DEVICES, [KEY]) is None


def test_days_are_those_of_utc() -> None:
    assert day_of(DAY_MS - 1) == 0 and day_of(DAY_MS) == 1 and day_of(-5) == 0
