"""Epoch keys: members have them, whoever was put out has no newer one, and none is missing long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from nacl.public import SealedBox

from regend.sync import authoring
from regend.sync.entries import Entry, sign
from regend.sync.epochs import hand_over, introduce
from regend.sync.payloads import Rekey
from regend.sync.roster import Roster
from tests.sync.persons import AT_MS, added, entropy, identity, mesh


def keys(roster: Roster, name: str) -> dict[bytes, bytes]:
    return roster.epoch_keys(identity(name).sealing_key)


def revoked(roster: Roster, by: str, name: str) -> Entry:
    own_entropy = entropy(f"{by} revokes {name}")
    return authoring.revoke(roster, identity(by), identity(name).id, {}, AT_MS, own_entropy)


def rekeyed(roster: Roster, by: str) -> Entry:
    return authoring.rekey(roster, identity(by), AT_MS, entropy(f"{by} rekeys {roster.digest!r}"))


def owing(roster: Roster, *linked: str) -> list[str]:
    """Return who is to write a rekey, where only these are linked; all of them, if none is."""
    ids = {identity(name).id for name in linked}
    return [
        name
        for name in linked or ("anna", "ben", "cara", "dora")
        if roster.owes_rekey(identity(name).id, keys(roster, name), ids - {identity(name).id})
    ]


def test_all_members_have_the_same_keys_and_seal_with_the_newest() -> None:
    roster = mesh("anna", "ben")
    roster = roster.merged([rekeyed(roster, "ben")])
    roster = roster.merged([added(roster, "ben", "cara")])
    assert keys(roster, "anna") == keys(roster, "ben") == keys(roster, "cara")
    assert tuple(keys(roster, "anna")) == roster.key_ids and len(roster.key_ids) == 2
    assert roster.current == roster.key_ids[-1] and not roster.needs_rekey
    assert keys(roster, "dora") == {} and owing(roster) == []


def test_whoever_was_put_out_keeps_the_old_key_and_gets_no_new_one() -> None:
    roster = mesh("anna", "ben", "cara")
    roster = roster.merged([revoked(roster, "ben", "cara")])
    assert tuple(keys(roster, "cara")) == roster.key_ids[:1]
    assert tuple(keys(roster, "anna")) == tuple(keys(roster, "ben")) == roster.key_ids
    assert roster.current == roster.key_ids[1] and not roster.needs_rekey


def test_after_two_revocations_at_the_same_time_the_senior_member_makes_a_new_key() -> None:
    roster = mesh("anna", "ben", "cara", "dora")
    roster = roster.merged([revoked(roster, "anna", "cara"), revoked(roster, "ben", "dora")])
    assert roster.current is None and roster.needs_rekey and owing(roster) == ["anna"]
    roster = roster.merged([rekeyed(roster, "anna")])
    assert roster.current == roster.key_ids[-1] and not roster.needs_rekey and owing(roster) == []
    assert keys(roster, "anna") == keys(roster, "ben") and len(keys(roster, "ben")) == 4
    assert not {roster.current} & (keys(roster, "cara").keys() | keys(roster, "dora").keys())


def test_a_newcomer_at_the_time_of_a_revocation_gets_the_key_with_the_next() -> None:
    roster = mesh("anna", "ben", "cara")
    roster = roster.merged([revoked(roster, "anna", "cara"), added(roster, "ben", "dora")])
    # Nobody who was put out has it, so it may serve; but the newcomer cannot read with it.
    assert roster.current == roster.key_ids[1] and roster.needs_rekey
    assert roster.current not in keys(roster, "dora")
    assert owing(roster) == ["anna"]
    roster = roster.merged([rekeyed(roster, "ben")])  # any member may, the senior being away
    assert keys(roster, "dora") == keys(roster, "anna") and owing(roster) == []


def test_whoever_has_a_key_gives_it_while_the_senior_one_is_away() -> None:
    roster = mesh("anna", "ben", "cara", "dora")
    later = mesh("anna", "ben", "cara", "dora").merged([revoked(roster, "anna", "dora")])
    roster = later.merged([added(roster, "ben", "eve")])
    assert roster.current not in keys(roster, "eve")
    assert owing(roster, "anna", "ben", "eve") == ["anna"]
    assert owing(roster, "cara", "ben", "eve") == ["ben"]
    assert owing(roster, "cara", "eve") == ["cara"]
    roster = roster.merged([rekeyed(roster, "cara")])
    assert keys(roster, "eve") == keys(roster, "cara") == keys(roster, "anna")
    assert owing(roster, "anna", "ben", "cara", "eve") == owing(roster) == []


def test_a_key_of_an_overruled_revocation_is_shared_but_not_used() -> None:
    roster = mesh("anna", "ben", "cara")
    by_ben = revoked(roster, "ben", "anna")
    roster = roster.merged([by_ben, revoked(roster, "anna", "ben")])
    assert by_ben.id in roster.overruled
    assert by_ben.key_id in keys(roster, "cara") and by_ben.key_id not in keys(roster, "anna")
    assert roster.current not in (None, by_ben.key_id) and not roster.needs_rekey
    assert owing(roster) == ["cara"]  # she alone has what Anna lacks
    roster = roster.merged([rekeyed(roster, "cara")])
    assert keys(roster, "anna") == keys(roster, "cara") and owing(roster) == []


def test_a_member_that_lies_about_keys_locks_nobody_out() -> None:
    roster = mesh("anna", "ben", "cara")
    recipients = {identity(name).id: identity(name).device.sealing_key for name in ("anna", "ben")}
    told = introduce(recipients, keys(roster, "ben"), entropy("lies"))
    swapped = told._replace(boxes=((told.boxes[0][0], told.boxes[1][1]), *told.boxes[1:]))
    broken = swapped._replace(sealed_older=b"")
    entry = sign(identity("ben").signing_key, roster.mesh, roster.heads, AT_MS, Rekey(broken))
    roster = roster.merged([entry])
    for name in ("anna", "ben", "cara"):
        assert roster.key_ids[0] in keys(roster, name)
    assert roster.current == roster.key_ids[0]  # which all have
    roster = roster.merged([rekeyed(roster, "anna")])
    assert roster.current == roster.key_ids[2] and not roster.needs_rekey
    for name in ("anna", "ben", "cara"):
        assert roster.current in keys(roster, name)


def test_a_key_whose_author_was_put_out_is_not_used_though_it_gave_itself_none() -> None:
    roster = mesh("anna", "ben", "cara")
    recipients = {identity(name).id: identity(name).device.sealing_key for name in ("anna", "cara")}
    told = introduce(recipients, keys(roster, "ben"), entropy("mine all the same"))
    posing = sign(identity("ben").signing_key, roster.mesh, roster.heads, AT_MS, Rekey(told))
    for _ in range(2):  # on top of another entry it would be the newest
        whole = roster.merged([posing, revoked(roster, "anna", "ben")])
        assert posing.id in whole.overruled and whole.current != posing.key_id
        roster = roster.merged([rekeyed(roster, "cara")])
        posing = sign(identity("ben").signing_key, roster.mesh, roster.heads, AT_MS, Rekey(told))


def test_no_member_can_be_given_another_key_than_the_rest() -> None:
    roster = mesh("anna", "ben")
    told = introduce(
        {identity("anna").id: identity("anna").device.sealing_key}, {}, entropy("mine")
    )
    other = introduce(
        {identity("ben").id: identity("ben").device.sealing_key}, {}, entropy("yours")
    )
    boxes = tuple(sorted((*told.boxes, *other.boxes)))
    payload = Rekey(told._replace(boxes=boxes))
    entry = sign(identity("ben").signing_key, roster.mesh, roster.heads, AT_MS, payload)
    roster = roster.merged([entry])
    assert entry.key_id in keys(roster, "anna") and entry.key_id not in keys(roster, "ben")


@given(st.integers(0, 5))
def test_sealed_boxes_are_libsodiums(count: int) -> None:
    anna = identity("anna")
    told = {bytes([number]) * 8: bytes([number]) * 32 for number in range(count)}
    key_ids, sealed = hand_over(told, anna.device.sealing_key, entropy())
    assert SealedBox(anna.sealing_key).decrypt(sealed) == b"".join(told.values())
    assert key_ids == tuple(told)


def test_no_two_boxes_are_made_with_one_secret() -> None:
    members = {identity(name).id: identity(name).device.sealing_key for name in ("anna", "ben")}
    told = introduce(members, {}, entropy())
    assert len({box[:32] for _, box in told.boxes}) == 2
