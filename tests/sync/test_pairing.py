"""Pairing over bytes: who knows the code is in, others learn nothing, nothing is half done."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgpack
import pytest

from regend.errors import BadInput, Conflict, RegendError
from regend.sync import authoring
from regend.sync.invites import INVITE_S, TRIES, Invite, Invites
from regend.sync.pairing import Inviter, Joiner, Welcome
from regend.sync.pairingparts import PAIRING_BYTES, told
from regend.sync.roster import Roster
from regend.sync.words import InviteCode
from tests.sync.persons import AT_MS, added, entropy, identity, living, mesh

HINDI = "दादी का फ़ोन"


@dataclass
class House:
    """The side that invites, as a daemon would keep it."""

    roster: Roster = field(default_factory=lambda: mesh("anna", "ben"))
    invites: Invites = field(default_factory=Invites)
    now_s: float = 0.0
    count: int = 0

    def invite(self) -> Invite:
        self.count += 1
        return self.invites.open(self.now_s, entropy(f"invite {self.count}"))

    def inviter(self) -> Inviter:
        self.count += 1
        own = identity("anna")
        name = self.roster.member(own.id).name
        draw = entropy(f"inviter {self.count}")
        return Inviter(self.invites, own, name, self.roster.mesh, draw)

    def add(self, inviter: Inviter, proof: bytes) -> bytes:
        """Take the third message as a daemon does: verify, store, welcome."""
        newcomer = inviter.verify(proof, self.now_s)
        draw = entropy(f"add {self.count}")
        entry = authoring.add(
            self.roster, identity("anna"), newcomer.device, newcomer.name, AT_MS, draw
        )
        if entry is not None:
            self.roster = self.roster.merged([entry])
        return inviter.welcome(self.roster.blobs())


def joiner(
    code: InviteCode,
    name: str = "cara",
    calls_itself: str = "cara",
    roster: Roster | None = None,
    certificate: bytes | None = None,
) -> Joiner:
    return Joiner(
        code, identity(name), calls_itself, roster, certificate, entropy(f"joiner {name}")
    )


def paired(house: House, newcomer: Joiner) -> Welcome:
    inviter = house.inviter()
    answer = inviter.answer(newcomer.hello(), house.now_s)
    return newcomer.finish(house.add(inviter, newcomer.prove(answer)))


def code_of(error: pytest.ExceptionInfo[RegendError]) -> str:
    assert error.value.message and error.value.hint
    return error.value.code


def wrong(code: InviteCode) -> InviteCode:
    return code._replace(words=(*code.words[:2], "zebra" if code.words[2] != "zebra" else "wolf"))


def test_who_knows_the_code_becomes_a_member_and_has_the_keys() -> None:
    house = House()
    welcome = paired(house, joiner(house.invite().code, calls_itself=HINDI))
    assert living(house.roster) == ["anna", "ben", HINDI] == living(welcome.roster)
    assert welcome.inviter == "anna" and welcome.roster.mesh == house.roster.mesh
    cara, anna = identity("cara").sealing_key, identity("anna").sealing_key
    assert welcome.roster.epoch_keys(cara) == house.roster.epoch_keys(anna) != {}
    assert {entry.id for entry in welcome.entries} == set(house.roster.entries)


def test_a_newcomer_with_a_taken_name_sees_the_one_it_got() -> None:
    house = House()
    welcome = paired(house, joiner(house.invite().code, calls_itself="Anna"))
    assert living(welcome.roster) == ["anna", "ben", "Anna 2"]


def test_an_invite_serves_once() -> None:
    house = House()
    code = house.invite().code
    paired(house, joiner(code))
    with pytest.raises(RegendError) as refused:
        paired(house, joiner(code, "dora"))
    assert code_of(refused) == "invite_used"


def test_two_at_the_same_time_with_one_code_are_not_both_let_in() -> None:
    house = House()
    code = house.invite().code
    first, second = house.inviter(), house.inviter()
    cara, dora = joiner(code), joiner(code, "dora", "dora")
    proofs = [
        cara.prove(first.answer(cara.hello(), 0.0)),
        dora.prove(second.answer(dora.hello(), 0.0)),
    ]
    house.add(first, proofs[0])
    with pytest.raises(RegendError) as refused:
        house.add(second, proofs[1])
    assert code_of(refused) == "invite_used"
    assert living(house.roster) == ["anna", "ben", "cara"]


def test_a_wrong_code_is_told_to_both_and_uses_up_a_try() -> None:
    house = House()
    invite = house.invite()
    inviter, stranger = house.inviter(), joiner(wrong(invite.code))
    answer = inviter.answer(stranger.hello(), 0.0)
    with pytest.raises(RegendError) as refused:
        stranger.prove(answer)
    assert code_of(refused) == "code_wrong" and invite.tries_left == TRIES - 1
    with pytest.raises(RegendError) as heard:
        inviter.verify(told(refused.value), 0.0)
    assert code_of(heard) == "code_wrong"


def test_a_wrong_code_learns_nothing_of_the_house() -> None:
    house = House()
    anna = identity("anna").device
    answer = house.inviter().answer(joiner(wrong(house.invite().code)).hello(), 0.0)
    secrets = (anna.verify_key, anna.sealing_key, anna.id, b"anna", house.roster.mesh)
    assert not [one for one in secrets if one in answer]


def test_a_stranger_that_goes_on_after_a_wrong_code_is_not_let_in() -> None:
    house = House()
    inviter, stranger = house.inviter(), joiner(wrong(house.invite().code))
    inviter.answer(stranger.hello(), 0.0)
    with pytest.raises(RegendError) as refused:
        inviter.verify(msgpack.packb((b"sealed", bytes(32))), 0.0)
    assert code_of(refused) == "code_wrong"


def test_the_fourth_try_is_refused_even_with_the_right_code() -> None:
    house = House()
    code = house.invite().code
    for _ in range(TRIES):
        house.inviter().answer(joiner(wrong(code)).hello(), 0.0)
    with pytest.raises(RegendError) as refused:
        house.inviter().answer(joiner(code).hello(), 0.0)
    assert code_of(refused) == "invite_spent"


def test_a_connection_that_breaks_off_after_the_answer_uses_up_a_try_and_no_more() -> None:
    house = House()
    invite = house.invite()
    for _ in range(TRIES - 1):
        house.inviter().answer(joiner(invite.code).hello(), 0.0)
    assert living(paired(house, joiner(invite.code)).roster) == ["anna", "ben", "cara"]


def test_an_invite_that_expires_before_or_in_between_lets_nobody_in() -> None:
    house = House()
    code = house.invite().code
    inviter, cara = house.inviter(), joiner(code)
    proof = cara.prove(inviter.answer(cara.hello(), INVITE_S - 1))
    for refuse in (
        lambda: inviter.verify(proof, INVITE_S),
        lambda: house.inviter().answer(joiner(code).hello(), INVITE_S),
    ):
        with pytest.raises(RegendError) as refused:
            refuse()
        assert code_of(refused) == "invite_expired"
    assert living(house.roster) == ["anna", "ben"]


def test_an_unknown_number_is_told_and_costs_no_try() -> None:
    house = House()
    invite = house.invite()
    other = invite.code._replace(number=invite.code.number % 999 + 1)
    with pytest.raises(RegendError) as refused:
        house.inviter().answer(joiner(other).hello(), 0.0)
    assert code_of(refused) == "invite_unknown" and invite.tries_left == TRIES


def test_the_joiner_hears_why_it_is_refused_and_never_a_strangers_words() -> None:
    house = House()
    for code in ("invite_expired", "invite_used", "invite_spent", "invite_unknown", "devices_full"):
        cara = joiner(house.invite().code)
        cara.hello()
        with pytest.raises(RegendError) as refused:
            cara.prove(told(Conflict(code, "rm -rf /")))
        assert code_of(refused) == code and "rm" not in refused.value.message
        house = House()
    cara = joiner(house.invite().code)
    cara.hello()
    with pytest.raises(RegendError) as refused:
        cara.prove(told(Conflict("disk_full", "The disk is full.")))
    assert code_of(refused) == "pairing_failed"


def test_a_connection_to_another_device_than_the_inviter_is_refused() -> None:
    house = House()
    code = house.invite().code
    between = joiner(code, certificate=identity("dora").certificate)
    inviter = house.inviter()
    answer = inviter.answer(between.hello(), 0.0)
    with pytest.raises(RegendError) as refused:
        between.prove(answer)
    assert code_of(refused) == "pairing_intercepted"
    paired(house, joiner(code, certificate=identity("anna").certificate))


def test_a_device_that_is_in_a_mesh_with_others_says_nothing_at_all() -> None:
    house = House()
    code = house.invite().code
    with pytest.raises(Conflict) as refused:
        joiner(code, "dora", roster=mesh("emil", "dora"))
    assert code_of(refused) == "mesh_joined" and "emil" in refused.value.message
    joiner(code, "dora", roster=mesh("dora"))
    out = mesh("emil", "dora", "fritz")
    out = out.merged(
        [authoring.revoke(out, identity("emil"), identity("dora").id, {}, AT_MS, entropy())]
    )
    joiner(code, "dora", roster=out)


def test_a_copy_of_the_inviting_home_is_noticed() -> None:
    house = House()
    copy = joiner(house.invite().code, "anna")
    answer = house.inviter().answer(copy.hello(), 0.0)
    with pytest.raises(Conflict) as refused:
        copy.prove(answer)
    assert code_of(refused) == "device_is_this"


def test_a_name_that_is_none_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(BadInput):
        joiner(House().invite().code, calls_itself="\n")


def test_one_that_was_added_and_never_heard_so_joins_again() -> None:
    house = House()
    cara, inviter = joiner(house.invite().code), house.inviter()
    house.add(inviter, cara.prove(inviter.answer(cara.hello(), 0.0)))
    entries = len(house.roster.entries)
    welcome = paired(house, joiner(house.invite().code))
    assert len(house.roster.entries) == entries
    assert living(welcome.roster) == ["anna", "ben", "cara"]


def test_a_roster_on_which_the_joiner_or_the_inviter_is_not_is_refused() -> None:
    for entries in (mesh("anna", "ben").blobs(), [], mesh("anna", "ben", "cara").blobs()[1:]):
        house = House()
        cara, inviter = joiner(house.invite().code), house.inviter()
        inviter.verify(cara.prove(inviter.answer(cara.hello(), 0.0)), 0.0)
        with pytest.raises(RegendError) as refused:
            cara.finish(inviter.welcome(entries))
        assert code_of(refused) == "pairing_unfit"


def test_an_inviter_that_was_put_out_meanwhile_lets_nobody_in() -> None:
    house = House()
    house.roster = house.roster.merged([added(house.roster, "ben", "cara")])
    cara, inviter = joiner(house.invite().code), house.inviter()
    inviter.verify(cara.prove(inviter.answer(cara.hello(), 0.0)), 0.0)
    out = authoring.revoke(house.roster, identity("ben"), identity("anna").id, {}, AT_MS, entropy())
    with pytest.raises(RegendError) as refused:
        cara.finish(inviter.welcome(house.roster.merged([out]).blobs()))
    assert code_of(refused) == "pairing_unfit"


def test_entries_of_another_mesh_in_the_welcome_are_refused() -> None:
    house = House()
    cara, inviter = joiner(house.invite().code), house.inviter()
    inviter.verify(cara.prove(inviter.answer(cara.hello(), 0.0)), 0.0)
    other = mesh("dora", "cara")
    with pytest.raises(RegendError) as refused:
        cara.finish(inviter.welcome([*house.roster.blobs(), *other.blobs()]))
    assert refused.value.code == "entry_of_another_mesh"


def messages(house: House) -> tuple[list[bytes], Inviter, Joiner]:
    """Return the four messages of a pairing, and both sides before it."""
    code = house.invite().code
    inviter, cara = house.inviter(), joiner(code)
    hello = cara.hello()
    answer = inviter.answer(hello, 0.0)
    proof = cara.prove(answer)
    return [hello, answer, proof, house.add(inviter, proof)], inviter, cara


def deliver(number: int, change: bytes | None) -> Roster:
    """Run a pairing whose message of this number is changed; return the inviter's roster."""
    house = House()
    code = house.invite().code
    inviter, cara = house.inviter(), joiner(code)
    sent = cara.hello()
    for turn in range(4):
        if turn == number:
            if change is None:
                return house.roster
            assert change != sent
            sent = change
        if turn == 0:
            sent = inviter.answer(sent, 0.0)
        elif turn == 1:
            sent = cara.prove(sent)
        elif turn == 2:
            sent = house.add(inviter, sent)
        else:
            cara.finish(sent)
    raise AssertionError("nobody noticed")


