"""What is asked for again: all that is missing of a log, once, and what waited for its key."""

from __future__ import annotations

from regend.store.change import LogId
from regend.sync.wants import Locked, Wants

LOG, KEY = LogId(b"d" * 16, b"i" * 8), b"k" * 8


def test_what_was_asked_for_before_the_key_came_is_not_left_out() -> None:
    wants = Wants()
    wants.add(LOG, 0)
    wants.lock(LOG, Locked(50, KEY))
    assert wants.take({KEY}) == {LOG: 0}
    assert not wants.locked and not wants.take({KEY})


def test_a_later_want_does_not_replace_an_earlier_one() -> None:
    wants = Wants()
    wants.add(LOG, 0)
    wants.add(LOG, 10)
    assert wants.take(()) == {LOG: 0}
    wants.add(LOG, 10)
    assert not wants.take(())


def test_what_is_locked_waits_for_its_own_key_and_is_asked_for_from_the_first_frame_on() -> None:
    wants = Wants()
    wants.lock(LOG, Locked(50, KEY))
    wants.lock(LOG, Locked(90, KEY))
    assert not wants.take({b"another!"})
    assert wants.take({KEY}) == {LOG: 50}
