"""What devices may be called, in Hindi as in English."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.errors import BadInput
from regend.sync.names import NAME_CHARACTERS, clean, free, is_harmless, likeness, seen


@pytest.mark.parametrize(
    "name",
    ["laptop", "Anna's phone", "मेरा फ़ोन", "क्‍ष का लैपटॉप", "тел", "家の電話", "👩‍💻 desk", "❤️"],
)
def test_a_name_may_be_in_any_script(name: str) -> None:
    assert likeness(clean(name)) == likeness(name)


def test_spaces_are_made_single() -> None:
    assert clean("  my \t phone\n") == "my phone"


@pytest.mark.parametrize(
    "name",
    [
        *("", "  ", "\u200d", "a\x00b", "a\x1b[31mb", "a\u202eb", "x" * 65, "😀" * 65, "\ud800"),
        *("\u3164", "\u2800 \u200d", "Lap\u200btop", "Lap\u3164top", "\u200fabc", "a\U000e0041b"),
    ],
)
def test_a_name_that_shows_nothing_or_too_much_is_refused(name: str) -> None:
    with pytest.raises(BadInput) as refused:
        clean(name)
    assert refused.value.code == "device_name" and refused.value.hint


@given(st.text(max_size=80))
def test_whatever_is_clean_is_harmless_and_stays_so(name: str) -> None:
    try:
        shown = clean(name)
    except BadInput:
        return
    assert is_harmless(shown) and clean(shown) == shown


@given(st.text(alphabet="aAß क्ष😀", min_size=1, max_size=NAME_CHARACTERS), st.integers(1, 12))
def test_a_taken_name_gets_the_first_number_that_is_free(name: str, count: int) -> None:
    try:
        name = clean(name)
    except BadInput:
        return
    taken: set[str] = set()
    for _ in range(count):
        shown = free(name, taken)
        assert clean(shown) == shown and likeness(shown) not in taken
        taken.add(likeness(shown))


def test_names_that_look_the_same_are_one() -> None:
    assert free("Laptop", {likeness("laptop")}) == "Laptop 2"
    assert free("ﬁle", {likeness("FILE"), likeness("file 2")}) == "ﬁle 3"
    assert free("क्‍ष", {likeness("क्ष")}) == "क्‍ष 2"


@pytest.mark.parametrize(
    "name",
    ["Lap\u200btop", "Laptop\u200e", "Lap\u00adtop", "\ufeffLaptop", "Laptop\ufe0f", "Ｌａｐtop"],
)
def test_a_name_with_what_shows_nothing_is_like_the_one_without(name: str) -> None:
    """As a member may put it into the roster, past what the commands take."""
    assert is_harmless(name)
    assert free(seen(name), {likeness("laptop")}).endswith(" 2")


def test_what_is_shown_of_a_name_turns_nothing_round_and_keeps_what_scripts_need() -> None:
    assert seen("Lap\u200ftop\u061c\u2800") == "Laptop"
    for name in ("क्‍ष का लैपटॉप", "نامه‌ها", "👩‍💻 desk", "❤️"):
        assert seen(name) == name == clean(name)
