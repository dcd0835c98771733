"""What survivors make of a revocation, in cases that the state machine has found."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from regend.errors import Conflict
from regend.jobs import handover, journal, repository
from regend.jobs.folding import AWAY, HERE
from regend.jobs.journal import Effect
from regend.mesh.documents import FOLDERS
from regend.mesh.statehash import state_hash
from regend.mesh.taking import Taking
from regend.store import changelog
from regend.store.change import Change
from regend.sync import authoring
from regend.sync.replica import Source
from tests.jobs.test_lifecycle_machine import MAX_DEATHS, new_job
from tests.sync import persons
from tests.sync.houses import Household
from tests.sync.members import Member, exchange_rosters, mesh_of
from tests.sync.replicas import CLOCK

AT_MS = 1_790_000_000_000

Mesh = list[Member]


@pytest.fixture
def mesh() -> Iterator[Mesh]:
    loop = asyncio.new_event_loop()
    devices = mesh_of(5, loop)
    for device in devices:
        device.at_ms = AT_MS
        with device.transaction() as c:
            changelog.begin(c, device.log)
    yield devices
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def submit(device: Member, job: str) -> None:
    with device.transaction() as c:
        own = replace(new_job(job), device=device.log.device.hex())
        repository.create(c, own, device.at_ms)


def take(device: Member, job: str) -> None:
    """Run a job here on a person's word."""
    with device.transaction() as c:
        handover.take(c, repository.find(c, None, job), device.at_ms)


def meet(one: Member, other: Member, parts: slice = slice(None)) -> None:
    """Let one device bring another what it lacks, or a part of what it lacks of each log."""
    linked = exchange_rosters(one, other)
    one.go_by_roster()
    other.go_by_roster()
    for blobs in one.frames_for(other).values() if linked else ():
        one.give(other, blobs[parts])


def level(*devices: Member) -> None:
    """Let devices meet until they have the same, and check that it makes the same of them."""
    for _ in range(4):
        for one in devices:
            for other in devices:
                meet(one, other)
    for device in devices:
        assert device.vector() == devices[0].vector()
        assert state_hash(device.connection) == state_hash(devices[0].connection)


def copied(device: Member) -> Member:
    copy = device.copied()
    copy.recover(MAX_DEATHS)
    return copy


def test_a_job_goes_with_its_beginning_though_a_survivor_took_it_over(mesh: Mesh) -> None:
    one, out, two, *_ = mesh
    submit(out, "a")
    meet(out, two)
    take(two, "a")
    one.revoke(out)
    level(one, two)
    assert not one.jobs() and not two.jobs()
    kept = two.connection.execute("SELECT count(*) FROM strays").fetchone()
    assert kept == (1,), "what the survivor did is on record"


def test_a_job_without_a_history_is_as_old_as_it_was(mesh: Mesh) -> None:
    one, out, two, *_ = mesh
    submit(out, "a")
    out.pack([out.vector()], 1)
    meet(out, one, slice(1))  # that there is a job, and nothing of what happened to it
    meet(out, two)
    one.revoke(out)
    level(one, two)
    assert one.jobs()["a"]["updated_at"] == two.jobs()["a"]["updated_at"] == AT_MS


def test_what_is_kept_of_a_job_that_has_not_come_is_taken_back_too(mesh: Mesh) -> None:
    one, out, first, two, _ = mesh
    submit(first, "a")
    meet(first, out)
    take(out, "a")
    for blobs in out.frames_for(two).values():
        if out.reopen(blobs[0])[0].header.log == out.log:
            out.give(two, blobs)  # before the job itself
    meet(first, one)
    one.revoke(out)
    level(one, two)
    assert not two.connection.execute("SELECT 1 FROM strays").fetchall()


@pytest.mark.parametrize("full", [1, 5])
@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_of_a_copied_home_that_is_put_out_the_history_counts_that_was_cut(
    mesh: Mesh, full: int, jobs: int
) -> None:
    """Two met two copies of it, which had parted and never met."""
    one, out, two, *_ = mesh
    submit(out, "before")
    meet(out, one)
    meet(out, two)
    copy = copied(out)
    for number in range(jobs):
        submit(out, f"a{number}")
    submit(copy, "b")
    submit(copy, "c")
    for home, met in ((out, one), (copy, two)):
        home.pack([home.vector()], full)
        meet(home, met)
    one.revoke(out)
    level(one, two)
    kept = {"before", *(f"a{number}" for number in range(jobs))}
    assert set(one.jobs()) == set(two.jobs()) == kept


