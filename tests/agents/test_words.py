"""Words and terms, as questions and documents share them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.agents.evidence.words import alike, is_stop_word, stem, term_set, terms, words


@given(st.text())
def test_every_word_is_the_text_of_its_span(text: str) -> None:
    found = words(text)
    assert all(text[word.start : word.end] == word.text for word in found)
    assert all(one.end <= other.start for one, other in pairwise(found))


@given(st.text())
def test_terms_exist_for_any_text_and_name_a_word_of_it(text: str) -> None:
    count = len(words(text))
    assert all(term and 0 <= place < count for term, place in terms(text))


def test_versions_stay_whole_and_identifiers_fall_apart() -> None:
    found = [word.text for word in words("pytest-asyncio 3.10, v1.2.0: f.encrypt(x_y)")]
    assert found == ["pytest", "asyncio", "3.10", "v1.2.0", "f", "encrypt", "x", "y"]


def test_a_hindi_word_with_vowel_signs_is_one_word() -> None:
    assert [word.text for word in words("हिन्दी में किताबें।")] == ["हिन्दी", "में", "किताबें"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("licence", "license"),
        ("installed", "installation"),
        ("colours", "color"),
        ("quickest", "quick"),
        ("किताबों", "किताबें"),
        ("१२", "12"),
        ("v1.2.0", "1.2.0"),
    ],
)
def test_forms_of_one_word_share_a_stem(one: str, other: str) -> None:
    assert stem(one) == stem(other)


def test_forms_that_stems_keep_apart_are_alike_and_other_words_are_not() -> None:
    assert alike(stem("tracker"), stem("tracking"))
    assert not alike("form", "formula")
    assert not alike("pars", "parti")


def test_ways_of_writing_an_identifier_meet() -> None:
    assert {"web", "socket"} <= term_set("WebSocket") & term_set("Web-Sockets")
    assert stem("websockets") in term_set("Web-Sockets")


def test_question_words_carry_no_meaning_in_english_and_hindi() -> None:
    assert is_stop_word("Which") and is_stop_word("क्या") and not is_stop_word("license")