ORIGINALS = messages(House())[0]


@pytest.mark.parametrize("number", range(4))
def test_a_message_that_is_lost_leaves_both_sides_as_they_were(number: int) -> None:
    members = living(deliver(number, None))
    assert members == (["anna", "ben"] if number < 3 else ["anna", "ben", "cara"])


def changes(message: bytes) -> list[bytes]:
    """Return ways in which a message may be spoiled."""
    places = range(0, len(message), max(1, len(message) // 16))
    flipped = [
        message[:place] + bytes([message[place] ^ 1 << place % 8]) + message[place + 1 :]
        for place in places
    ]
    return [*flipped, *(message[:place] for place in places), message + b"\0", b"\xc0"]


@pytest.mark.parametrize("number", range(4))
def test_a_message_that_was_cut_or_changed_lets_nobody_in(number: int) -> None:
    known = {
        *("code_wrong", "pairing_malformed", "pairing_newer", "invite_unknown", "pairing_unfit"),
        *("entry_malformed", "entry_forged"),
    }
    for change in changes(ORIGINALS[number]):
        with pytest.raises(RegendError) as refused:
            deliver(number, change)
        assert code_of(refused) in known


@pytest.mark.parametrize("number", range(4))
def test_a_message_of_another_pairing_lets_nobody_in(number: int) -> None:
    house = House()
    house.count = 100
    for replayed in (*messages(house)[0], *ORIGINALS):
        house, code = House(), None
        house.count = 200
        code = house.invite().code
        inviter, cara = house.inviter(), joiner(code, "dora", "dora")
        sent = [cara.hello()]
        with pytest.raises(RegendError):
            for turn in range(4):
                message = replayed if turn == number else sent[-1]
                if turn == 0:
                    sent.append(inviter.answer(message, 0.0))
                elif turn == 1:
                    sent.append(cara.prove(message))
                elif turn == 2:
                    sent.append(house.add(inviter, message))
                else:
                    cara.finish(message)
        assert number == 3 or living(house.roster) == ["anna", "ben"]


def test_no_side_takes_a_message_twice_or_after_a_fault() -> None:
    sent, inviter, cara = messages(House())
    cara.finish(sent[3])
    for again in (
        lambda: inviter.answer(sent[0], 0.0),
        lambda: inviter.verify(sent[2], 0.0),
        lambda: inviter.welcome([]),
        lambda: cara.hello(),
        lambda: cara.prove(sent[1]),
        lambda: cara.finish(sent[3]),
    ):
        with pytest.raises(RegendError) as refused:
            again()
        assert code_of(refused) == "pairing_over"


def test_an_own_message_that_comes_back_is_refused() -> None:
    house = House()
    cara = joiner(house.invite().code)
    hello = cara.hello()
    own_pake = msgpack.unpackb(hello)[2]
    for pake in (own_pake, b"B" + own_pake[1:]):
        cara = joiner(house.invite().code)
        cara.hello()
        with pytest.raises(RegendError):
            cara.prove(msgpack.packb((pake, b"sealed", bytes(32))))


def test_a_newer_version_says_to_upgrade_and_costs_no_try() -> None:
    house = House()
    invite = house.invite()
    with pytest.raises(RegendError) as refused:
        house.inviter().answer(msgpack.packb((2, invite.code.number, b"pake", b"more")), 0.0)
    assert code_of(refused) == "pairing_newer" and "Upgrade" in refused.value.hint
    assert invite.tries_left == TRIES


def test_a_message_over_the_bound_is_refused_before_it_is_read() -> None:
    house = House()
    invite = house.invite()
    large = msgpack.packb((1, invite.code.number, bytes(PAIRING_BYTES)))
    with pytest.raises(RegendError) as refused:
        house.inviter().answer(large, 0.0)
    assert code_of(refused) == "pairing_malformed" and invite.tries_left == TRIES


def test_a_device_that_was_put_out_pairs_again_with_its_old_roster_at_hand() -> None:
    house = House(roster=mesh("anna", "ben", "cara"))
    anna, cara = identity("anna"), identity("cara")
    out = authoring.revoke(house.roster, anna, cara.id, {}, AT_MS, entropy())
    house.roster = house.roster.merged([out])
    welcome = paired(house, joiner(house.invite().code, roster=house.roster))
    assert living(welcome.roster) == ["anna", "ben", "cara"]
    assert added(house.roster, "ben", "dora") is not None
