"""What is worth telling of links: devices that come and go, and how far a sync is."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from regend.store.change import LogId, Position
from regend.sync.presence import Counts, Presence, Progress, Sync

A, B = LogId(b"a" * 32, b"1" * 8), LogId(b"b" * 32, b"1" * 8)


def told(presence: Presence, looks: Iterable[tuple[float, bool]]) -> list[tuple[float, bool]]:
    """Return when it was told that a device is online or not, of looks in a row."""
    found = []
    for now_s, linked in looks:
        if presence.look(linked, now_s):
            presence.told()
            found.append((now_s, presence.online))
    return found


def vector(a: int = 0, b: int = 0) -> dict[LogId, Position]:
    return {log: Position(seq, b"h" * 32) for log, seq in ((A, a), (B, b)) if seq}


def look(sync: Sync, ours: object, theirs: object, payloads: int = 0, **counts: int) -> Progress:
    """Return what a look brings, told at once."""
    progress = sync.look(ours, theirs, Counts(**counts), payloads)  # type: ignore[arg-type]
    assert progress is not None
    sync.told(progress)
    return progress


def test_a_device_is_online_at_once_and_offline_only_when_it_stays_away() -> None:
    presence = Presence(online=False)
    looks = [(0, False), (1, True), (2, True), (3, False), (4, True), (5, False), (6, False)]
    assert told(presence, looks) == [(1, True)]
    assert told(presence, [(7, False), (8, False), (9, False)]) == [(8, False)]


def test_what_was_told_before_the_start_is_not_told_again() -> None:
    assert told(Presence(online=True), [(0, True), (1, True)]) == []
    assert told(Presence(online=True), [(0, False), (1, False), (100, False)]) == [(100, False)]


def test_what_could_not_be_written_is_told_at_the_next_look() -> None:
    presence = Presence(online=False)
    assert presence.look(True, 0) and presence.look(True, 1)
    assert not presence.is_settled
    presence.told()
    assert not presence.look(True, 2) and presence.is_settled


def test_a_link_that_flaps_a_thousand_times_is_told_seldom_and_truly_at_last() -> None:
    presence = Presence(online=False)
    looks = [(0.0, True)]
    for flap in range(1000):
        looks += [(8.0 * flap + at, at >= 5) for at in range(1, 9)]  # 4 s away, 4 s there
    found = told(presence, looks)
    assert len(found) < 10 and found[-1][1]
    assert told(presence, [(9000, False), (9100, False)]) == [(9100, False)]
    # Once its link has held for long, it is taken at its word again.
    assert told(presence, [(9200, True), (9900, True), (9901, False), (9905, False)]) == [
        (9200, True),
        (9905, False),
    ]


def test_a_first_sync_counts_down_to_equal() -> None:
    sync = Sync(vector(a=10), vector(b=300))
    first = look(sync, vector(a=10), vector(b=300))
    assert (first.behind, first.ahead, first.total) == (300, 10, 310)
    assert first.behind_bytes is None and not first.done
    half = look(sync, vector(10, 100), vector(10, 300), changes=100, change_bytes=5000)
    assert (half.behind, half.ahead, half.total) == (200, 0, 310)
    assert half.behind_bytes == 200 * 50
    last = look(sync, vector(10, 300), vector(10, 300))
    assert last.done and sync.is_done and (last.behind, last.behind_bytes) == (0, 0)


def test_what_is_written_meanwhile_does_not_put_the_end_off() -> None:
    sync = Sync(vector(), vector(b=50))
    last = look(sync, vector(b=50), vector(b=60))  # also where all was over by the first look
    assert last.done and last.total == 50


def test_payloads_of_the_other_side_belong_to_a_sync() -> None:
    sync = Sync(vector(), vector(b=50))
    look(sync, vector(), vector(b=50), 2)
    assert not look(sync, vector(b=50), vector(b=50), 2).done
    assert look(sync, vector(b=50), vector(b=50), 0).done


def test_equal_devices_say_so_once() -> None:
    sync = Sync(vector(5, 5), vector(5, 5))
    assert look(sync, vector(5, 5), vector(5, 5)).done
    assert sync.look(vector(5, 5), vector(5, 5), Counts(sent_bytes=7), 1) is None


@pytest.mark.parametrize(("behind", "is_told"), [(20, False), (2000, True)])
def test_a_job_seen_live_is_no_sync_but_much_at_once_is(behind: int, is_told: bool) -> None:
    sync = Sync(vector(), vector())
    look(sync, vector(), vector())
    progress = sync.look(vector(), vector(b=behind), Counts(), 0)
    assert (progress is not None) is is_told
    if progress is not None:
        assert (progress.behind, progress.total, progress.done) == (behind, behind, False)
