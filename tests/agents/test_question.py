"""What code understands of a question."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.agents.evidence.question import MAX_QUESTION_CHARACTERS, analyse, queries
from regend.agents.evidence.words import stem


@pytest.mark.parametrize(
    ("question", "cue"),
    [
        ("How many rules does it have?", "number"),
        ("What is the largest file it reads?", "number"),
        ("When was it published?", "date"),
        ("What does a licence cost?", "price"),
        ("Which version runs on Windows?", "version"),
        ("Under what licence is it?", "license"),
        ("How do I install it?", "way"),
        ("Why is it slow?", "reason"),
        ("Who wrote it?", "person"),
        ("Can I use it at work?", "yes"),
        ("यह कितने नियम जानता है?", "number"),
        ("इसे कैसे स्थापित करें?", "way"),
        ("इसका लाइसेंस क्या है?", "license"),
        ("यह कब आया?", "date"),
        ("यह कहाँ है?", "place"),
    ],
)
def test_the_kind_of_answer_wanted_is_recognised(question: str, cue: str) -> None:
    assert cue in analyse(question).cues


def test_names_and_numbers_are_names_and_common_words_are_not() -> None:
    asked = analyse("Which release of htmldate works with Python 3.7 on AWS?")
    assert {term.stem for term in asked.terms if term.name} == {"3.7", "aw", "python"}
    assert stem("AWS") == "aw"


def test_a_phrase_is_asked_for_by_its_one_word_too() -> None:
    assert stem("disable") in {term.stem for term in analyse("How do I turn off colours?").terms}


def test_the_question_itself_is_the_first_search() -> None:
    planned = queries(analyse("How fast is the parser?"))
    assert planned[0] == "How fast is the parser?"
    assert planned[1] == "fast parser"
    assert "speed" in planned[2] and len(planned) == 3


def test_a_deep_search_looks_for_each_name_alone() -> None:
    assert "MongoDB" in queries(analyse("How do I set up MongoDB?"), deep=True)


@given(st.text())
def test_any_text_gives_the_same_plan_twice_and_bounded(text: str) -> None:
    asked = analyse(text)
    assert asked == analyse(text)
    assert len(asked.text) <= MAX_QUESTION_CHARACTERS
    assert all(query.strip() for query in queries(asked, deep=True))


@pytest.mark.parametrize("text", ["", "   ", "?!", "\x00", "है क्या?"])
def test_a_question_without_words_of_meaning_plans_nothing_or_itself(text: str) -> None:
    assert queries(analyse(text)) == ([] if not analyse(text).terms else [text])
