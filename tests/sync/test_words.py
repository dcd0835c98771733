"""Invite codes: easy to tell apart, forgiving to type, and never guessed at."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.errors import BadInput
from regend.sync.words import (
    CODE_BYTES,
    LARGEST_NUMBER,
    WORDS,
    InviteCode,
    link,
    make,
    of_link,
    parse,
)

CODES = st.builds(
    make,
    st.integers(min_value=1, max_value=LARGEST_NUMBER),
    st.binary(min_size=CODE_BYTES, max_size=CODE_BYTES),
)


def neighbours(word: str) -> set[str]:
    """Return all that is one letter away from a word."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    cuts = [(word[:place], word[place:]) for place in range(len(word) + 1)]
    changed = {left + letter + right[1:] for left, right in cuts if right for letter in letters}
    longer = {left + letter + right for left, right in cuts for letter in letters}
    return (changed | longer | {left + right[1:] for left, right in cuts if right}) - {word}


def test_there_is_a_word_for_each_byte() -> None:
    assert len(WORDS) == len(set(WORDS)) == 256
    assert all(re.fullmatch("[a-z]{3,8}", word) for word in WORDS)


def test_no_slip_of_one_letter_makes_another_word() -> None:
    known = set(WORDS)
    assert not [word for word in WORDS if neighbours(word) & known]


def test_four_letters_tell_a_word_and_none_begins_another() -> None:
    assert len({word[:4] for word in WORDS}) == len(WORDS)
    assert not [
        word
        for word in WORDS
        for other in WORDS
        if other != word and word in other[:8] and other.startswith(word)
    ]


@given(CODES)
def test_what_is_shown_can_be_typed(code: InviteCode) -> None:
    assert parse(str(code)) == code


@given(
    CODES,
    st.sampled_from(["-", " ", "  ", "", "_", " – ", ".", "\t"]),
    st.booleans(),
    st.sampled_from(["", " ", "\n"]),
    st.integers(min_value=4, max_value=8),
)
def test_case_separators_and_missing_endings_are_forgiven(
    code: InviteCode, separator: str, is_shouted: bool, around: str, letters: int
) -> None:
    words = code.words if not separator else [word[:letters] for word in code.words]
    text = around + separator.join([str(code.number), *words]) + around
    assert parse(text.upper() if is_shouted else text) == code


def test_digits_of_other_scripts_are_digits() -> None:
    assert parse("७ mango chai tiger") == InviteCode(7, ("mango", "chai", "tiger"))


@pytest.mark.parametrize(
    ("text", "wrong", "nearest"),
    [
        ("7-mangoe-chai-tiger", "mangoe", "mango"),
        ("7 mango chay tiger", "chay", "chai"),
        ("7 mango चाय tiger", "चाय", ""),
        ("7 man chai tiger", "man", "mango"),
        ("7mangochaitigr", "tigr", "tiger"),
    ],
)
def test_a_word_that_is_none_is_named_with_the_nearest(text: str, wrong: str, nearest: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse(text)
    assert refused.value.code == "code_word_unknown"
    assert f"“{wrong}”" in refused.value.message and nearest in refused.value.message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mango-chai-tiger",
        "7",
        "7-mango-chai",
        "7-mango-chai-tiger-honey",
        "0-mango-chai-tiger",
        "1000-mango-chai-tiger",
        "-7 ",
        "9" * 5000 + "-mango-chai-tiger",
    ],
)
def test_what_is_not_a_number_and_three_words_is_refused(text: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse(text)
    assert refused.value.code == "code_incomplete"


@given(st.text(max_size=60))
def test_whatever_is_typed_is_a_code_or_refused(text: str) -> None:
    try:
        code = parse(text)
    except BadInput as refused:
        assert refused.hint
    else:
        assert parse(str(code)) == code


@given(CODES, st.lists(st.sampled_from(["10.0.0.2:7868", "[fd00::1]:7868"]), max_size=5))
def test_a_link_holds_the_code_and_where_to_go(code: InviteCode, addresses: list[str]) -> None:
    said, at = of_link(f" {link(str(code), addresses)}\n")
    assert (parse(said), at) == (code, addresses[:3])


@pytest.mark.parametrize(
    "text", ["7-lotus-river-mango", "regend://joined?code=7", "https://a?code=7", ""]
)
def test_what_is_no_link_is_taken_as_a_code(text: str) -> None:
    said, at = of_link(text)
    assert said == text and at == []


def test_a_link_without_a_code_is_refused_as_one() -> None:
    said, at = of_link("regend://join?at=10.0.0.2")
    assert at == ["10.0.0.2"]
    with pytest.raises(BadInput):
        parse(said)
