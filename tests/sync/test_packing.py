"""What is packed counts as what it was: behind forks, partings, cuts, and for who comes late."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

import msgpack
import pytest

from regend.jobs import commands, repository
from regend.mesh.unfolding import unfold
from regend.store import cells, changelog
from regend.store.change import Position, first_head
from regend.sync import packing, supply
from regend.sync.payloads import Cut
from tests.jobs.test_lifecycle_machine import new_job
from tests.sync.agreement import assert_convergence
from tests.sync.pocket import Device, reopened, sealed


def device_of(number: int) -> Device:
    device = Device(number, at_ms=1_790_000_000_000)
    with device.transaction() as c:
        changelog.begin(c, device.log)
    return device


def submit(device: Device, job_id: str) -> None:
    with device.transaction() as c:
        own = replace(new_job(job_id), device=device.log.device.hex())
        repository.create(c, own, device.at_ms)


def put(device: Device, name: str, **values: Any) -> None:
    with device.transaction() as c:
        cells.write(c, [(name, values)], device.at_ms)


def plain(device: Device) -> list[int]:
    rows = device.connection.execute("SELECT seq FROM changes ORDER BY log, seq")
    return [row[0] for row in rows]


def meet(*devices: Device) -> None:
    for _ in range(3):
        for one in devices:
            for other in devices:
                if one is not other:
                    for blobs in one.frames_for(other).values():
                        one.give(other, blobs)
    assert len({str(sorted(one.vector().items())) for one in devices}) == 1


def pack_all(*devices: Device, full: int = 2) -> None:
    for device in devices:
        device.pack([device.vector()], full)


@pytest.mark.parametrize("full", [1, 2, 3])
@pytest.mark.parametrize("packs_first", [True, False])
def test_a_copied_home_parts_within_what_is_packed(full: int, packs_first: bool) -> None:
    one, two = device_of(0), device_of(1)
    submit(one, "job-both")
    if packs_first:
        pack_all(one, full=full)
    copy = one.copied()
    for number in range(3):
        submit(one, f"job-one-{number}")
        submit(copy, f"job-copy-{number}")
    meet(one, two)
    pack_all(one, copy, full=full)
    assert len(plain(copy)) < full
    meet(one, copy, two)
    jobs = {"job-both", *(f"job-{who}-{n}" for who in ("one", "copy") for n in range(3))}
    for device in (one, copy, two):
        assert device.jobs().keys() == jobs
    assert_convergence([one, copy, two])
    pack_all(one, copy, full=full)
    three = device_of(2)
    meet(copy, three)
    assert_convergence([copy, three])


@pytest.mark.parametrize(("end", "packed"), [(1, []), (2, [(1, 2)]), (3, [(1, 2), (3, 3)])])
def test_a_log_goes_on_in_plain_between_what_is_packed_and_what_others_had(
    end: int, packed: list[tuple[int, int]]
) -> None:
    one, two = device_of(0), device_of(1)
    for number in range(3):
        put(one, f"thing {number}", seen=number)
    meet(one, two)
    earlier, saved = one.log, one.copied()
    submit(one, "job-lost")
    meet(one, two)
    after = saved.copied()
    after.restore()
    submit(after, "job-later")
    meet(after, two)
    (head,) = after.connection.execute(
        "SELECT head FROM changes WHERE log = 1 AND seq = ?", (end,)
    ).fetchone()
    after.pack([{earlier: Position(end, head)}], 2)
    rows = after.connection.execute("SELECT first, last FROM frames WHERE log = 1 ORDER BY last")
    assert [tuple(row) for row in rows if row[1] <= 3] == packed
    piece = [last for last, _ in supply.frames_after(after.connection, earlier, 0, 1 << 30)]
    assert piece[: len(packed)] == [last for _, last in packed]
    assert len(piece) == len(packed) or end == 3, "it ends where the next stands in plain"
    three = device_of(2)
    meet(after, three)
    assert three.jobs().keys() == {"job-lost", "job-later"}
    assert_convergence([after, two, three])


def test_a_home_sees_that_its_history_parted_where_that_is_packed() -> None:
    """Another copy of it met the other history first, and began anew with what both had written."""
    one, two = device_of(0), device_of(1)
    submit(one, "job-both")
    other = one.copied()
    submit(other, "job-other")
    meet(other, two)
    submit(one, "job-one")
    same = one.copied()
    pack_all(one, same, full=1)
    assert plain(one) == []
    meet(same, two)
    assert same.log != one.log, "it began anew"
    before = one.log
    for blobs in two.frames_for(one).values():
        two.give(one, blobs)
    assert one.log != before
    meet(one, same, two, other)
    for device in (one, same, two, other):
        assert device.jobs().keys() == {"job-both", "job-other", "job-one"}
    assert_convergence([one, same, two, other])


def test_what_is_taken_back_of_another_leaves_what_is_packed_here() -> None:
    one, two = device_of(0), device_of(1)
    put(one, "thing", colour="red", shape="round")
    meet(one, two)
    put(two, "thing", colour="blue")
    meet(one, two)
    pack_all(one, full=1)
    assert colour(one) == "blue"
    with one.transaction() as c:
        end = Cut(0, first_head(two.log))
        assert unfold(c, two.log, end, reopened, one.at_ms) == 1
    assert colour(one) == "red"


def colour(device: Device) -> str:
    row = device.connection.execute("SELECT value FROM cells WHERE field = 'colour'").fetchone()
    return str(msgpack.unpackb(row[0]))


def test_what_another_device_has_is_packed_in_full_frames_and_the_rest_is_not() -> None:
    one, two, far = device_of(0), device_of(1), device_of(2)
    for number in range(7):
        put(one, "thing", seen=number)
    one.pack([two.vector(), far.vector()], 3)
    assert plain(one) == [*range(1, 8)], "nobody has it"
    for blobs in one.frames_for(two).values():
        two.take(blobs)
    one.pack([two.vector(), far.vector()], 3)
    assert plain(one) == [7], "a frame that is not full is left open"
    one.pack([two.vector(), far.vector()], 3)
    assert plain(one) == [7]


def test_what_another_has_otherwise_is_not_packed() -> None:
    one, two = device_of(0), device_of(1)
    copy = one.copied()
    put(one, "thing", seen=1)
    put(copy, "thing", seen=2)
    meet(copy, two)
    one.pack([two.vector()], 1)
    assert plain(one) == [1]


def test_a_page_is_stored_only_while_its_log_is_the_same() -> None:
    one, two = device_of(0), device_of(1)
    copy = one.copied()
    for device in (one, copy):
        device.at_ms += 1 + (device is one)
        put(device, "thing", seen=device is one)
        submit(device, f"job-{device is one}")
    meet(one, two)
    with (
        mock.patch.object(packing, "FRAME_CHANGES", 1),
        mock.patch.object(supply, "FRAME_CHANGES", 1),
    ):
        page = packing.next_page(copy.connection, [copy.vector()])
    assert page
    meet(copy, two)  # it begins anew, and its old log is the other's from there on
    with copy.transaction() as c:
        assert not packing.pack(c, page, [sealed(one) for one in page])
    meet(copy, one, two)
    assert_convergence([copy, one, two])


def test_changes_of_a_newer_version_are_packed_and_put_back_as_they_are() -> None:
    one, two = device_of(0), device_of(1)
    with one.transaction() as c, changelog.writing(c, one.at_ms) as log:
        assert log is not None
        for number in range(4):
            log.add("mood", number, {"of": ["रसोई", number]})
    before = one.connection.execute("SELECT * FROM changes").fetchall()
    pack_all(one)
    assert plain(one) == []
    meet(one, two)
    kept = two.connection.execute("SELECT seq, body FROM unfolded ORDER BY seq").fetchall()
    assert kept == [(seq, body) for _, seq, _, body in before]
    with one.transaction() as c:
        packing.unpack(c, one.log, 1, reopened)
    assert one.connection.execute("SELECT * FROM changes").fetchall() == before
    assert one.connection.execute("SELECT count(*) FROM frames").fetchone() == (0,)


YEAR_MS = 365 * 24 * 3600 * 1000


def test_a_device_that_was_away_for_a_year_resurrects_nothing_and_loses_nothing() -> None:
    one, two, away = device_of(0), device_of(1), device_of(2)
    for name in ("job-cancelled", "job-kept"):
        submit(one, name)
    put(one, "thing", colour="red", gone="yes")
    meet(one, two, away)
    submit(away, "job-of-its-own")
    put(away, "thing", shape="round")
    for device in (one, two):
        device.at_ms += YEAR_MS
    with one.transaction() as c:
        number = one.jobs()["job-cancelled"]["number"]
        commands.cancel(c, repository.by_number(c, number), one.at_ms)
    put(one, "thing", colour="blue", gone=None)
    meet(one, two)
    put(two, "thing", colour="green")
    meet(one, two)
    pack_all(one, two, full=1)
    assert plain(one) == plain(two) == []
    away.at_ms += YEAR_MS
    pack_all(away, full=1)
    meet(one, two, away)
    assert_convergence([one, two, away])
    for device in (one, two, away):
        states = {name: row["state"] for name, row in device.jobs().items()}
        assert states["job-cancelled"] == "cancelled"
        assert states["job-kept"] == states["job-of-its-own"] == "created"
        fields = device.connection.execute("SELECT field, value FROM cells WHERE object = 'thing'")
        found = {field: msgpack.unpackb(value) for field, value in fields}
        assert found == {"colour": "green", "gone": None, "shape": "round"}
    late = device_of(3)
    meet(away, late)
    assert_convergence([one, two, away, late])
