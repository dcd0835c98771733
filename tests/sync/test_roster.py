"""The roster: who is a member by which entries, whatever happened at the same time elsewhere."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest

from regend.errors import BadInput, Conflict, NotAllowed, NotFound
from regend.sync import authoring
from regend.sync.entries import Entry, sign
from regend.sync.payloads import MESH_DEVICES, Add, Cut, Payload, Rename
from regend.sync.roster import NOTHING, Roster
from tests.sync.persons import AT_MS, added, entropy, identity, living, mesh

LOG = b"incarn-1"
CUT = Cut(7, b"h" * 32)


def revoked(roster: Roster, by: str, name: str, cut: Cut = CUT) -> Entry:
    own_entropy = entropy(f"{by} revokes {name}")
    return authoring.revoke(roster, identity(by), identity(name).id, {LOG: cut}, AT_MS, own_entropy)


def renamed(roster: Roster, by: str, name: str, new: str, at_ms: int = AT_MS) -> Entry:
    entry = authoring.rename(roster, identity(by), identity(name).id, new, at_ms)
    assert entry is not None
    return entry


def written(roster: Roster, by: str, payload: Payload) -> Entry:
    """Return an entry that no honest device would make."""
    return sign(identity(by).signing_key, roster.mesh, roster.heads, AT_MS, payload)


def in_every_order(roster: Roster, entries: Iterable[Entry]) -> Roster:
    """Return the roster with these entries, the same in whatever order they come."""
    results = []
    for order in itertools.permutations(entries):
        whole = roster
        for entry in order:
            whole = whole.merged([entry])
        results.append(whole)
    for other in results[1:]:
        assert (other.members, other.heads, other.digest) == (
            results[0].members,
            results[0].heads,
            results[0].digest,
        )
        assert (other.rejected, other.overruled, other.current) == (
            results[0].rejected,
            results[0].overruled,
            results[0].current,
        )
    return results[0]


def test_a_mesh_is_named_by_its_first_entry_and_its_maker_is_the_most_senior() -> None:
    roster = mesh("anna", "ben", "cara")
    assert living(roster) == ["anna", "ben", "cara"]
    assert roster.mesh in roster.entries and len(roster.heads) == 1
    assert roster.member(identity("ben").id).device == identity("ben").device


def test_a_roster_of_nothing_has_nobody() -> None:
    roster = Roster.of([])
    assert (roster.mesh, living(roster), roster.current, roster.needs_rekey) == (
        b"",
        [],
        None,
        False,
    )


def test_entries_of_two_meshes_are_not_one_roster() -> None:
    with pytest.raises(BadInput):
        Roster.of([*mesh("anna").entries.values(), *mesh("ben").entries.values()])


def test_an_entry_waits_for_what_it_builds_on() -> None:
    whole = mesh("anna", "ben", "cara")
    for missing in whole.entries:
        rest = [entry for one, entry in whole.entries.items() if one != missing]
        part = Roster.of(rest, whole.mesh)
        assert part.digest != whole.digest
        assert set(part.waiting) == {one.id for one in rest} - {
            entry.id for entry in whole_past_of(rest)
        }
        assert part.merged([whole.entries[missing]]).members == whole.members


def whole_past_of(entries: list[Entry]) -> list[Entry]:
    known: list[Entry] = []
    for entry in sorted(entries, key=lambda entry: len(entry.parents)):
        if set(entry.parents) <= {one.id for one in known}:
            known.append(entry)
    return known


def test_what_a_revoked_device_wrote_counts_up_to_the_cut() -> None:
    roster = mesh("anna", "ben", "cara")
    cara = identity("cara").id
    assert roster.cut(cara, LOG) is None
    roster = roster.merged([revoked(roster, "ben", "cara")])
    assert living(roster) == ["anna", "ben"] and roster.member(cara).is_revoked
    assert roster.cut(cara, LOG) == CUT
    assert roster.cut(cara, b"unheard.") == NOTHING == roster.cut(bytes(16), LOG)


@pytest.mark.parametrize("farther", ["anna", "ben"])
def test_of_two_cuts_the_farther_one_counts(farther: str) -> None:
    roster = mesh("anna", "ben", "cara")
    far = Cut(9, b"a" * 32)
    entries = [revoked(roster, by, "cara", far if by == farther else CUT) for by in ("anna", "ben")]
    assert in_every_order(roster, entries).cut(identity("cara").id, LOG) == far


def test_of_two_that_revoke_each_other_the_senior_stays() -> None:
    roster = mesh("anna", "ben", "cara", "dora")
    entries = [revoked(roster, "cara", "ben"), revoked(roster, "ben", "cara")]
    assert living(in_every_order(roster, entries)) == ["anna", "ben", "dora"]


def test_in_a_ring_of_three_the_senior_revocation_stands_first() -> None:
    roster = mesh("anna", "ben", "cara", "dora")
    ring = [
        revoked(roster, "ben", "cara"),
        revoked(roster, "cara", "dora"),
        revoked(roster, "dora", "ben"),
    ]
    # Ben's stands; so Cara's does not; so Dora's does.
    assert living(in_every_order(roster, ring)) == ["anna", "dora"]


def test_what_was_wrong_when_written_stays_so_whatever_makes_its_author_senior() -> None:
    roster = mesh("anna", "ben")
    earlier = added(roster, "anna", "dora")
    branch = roster.merged([renamed(roster, "ben", "ben", "Ben")])
    branch = branch.merged([added(branch, "ben", "cara")])
    branch = branch.merged([added(branch, "ben", "dora")])
    branch = branch.merged([revoked(branch, "cara", "dora"), revoked(branch, "dora", "cara")])
    assert living(branch) == ["anna", "Ben", "cara"]
    wrong = written(branch, "dora", Rename(identity("ben").id, "mine", 2))
    branch = branch.merged([wrong])
    assert wrong.id in branch.rejected
    whole = branch.merged([earlier])
    assert living(whole) == ["anna", "Ben", "dora"] and wrong.id in whole.rejected


def test_in_a_chain_of_three_what_the_middle_one_did_falls_with_it() -> None:
    roster = mesh("anna", "ben", "cara", "dora")
    chain = [
        revoked(roster, "anna", "ben"),
        revoked(roster, "ben", "cara"),
        revoked(roster, "cara", "dora"),
    ]
    assert living(in_every_order(roster, chain)) == ["anna", "cara"]


def test_somebody_is_always_left() -> None:
    roster = mesh("anna", "ben", "cara")
    first = revoked(roster, "cara", "ben")
    entries = [
        first,
        revoked(roster.merged([first]), "anna", "cara"),
        revoked(roster, "ben", "anna"),
    ]
    assert living(in_every_order(roster, entries)) == ["ben"]


def test_a_device_let_in_by_a_revoked_one_at_the_same_time_is_out() -> None:
    roster = mesh("anna", "ben")
    before = added(roster, "ben", "cara")
    roster = roster.merged([before])
    entries = [revoked(roster, "anna", "ben"), added(roster, "ben", "dora")]
    whole = in_every_order(roster, entries)
    assert living(whole) == ["anna", "cara"]
    assert whole.overruled == {entries[1].id} and identity("dora").id not in whole.members
    again = whole.merged([added(whole, "anna", "dora")])
    assert living(again) == ["anna", "cara", "dora"]


def test_what_follows_from_an_overruled_device_falls_too() -> None:
    roster = mesh("anna", "ben", "cara")
    hidden = roster.merged([added(roster, "ben", "dora")])
    by_dora = revoked(hidden, "dora", "cara")
    entries = [*hidden.entries.values(), by_dora, revoked(roster, "anna", "ben")]
    assert living(roster.merged(entries)) == ["anna", "cara"]


def test_nothing_counts_that_a_device_wrote_before_it_was_let_in_or_after_it_was_put_out() -> None:
    roster = mesh("anna", "ben", "cara")
    stranger = written(roster, "dora", Rename(identity("ben").id, "mine", 1))
    roster = roster.merged([stranger, revoked(roster, "anna", "cara")])
    late = written(roster, "cara", Rename(identity("ben").id, "mine", 1))
    on_top = sign(
        identity("anna").signing_key,
        roster.mesh,
        (late.id,),
        AT_MS,
        Rename(identity("ben").id, "mine", 1),
    )
    whole = in_every_order(roster, [late, on_top])
    assert living(whole) == ["anna", "ben"]
    assert set(whole.rejected) == {stranger.id, late.id, on_top.id}
    assert not {late.id, stranger.id, on_top.id} & set(whole.heads)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (Rename(identity("dora").id, "dora 2", 1), "no member"),
        (Rename(identity("cara").id, "far ahead", 7), "version"),
        (Add(identity("cara").device, "cara", (), bytes(48)), ""),
        (Add(identity("dora").device, "dora", (), bytes(48)), ""),
    ],
)
def test_what_could_not_be_is_rejected_with_the_reason(payload: Payload, why: str) -> None:
    roster = mesh("anna", "ben", "cara")
    entry = written(roster, "ben", payload)
    reason = roster.merged([entry]).rejected.get(entry.id, "")
    assert (why in reason) if why else not reason


def test_a_member_is_given_no_other_keys() -> None:
    roster = mesh("anna", "ben", "cara")
    cara = identity("cara").device
    posing = type(cara)(cara.verify_key, identity("ben").device.sealing_key, cara.certificate)
    entry = written(roster, "ben", Add(posing, "cara", (), bytes(48)))
    whole = roster.merged([entry])
    assert "other keys" in whole.rejected[entry.id] and whole.members == roster.members
    with pytest.raises(Conflict) as refused:
        authoring.add(roster, identity("anna"), posing, "cara", AT_MS, entropy())
    assert refused.value.code == "device_keys_differ"


def test_a_device_that_was_put_out_may_return_and_its_old_log_stays_cut() -> None:
    roster = mesh("anna", "ben", "cara")
    cara = identity("cara").id
    roster = roster.merged([revoked(roster, "anna", "cara")])
    roster = roster.merged([added(roster, "ben", "cara", "again")])
    assert living(roster) == ["anna", "ben", "cara"]
    assert roster.cut(cara, LOG) == CUT and roster.cut(cara, b"incarn-2") is None
    twice = roster.merged([revoked(roster, "anna", "cara", Cut(8, b"i" * 32))])
    assert living(twice) == ["anna", "ben"] and twice.cut(cara, LOG) == Cut(8, b"i" * 32)


def test_a_return_does_not_outlast_a_revocation_that_it_did_not_know() -> None:
    roster = mesh("anna", "ben", "cara", "dora")
    out = roster.merged([revoked(roster, "anna", "dora")])
    back = added(out, "ben", "dora", "again")
    elsewhere = revoked(roster, "cara", "dora")
    assert living(in_every_order(out, [back, elsewhere])) == ["anna", "ben", "cara"]


def test_a_member_is_let_in_once() -> None:
    roster = mesh("anna", "ben")
    ben = identity("ben").device
    assert authoring.add(roster, identity("anna"), ben, "other", AT_MS, entropy()) is None


def test_two_that_let_in_the_same_device_at_the_same_time_let_in_one() -> None:
    roster = mesh("anna", "ben")
    whole = in_every_order(roster, [added(roster, "anna", "cara"), added(roster, "ben", "cara")])
    assert living(whole) == ["anna", "ben", "cara"] and not whole.rejected
    whole = whole.merged([revoked(whole, "anna", "cara")])
    assert living(whole) == ["anna", "ben"]


def test_the_name_of_the_highest_version_time_and_author_is_shown() -> None:
    roster = mesh("anna", "ben", "cara")
    early = renamed(roster, "anna", "cara", "early", AT_MS)
    late = renamed(roster, "ben", "cara", "late", AT_MS + 1)
    assert living(in_every_order(roster, [early, late])) == ["anna", "ben", "late"]
    knowing = renamed(roster.merged([early]), "anna", "cara", "knowing", AT_MS - 1000)
    assert living(in_every_order(roster, [early, late, knowing])) == ["anna", "ben", "knowing"]


def test_a_device_that_returns_has_the_name_that_it_returned_with() -> None:
    roster = mesh("anna", "ben")
    roster = roster.merged([renamed(roster, "anna", "ben", "old name")])
    roster = roster.merged([revoked(roster, "anna", "ben")])
    assert roster.member(identity("ben").id).name == "old name"
    roster = roster.merged([added(roster, "anna", "ben", "again")])
    assert living(roster) == ["anna", "ben"]
    assert living(roster.merged([renamed(roster, "ben", "ben", "new name")])) == [
        "anna",
        "new name",
    ]


def test_of_two_with_one_name_the_junior_gets_a_number() -> None:
    roster = mesh("anna", "ben", "cara")
    entries = [renamed(roster, "anna", "ben", "Laptop"), renamed(roster, "ben", "cara", "laptop")]
    assert living(in_every_order(roster, entries)) == ["anna", "Laptop", "laptop 2"]


def test_a_newcomer_with_a_taken_name_gets_a_number() -> None:
    roster = mesh("anna", "ben")
    entry = authoring.add(
        roster, identity("anna"), identity("cara").device, "BEN", AT_MS, entropy()
    )
    assert entry is not None
    assert living(roster.merged([entry])) == ["anna", "ben", "BEN 2"]


def test_what_a_person_may_not_do_is_refused_with_the_remedy() -> None:
    roster = mesh("anna", "ben", "cara")
    roster = roster.merged([revoked(roster, "anna", "cara")])
    anna, ben, cara = identity("anna"), identity("ben"), identity("cara")
    with pytest.raises(BadInput) as this:
        authoring.revoke(roster, anna, anna.id, {}, AT_MS, entropy())
    assert this.value.code == "device_is_this" and "another device" in this.value.hint
    with pytest.raises(NotFound) as unknown:
        authoring.revoke(roster, anna, bytes(16), {}, AT_MS, entropy())
    assert unknown.value.code == "device_unknown" and "devices list" in unknown.value.hint
    with pytest.raises(Conflict) as before:
        authoring.revoke(roster, anna, cara.id, {}, AT_MS, entropy())
    assert before.value.code == "device_revoked_before"
    with pytest.raises(Conflict) as taken:
        authoring.rename(roster, anna, ben.id, "ANNA", AT_MS)
    assert taken.value.code == "device_name_taken" and taken.value.hint
    with pytest.raises(Conflict):
        authoring.rename(roster, anna, cara.id, "ghost", AT_MS)
    with pytest.raises(BadInput):
        authoring.rename(roster, anna, ben.id, " ", AT_MS)
    with pytest.raises(NotAllowed) as outside:
        authoring.rekey(roster, cara, AT_MS, entropy())
    assert outside.value.code == "device_not_a_member" and outside.value.hint
    assert authoring.rename(roster, anna, ben.id, "ben", AT_MS) is None
    assert authoring.rename(roster, anna, ben.id, "Ben", AT_MS) is not None


def test_a_mesh_has_room_for_so_many_devices() -> None:
    roster = mesh("anna")
    entries, parents = [*roster.entries.values()], roster.heads
    for number in range(MESH_DEVICES):
        payload = Add(identity(f"device {number}").device, f"device {number}", (), bytes(48))
        entries.append(sign(identity("anna").signing_key, roster.mesh, parents, AT_MS, payload))
        parents = (entries[-1].id,)
    full = Roster.of(entries)
    assert len(full.living) == MESH_DEVICES and full.rejected == {
        entries[-1].id: "the mesh has no room"
    }
    with pytest.raises(Conflict) as refused:
        authoring.add(full, identity("anna"), identity("cara").device, "cara", AT_MS, entropy())
    assert refused.value.code == "devices_full" and refused.value.hint


def test_entries_travel_in_an_order_in_which_none_has_to_wait() -> None:
    roster = mesh("anna", "ben", "cara")
    roster = roster.merged([revoked(roster, "anna", "cara"), added(roster, "ben", "dora")])
    seen: set[bytes] = set()
    by_blob = {entry.blob: entry for entry in roster.entries.values()}
    for blob in roster.blobs():
        assert set(by_blob[blob].parents) <= seen
        seen.add(by_blob[blob].id)
    assert seen == set(roster.entries)
