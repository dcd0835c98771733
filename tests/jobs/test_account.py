"""What is told of a job that several devices ran: the facts, and their words."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from regend.jobs.account import Finding, Stray, account, sentence
from regend.jobs.terms import How, Term, branch, chain, first_term, next_term

JOB = "a-job"
NAMES = {b"l": "Laptop", b"p": "Phone", b"r": "Radio"}
LOGS = [(device, life) for device in NAMES for life in (b"1", b"2")]


def follow(before: Term, base: int, device: bytes, how: How = "forced", life: bytes = b"1") -> Term:
    return next_term(JOB, before, base, how, device, life, 7)


def step(term: Term, place: int, number: int, life: bytes = b"", *, finished: bool = True) -> Stray:
    return Stray(branch(term.id, term.device, life or term.incarnation), place, number, finished)


def told(terms: Sequence[Term], finished: dict[int, int], *strays: Stray) -> list[str]:
    """Return the sentences on a job."""
    shown = chain(terms)
    found = account(terms, shown, finished, strays, LOGS)
    return [sentence(one, shown[-1].device, lambda device: NAMES[device]) for one in found]


LAPTOP = first_term(JOB, b"l", b"1", 1)
PHONE = follow(LAPTOP, 30, b"p")
BEFORE = "Phone took the job over without a word from Laptop, after step 3."
FINISHED = {1: 10, 2: 20, 3: 30, 4: 45, 5: 55}


def test_a_job_that_one_device_ran_or_gave_away_has_nothing_to_tell() -> None:
    assert told([LAPTOP], FINISHED) == []
    assert told([LAPTOP, follow(LAPTOP, 30, b"p", "granted")], FINISHED) == []


def test_a_job_that_was_taken_over_says_by_whom_and_after_which_step() -> None:
    assert told([LAPTOP, PHONE], FINISHED) == [BEFORE]
    early = follow(LAPTOP, 5, b"p")
    assert told([LAPTOP, early], {}) == [
        "Phone took the job over without a word from Laptop, before its first step."
    ]


def test_steps_that_ran_twice_name_both_devices_and_whose_count() -> None:
    strays = [step(LAPTOP, 40, 4), step(LAPTOP, 50, 5)]
    assert told([LAPTOP, PHONE], FINISHED, *strays) == [
        BEFORE,
        "Steps 4–5 ran twice, on Laptop and Phone; Phone's are the ones that count.",
    ]
    assert told([LAPTOP, PHONE], FINISHED, strays[0])[1:] == [
        "Step 4 ran twice, on Laptop and Phone; Phone's is the one that counts."
    ]


def test_the_facts_say_the_same_by_ids() -> None:
    found = account([LAPTOP, PHONE], [LAPTOP, PHONE], FINISHED, [step(LAPTOP, 40, 4)], LOGS)
    assert found == [
        Finding("forced", (3,), (b"l", b"p"), b"p"),
        Finding("twice", (4,), (b"l", b"p"), b"p"),
    ]


def test_steps_beside_the_history_and_parts_of_steps_do_not_count() -> None:
    strays = [
        step(LAPTOP, 40, 4),
        step(LAPTOP, 60, 6),
        step(LAPTOP, 70, 7),
        step(LAPTOP, 71, 8, finished=False),
        step(LAPTOP, 72, 8, finished=False),
        step(LAPTOP, 65, 7, finished=False),
    ]
    assert told([LAPTOP, PHONE], FINISHED, *strays)[1:] == [
        "Step 4 ran twice, on Laptop and Phone; Phone's is the one that counts.",
        "Steps 6–7 ran on Laptop after Phone had the job; they do not count.",
        "Laptop also wrote a part of step 8, which does not count.",
    ]


def test_several_that_took_it_over_at_once_are_told_with_who_counts() -> None:
    radio = follow(LAPTOP, 30, b"r")
    winner, loser = sorted((PHONE, radio), key=lambda term: term.id, reverse=True)
    name, other = NAMES[winner.device], NAMES[loser.device]
    strays = [step(LAPTOP, 40, 4), step(loser, 41, 4)]
    assert told([LAPTOP, PHONE, radio], FINISHED, *strays) == [
        f"{other} and {name} took the job over at the same time; {name}'s work counts, by a rule "
        "that comes out alike on every device.",
        f"{name} took the job over without a word from Laptop, after step 3.",
        f"Step 4 ran three times, on {', '.join(sorted(('Laptop', other)))} and {name}; "
        f"{name}'s is the one that counts.",
    ]


def test_one_that_took_it_over_from_two_states_is_not_told_as_two() -> None:
    twice = [follow(LAPTOP, base, b"p") for base in (10, 30)]
    assert told([LAPTOP, *twice], {})[0] == (
        "Phone took the job over more than once from different states of it; one of them counts, "
        "by a rule that comes out alike on every device."
    )


def test_what_may_still_become_the_history_is_not_told_as_beside_it() -> None:
    """A branch whose term follows on one that has not come is no orphan; nor is what is early."""
    late = follow(PHONE, 60, b"r", "granted")
    assert told([LAPTOP, late], FINISHED, step(late, 70, 6)) == []
    assert told([LAPTOP, PHONE], FINISHED, step(PHONE, 90, 9)) == [BEFORE]
    unknown = follow(PHONE, 60, b"r")
    assert told([LAPTOP, PHONE], FINISHED, step(unknown, 70, 6)) == [BEFORE]


def test_copies_of_a_home_are_told_as_that() -> None:
    copied = step(LAPTOP, 40, 4, b"2")
    assert told([LAPTOP], FINISHED, copied) == [
        "Step 4 ran twice, each time on Laptop, whose home was copied or restored; one run counts."
    ]
    again = follow(LAPTOP, 30, b"l", life=b"2")
    assert told([LAPTOP, again], FINISHED) == [
        "Laptop, whose home was copied or restored, took the job up again after step 3."
    ]


@pytest.mark.parametrize(
    ("steps", "words"),
    [((4,), "Step 4"), ((4, 5), "Steps 4–5"), ((2, 4, 5, 6, 9), "Steps 2, 4–6 and 9")],
)
def test_steps_are_numbered_as_people_do(steps: tuple[int, ...], words: str) -> None:
    text = sentence(Finding("beside", steps, (b"l",), None), b"p", lambda one: NAMES[one])
    assert text.startswith(f"{words} ran on Laptop after Phone had the job; ")
