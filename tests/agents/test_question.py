"""What code understands of a question."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.agents.evidence.question import MAX_QUESTION_CHARACTERS, analyse, parts, queries
from regend.agents.evidence.words import stem


@pytest.mark.parametrize(
    ("question", "cue"),
    [
        ("When is it published?", "time"),
        ("Under what licence is it?", "license"),
        ("How do I install it?", "way"),
        ("Why is it slow?", "reason"),
        ("Who wrote it?", "person"),
        ("Can I use it at work?", "yes"),
        ("इसे कैसे स्थापित करें?", "way"),
        ("इसका लाइसेंस क्या है?", "license"),
        ("यह कब आया?", "time"),
        ("ரயில் எப்போது புறப்படும்?", "time"),
        ("அவர் எங்கே வசிக்கிறார்?", "place"),
        ("यह कहाँ है?", "place"),
    ],
)
def test_the_kind_of_answer_wanted_is_recognised(question: str, cue: str) -> None:
    assert cue in analyse(question).cues


@pytest.mark.parametrize(
    ("question", "measure"),
    [
        ("How many rules does it have?", "count"),
        ("What is the largest file it reads?", "count"),
        ("When was it published?", "date"),
        ("What does a licence cost?", "money"),
        ("How much do we pay for water?", "money"),
        ("Which version runs on Windows?", "version"),
        ("How long does it last?", "duration"),
        ("How many hours does it last?", "duration"),
        ("How far is it?", "distance"),
        ("How often must it be cleaned?", "frequency"),
        ("यह कितने नियम जानता है?", "count"),
        ("यह कितने घंटे चलती है?", "duration"),
        ("இதன் விலை என்ன?", "money"),
    ],
)
def test_the_measure_wanted_is_recognised(question: str, measure: str) -> None:
    assert measure in analyse(question).measures


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Is it safe and sound?", ["Is it safe and sound?"]),
        ("When is rent due, and who gets it?", ["When is rent due", "who gets it?"]),
        ("What is A? Why is it so?", ["What is A", "Why is it so?"]),
        ("किराया कब देना है और किसे देना है?", ["किराया कब देना है", "किसे देना है?"]),
        ("and who?", ["and who?"]),
    ],
)
def test_a_question_is_parted_where_it_asks_again(question: str, found: list[str]) -> None:
    assert [part.text for part in parts(question)] == found


def test_a_later_part_goes_on_about_the_first_one() -> None:
    later = parts("When was the car bought, and when was it serviced?")[1]
    assert {term.stem for term in later.terms if term.told} == {stem("car"), stem("bought")}


def test_the_words_of_one_name_count_as_one_word() -> None:
    asked = analyse("When does the Annual Day begin?")
    assert sum(term.weight for term in asked.terms if term.name) == pytest.approx(1)


def test_names_and_numbers_are_names_and_common_words_are_not() -> None:
    asked = analyse("Which release of htmldate works with Python 3.7 on AWS?")
    assert {term.stem for term in asked.terms if term.name} == {"3.7", "aw", "python"}
    assert stem("AWS") == "aw"


def test_a_phrase_is_asked_for_by_its_one_word_too() -> None:
    assert stem("disable") in {term.stem for term in analyse("How do I turn off colours?").terms}


def test_the_question_itself_is_the_first_search() -> None:
    planned = queries(parts("How fast is the parser?"))
    assert planned[0] == "How fast is the parser?"
    assert "speed" in planned[1] and len(planned) == 2


def test_searches_are_made_of_whole_words() -> None:
    searched = " ".join(queries(parts("What rate does the landlord want?"))).split()
    assert {"charge", "landlady"} <= set(searched)
    assert not {"charg", "landladi"} & set(searched)


def test_each_part_is_searched_with_what_it_goes_on_about() -> None:
    planned = queries(parts("When was the car bought, and who repaired it?"))
    assert planned[:2] == ["When was the car bought", "who repaired it? car bought"]


def test_a_deep_search_looks_for_each_name_alone() -> None:
    assert "MongoDB" in queries(parts("How do I set up MongoDB?"), deep=True)


@given(st.text())
def test_any_text_gives_the_same_plan_twice_and_bounded(text: str) -> None:
    asked = parts(text)
    assert asked == parts(text)
    assert sum(len(part.text) for part in asked) <= MAX_QUESTION_CHARACTERS
    assert all(query.strip() for query in queries(asked, deep=True))


@pytest.mark.parametrize("text", ["", "   ", "?!", "\x00", "है क्या?"])
def test_a_question_without_words_of_meaning_plans_nothing_or_itself(text: str) -> None:
    assert queries(parts(text)) == ([] if not analyse(text).terms else [text])
