"""What devices may be called, in Hindi as in English."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.errors import BadInput
from regend.sync.names import NAME_CHARACTERS, clean, free, is_harmless, likeness


@pytest.mark.parametrize(
    "name",
    ["laptop", "Anna's phone", "मेरा फ़ोन", "क्‍ष का लैपटॉप", "тел", "家の電話", "👩‍💻 desk", "❤️"],
)
def test_a_name_may_be_in_any_script(name: str) -> None:
    assert likeness(clean(name)) == likeness(name)


def test_spaces_are_made_single() -> None:
    assert clean("  my \t phone\n") == "my phone"


@pytest.mark.parametrize(
    "name", ["", "  ", "\u200d", "a\x00b", "a\x1b[31mb", "a\u202eb", "x" * 65, "😀" * 65, "\ud800"]
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
