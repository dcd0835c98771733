"""Invites: ten minutes, three tries, one use, and a reason for each that does not work."""

from __future__ import annotations

from itertools import pairwise

import pytest

from regend.errors import RateLimited, RegendError
from regend.sync.invites import INVITE_S, OPEN_INVITES, TRIES, Invites, is_refusal, refusal
from tests.sync.persons import entropy


def code_of(error: pytest.ExceptionInfo[RegendError]) -> str:
    assert error.value.hint
    return error.value.code


def test_an_invite_is_answered_three_times() -> None:
    invites = Invites()
    invite = invites.open(0.0, entropy())
    for _ in range(TRIES):
        assert invite.is_open(1.0)
        invite.take_try(1.0)
    assert not invite.is_open(1.0) and not invites.are_open(1.0)
    with pytest.raises(RegendError) as refused:
        invites.find(invite.code.number).take_try(1.0)
    assert code_of(refused) == "invite_spent"


def test_an_invite_ends_after_ten_minutes() -> None:
    invites = Invites()
    invite = invites.open(100.0, entropy())
    assert invites.are_open(100.0 + INVITE_S - 1)
    assert not invites.are_open(100.0 + INVITE_S)
    with pytest.raises(RegendError) as refused:
        invite.take_try(100.0 + INVITE_S)
    assert code_of(refused) == "invite_expired" and invite.tries_left == TRIES


def test_an_invite_that_was_withdrawn_is_over() -> None:
    invites = Invites()
    invite = invites.open(0.0, entropy())
    invites.withdraw(invite.code.number)
    with pytest.raises(RegendError) as refused:
        invite.take_try(0.0)
    assert code_of(refused) == "invite_used"


def test_a_number_that_was_never_given_out_is_unknown() -> None:
    with pytest.raises(RegendError) as refused:
        Invites().find(7)
    assert code_of(refused) == "invite_unknown"


def test_only_so_many_are_open_at_a_time() -> None:
    invites, draw = Invites(), entropy()
    for second in range(OPEN_INVITES):
        invites.open(float(second), draw)
    with pytest.raises(RateLimited) as refused:
        invites.open(10.0, draw)
    assert refused.value.retry_after_s == INVITE_S - 10.0
    assert invites.open(INVITE_S, draw)


def test_no_two_invites_that_are_remembered_have_one_number() -> None:
    invites = Invites()
    # The same randomness each time: the numbers must differ all the same.
    opened = [invites.open(INVITE_S * turn, entropy()) for turn in range(200)]
    assert all(one.code.number != other.code.number for one, other in pairwise(opened))
    assert all(0 < one.code.number < 1000 for one in opened)
    with pytest.raises(RegendError):
        invites.find(opened[0].code.number).take_try(INVITE_S * 200)


def test_only_what_is_in_the_table_is_said_by_code() -> None:
    assert is_refusal("code_wrong") and not is_refusal("internal")
    assert refusal("made up by a stranger").code == "pairing_malformed"
