"""A mistyped word of a question: read as the documents' word, said so, and never stretched."""

from __future__ import annotations

from pathlib import Path

import pytest

from regend.agents.evidence.spelling import respelled
from regend.agents.research import run
from tests.agents.inprocess import InProcess, Library

LETTER = "The class teacher is Ms. Farida Shaikh. She can be met on Fridays between 14 and 15.\n"


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("techer", "teacher"),
        ("choclate", "Chocolate"),
        ("recieve", "receive"),
        ("kiitchen", "kitchen"),
    ],
)
def test_a_letter_left_out_doubled_or_swapped_is_a_slip(typed: str, written: str) -> None:
    asked, read = respelled(f"what is the {typed} for?", [f"A {written} is here."])
    assert read == [(typed, written)] and asked == f"what is the {written.lower()} for?"


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("who is the trainer?", "The trailer is red."),  # another letter is another word
        ("who is the techer?", "The teacher met a tehcer."),  # two are as near
        ("who is Mathers?", "The mathes and Matthers are here."),  # a name
        ("who is the techer?", "The techer is here, and a teacher."),  # stands there
        ("how are the county's books?", "The countys and the count are here."),  # an ending
        ("who can teach?", "A tech is here."),  # too short to tell
    ],
)
def test_what_may_be_another_word_is_left_as_it_is(question: str, text: str) -> None:
    assert respelled(question, [text]) == (question, [])


def test_the_answer_to_a_mistyped_question_says_how_it_was_read(tmp_path: Path) -> None:
    library = Library(tmp_path / "library.db")
    library.add("letter", LETTER)
    question = "Who is the class techer and when can I meet her?"
    answer = run(InProcess(library, {"question": question, "depth": "quick"}))["answer"]
    assert "Farida Shaikh" in answer and "Fridays" in answer
    assert "Not found" not in answer
    assert "Read “techer” as “teacher”." in answer