def test_who_took_over_what_counts_no_more_holds_it_no_more(mesh: Mesh) -> None:
    one, out, two, *_ = mesh
    submit(out, "a")
    out.pack([out.vector()], 1)
    meet(out, one, slice(1))
    meet(out, two)
    take(two, "a")
    one.revoke(out)
    level(one, two)
    assert two.jobs()["a"]["remote"] == AWAY
    take(two, "a")
    level(one, two)
    assert two.jobs()["a"]["remote"] == HERE and two.jobs()["a"]["job_seq"] == 1


def test_that_an_effect_was_done_is_known_to_all_though_who_did_it_is_out(mesh: Mesh) -> None:
    one, out, two, *_ = mesh
    submit(out, "a")
    meet(out, one)
    with out.transaction() as c:
        claim = repository.claim(c, "boot", AT_MS)
        assert claim is not None
        effect = Effect(1, "pay", "key", "0" * 64, "intended", None)
        journal.intend(c, claim.job, claim.fence, effect, AT_MS)
        journal.settle_effect(c, claim.job, claim.fence, 1, "done", '"receipt"', AT_MS)
    meet(out, two)
    one.revoke(out)
    level(one, two)
    for device in (one, two):
        known = device.connection.execute("SELECT state, receipt FROM effects").fetchall()
        assert known == [("done", '"receipt"')]


class Idle:
    """A supervisor that has nothing to run."""

    def tell(self, _job: int, _desired: str) -> None: ...

    def end_lost(self) -> None: ...


async def test_what_was_being_stored_while_the_roster_grew_is_taken_back(tmp_path: Path) -> None:
    roster = persons.mesh("one", "out")
    one, out = [await Household(tmp_path, roster, name).join() for name in ("one", "out")]
    await out.store.write(lambda c: repository.create(c, new_job("a"), AT_MS))
    _, blobs = await out.house.frames(out.log, 0)
    begun, goes_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    take_in = one.house._take_in

    def slowly(*arguments: Any) -> Any:
        received = take_in(*arguments)
        loop.call_soon_threadsafe(begun.set)
        goes_on.wait(10)
        return received

    one.house._take_in = slowly
    taking = asyncio.create_task(one.house.take(blobs))
    await begun.wait()
    entry = authoring.revoke(roster, one.identity, out.identity.id, {}, AT_MS, os.urandom)
    one.house.roster = roster.merged([entry])
    idle: Any = Idle()
    rule = Taking(one.store, CLOCK, idle, {}, lambda: None, lambda _work: None)
    loop.call_later(0.2, goes_on.set)
    await rule.take_back(one.house)
    await taking
    assert out.log not in await one.house.vector()
    for device in (one, out):
        await device.close()


def test_what_a_device_did_while_it_was_out_is_told_when_it_comes_back(mesh: Mesh) -> None:
    one, out, two, *_ = mesh
    submit(out, "before")
    meet(out, one)
    meet(out, two)
    one.revoke(out)
    submit(out, "late")
    meet(out, two)
    level(one, two)
    assert set(one.jobs()) == set(two.jobs()) == {"before"}
    assert out.rejoin(two)
    level(one, two, out)
    for device in (one, two, out):
        assert set(device.jobs()) == {"before", "late"}


def test_a_device_that_comes_back_can_read_what_it_sealed_while_it_was_out(mesh: Mesh) -> None:
    one, out, two, three, _ = mesh
    one.revoke(out)
    out.revoke(three)  # a new key, of which those it comes back to were not told
    submit(out, "a")
    out.pack([out.vector()], 1)
    meet(one, two)
    assert out.rejoin(two)
    level(one, two, out)
    assert set(one.jobs()) == {"a"}


def test_a_device_that_lacks_the_newest_key_sends_nothing_of_its_own_until_it_has_it(
    mesh: Mesh,
) -> None:
    one, out, two, _, four = mesh
    two.revoke(out)
    meet(two, one)
    one.revoke(four)  # with a key that is not for who is out
    assert out.rejoin(two)
    submit(out, "a")
    exchange_rosters(one, two)
    exchange_rosters(two, out)
    assert not out.house.can_seal and out.frames(out.log, 0) == []
    level(one, two, out)
    assert set(one.jobs()) == {"a"}


def test_a_copy_of_a_device_that_was_put_out_and_came_back_is_heard_again(mesh: Mesh) -> None:
    one, out, two, *_ = mesh
    submit(out, "before")
    meet(out, one)
    copy = copied(out)
    one.revoke(out)
    submit(copy, "past")
    meet(one, two)
    assert out.rejoin(two)
    level(one, two, out)
    meet(copy, one)
    submit(copy, "later")
    level(one, two, out, copy)
    assert set(two.jobs()) == {"before", "past", "later"}


