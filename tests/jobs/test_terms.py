"""Which device runs a job: every device computes the same chain from the same terms."""

from __future__ import annotations

import random
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from regend.jobs.terms import (
    How,
    Term,
    belongs,
    branch,
    chain,
    common,
    first_term,
    next_term,
    with_id,
)

JOB = "a-job"


def device(number: int) -> tuple[bytes, bytes]:
    return bytes([number]) * 16, bytes([number]) * 8


BEGUN = first_term(JOB, *device(0), 1)


def follow(before: Term, base: int, how: How = "forced", number: int = 1, at: int = 1) -> Term:
    return next_term(JOB, before, base, how, *device(number), at)


@st.composite
def families(draw: st.DrawFn) -> list[Term]:
    """Return terms of one job, each following on any of those before."""
    terms = [BEGUN]
    for number in range(draw(st.integers(0, 8))):
        before = draw(st.sampled_from(terms))
        how: How = draw(st.sampled_from(["granted", "forced"]))
        base = draw(st.integers(before.base, before.base + 9))
        terms.append(follow(before, base, how, draw(st.integers(0, 3)), number))
    return terms


@given(families(), st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_chain_is_the_same_whatever_came_first_or_twice(
    terms: list[Term], chance: random.Random
) -> None:
    expected = chain(terms)
    other = [*terms, *terms]
    chance.shuffle(other)
    assert chain(other) == expected
    assert [one.number for one in expected] == list(range(1, len(expected) + 1))
    assert all(b.previous == a.id for a, b in pairwise(expected))
    assert expected[-1].number == max(one.number for one in terms)


@given(families(), st.data())
@settings(deadline=None)
def test_a_term_without_its_predecessors_is_in_no_chain(
    terms: list[Term], data: st.DataObject
) -> None:
    known = data.draw(st.lists(st.sampled_from(terms), unique=True))
    found = chain(known)
    assert set(found) <= set(known)
    assert not found or found[0] == BEGUN
    assert (found == []) == (BEGUN not in known)


def test_the_highest_number_holds_then_a_granted_term_then_the_higher_id() -> None:
    granted = follow(BEGUN, 5, "granted", 1)
    forced = [follow(BEGUN, 5, "forced", number) for number in range(1, 6)]
    assert chain([BEGUN, *forced])[-1] == max(forced, key=lambda term: term.id)
    assert chain([BEGUN, *forced, granted])[-1] == granted
    third = follow(forced[0], 6)
    assert chain([BEGUN, granted, *forced, third]) == [BEGUN, forced[0], third]


def test_terms_that_go_in_a_circle_or_skip_a_number_are_in_no_chain() -> None:
    circle = Term(b"c" * 8, 2, b"c" * 8, 0, "forced", *device(1), 1)
    skips = Term(b"s" * 8, 3, BEGUN.id, 0, "forced", *device(1), 1)
    orphan = Term(b"o" * 8, 9, b"?" * 8, 0, "granted", *device(1), 1)
    assert chain([BEGUN, circle, skips, orphan]) == [BEGUN]
    assert chain([circle]) == chain([]) == []


def test_an_id_is_of_everything_that_a_term_says() -> None:
    assert with_id(JOB, BEGUN) == BEGUN
    second = follow(BEGUN, 5)
    others = [
        with_id("another", second),
        *(
            with_id(JOB, second._replace(**change))
            for change in (
                {"number": 3},
                {"previous": b"x" * 8},
                {"base": 6},
                {"how": "granted"},
                {"device": b"x" * 16},
                {"incarnation": b"x" * 8},
                {"at": 2},
            )
        ),
    ]
    assert len({second.id, *(one.id for one in others)}) == 1 + len(others)


def test_a_copy_of_a_disk_writes_another_branch_of_the_same_term() -> None:
    own, copy = device(0), (device(0)[0], b"copied!!")
    assert branch(BEGUN.id, *own) == BEGUN.branch
    assert branch(BEGUN.id, *copy) != BEGUN.branch
    assert not belongs([BEGUN], branch(BEGUN.id, *copy), 1)


@given(families())
@settings(deadline=None)
def test_each_place_of_a_history_is_of_one_branch(terms: list[Term]) -> None:
    found = chain(terms)
    for place in range(1, 60):
        owners = [one for one in found if belongs(found, one.branch, place)]
        assert len(owners) <= 1
    last = found[-1]
    assert belongs(found, last.branch, last.base + 1)
    assert belongs(found, last.branch, 1 << 40), "what the holder does is part of it without end"
    for one in terms:
        if one not in found:
            assert not any(belongs(found, one.branch, place) for place in range(60))


@given(families(), st.data())
@settings(deadline=None)
def test_what_two_chains_share_belongs_to_both_alike(
    terms: list[Term], data: st.DataObject
) -> None:
    known = [BEGUN, *data.draw(st.lists(st.sampled_from(terms), unique=True))]
    before, now = chain(known), chain(terms)
    shared = common(before, now)
    if before == now:
        assert shared is None
        return
    assert shared is not None and common(now, before) == shared
    branches = {one.branch for one in (*before, *now)}
    for place in range(1, shared + 1):
        for one in branches:
            assert belongs(before, one, place) == belongs(now, one, place)