def test_any_member_gives_a_key_to_who_lacks_it_while_the_senior_ones_are_away(mesh: Mesh) -> None:
    one, two, host, out, other = mesh
    one.revoke(out)
    meet(one, two)
    meet(one, host)
    two.revoke(other)  # with a key that the host does not know of
    assert out.rejoin(host)
    submit(two, "a")
    for _ in range(2):
        meet(two, host)
        meet(host, out)
    assert set(out.jobs()) == {"a"} and out.house.can_seal


def test_a_device_that_has_put_out_its_host_is_told_so(mesh: Mesh) -> None:
    _, out, two, *_ = mesh
    out.revoke(two)
    two.revoke(out)
    with pytest.raises(Conflict, match="it has put out the device that lets it in"):
        out.rejoin(two)
    assert not out.house.roster.is_living(two.identity.id)


def add_document(device: Member, id: str) -> None:
    digest = hashlib.sha256(id.encode()).hexdigest()
    about = [id, f"/{id}", "text/plain", 1, "en", False]
    with device.transaction() as c, changelog.writing(c, device.at_ms) as log:
        assert log is not None
        change = Change(log.tick(), "document", [id, "me", digest, digest, about])
        log.add(change.kind, *change.fields, clock=change.clock)
        FOLDERS[change.kind](c, Source(device.log, 0, device.at_ms), change)


def remove_document(device: Member, id: str) -> None:
    with device.transaction() as c, changelog.writing(c, device.at_ms) as log:
        assert log is not None
        change = Change(log.tick(), "document gone", [[id]])
        log.add(change.kind, *change.fields, clock=change.clock)
        FOLDERS[change.kind](c, Source(device.log, 0, device.at_ms), change)


def documents(device: Member) -> dict[str, str]:
    """Return the state of each document that a device which counts told of."""
    query = "SELECT id, state FROM shared_documents WHERE device <> x'' ORDER BY id"
    return dict(device.connection.execute(query).fetchall())


def test_a_document_that_was_added_past_the_cut_is_no_survivors(mesh: Mesh) -> None:
    one, out, two, *_ = mesh
    add_document(out, "a")
    meet(out, two)
    assert documents(two) == {"a": "coming"}
    one.revoke(out)
    level(one, two)
    assert documents(one) == documents(two) == {}


@pytest.mark.parametrize("is_removed_too", [False, True])
def test_a_document_that_was_removed_past_the_cut_is_as_the_others_left_it(
    mesh: Mesh, is_removed_too: bool
) -> None:
    one, out, two, three, _ = mesh
    add_document(three, "a")
    for device in (one, out):
        meet(three, device)
    remove_document(out, "a")
    for blobs in out.frames_for(two).values():
        if out.reopen(blobs[0])[0].header.log == out.log:
            out.give(two, blobs)  # before the document itself
    if is_removed_too:
        remove_document(one, "a")
    one.revoke(out)
    level(one, two, three)
    found = documents(two)
    assert found == documents(one) == documents(three)
    assert (found["a"] == "gone") is is_removed_too


def test_what_a_device_added_while_it_was_out_is_there_once_it_is_back(mesh: Mesh) -> None:
    one, out, two, *_ = mesh
    add_document(out, "a")
    meet(out, two)
    one.revoke(out)
    level(one, two)
    assert out.rejoin(one)
    level(one, two, out)
    assert list(documents(one)) == list(documents(two)) == ["a"]
    assert "gone" not in (documents(one)["a"], documents(two)["a"])


def test_three_new_keys_while_a_device_is_away_cost_it_nothing(mesh: Mesh) -> None:
    one, two, away, first, second = mesh
    submit(away, "before")
    level(one, two, away)
    submit(away, "meanwhile")
    for job, out in (("under-first", first), ("under-second", second)):
        one.revoke(out)
        submit(one, job)
        meet(one, two)
    key = authoring.rekey(two.house.roster, two.identity, AT_MS, two.draw)
    two.run(two.house.add_entries([key]))
    submit(two, "under-third")
    assert len(away.house.keys) == 1 and len(two.house.keys) == 4
    meet(away, two)
    level(one, two, away)
    assert away.house.keys == two.house.keys and away.house.roster.current == key.key_id
    assert len(away.jobs()) == 5 and set(away.jobs()) == set(one.jobs())
