"""The evaluation sets themselves: that they are what the figures claim, and their answers true."""

from __future__ import annotations

import re

import pytest

from tests.agents.questions import SPLITS, documents, questions

COUNTS = {  # with and without an answer
    "tune": (40, 6),
    "final": (20, 4),
    "extra": (42, 10),
    "fresh": (48, 9),
    "fresh-final": (50, 9),
    "more": (14, 22),
    "home-more": (16, 20),
    "home": (52, 9),
    "home-final": (52, 9),
    "alike": (13, 7),
}


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_has_as_many_questions_as_its_figures_claim(split: str) -> None:
    rows = questions(split)
    answered = sum(row["document"] is not None for row in rows)
    assert (answered, len(rows) - answered) == COUNTS[split]


def test_no_question_is_in_two_splits() -> None:
    every = [row["question"] for split in SPLITS for row in questions(split)]
    assert len(set(every)) == len(every)


@pytest.mark.parametrize("split", SPLITS)
def test_every_accepted_fact_is_in_the_text_of_its_document(split: str) -> None:
    texts = {name: " ".join(text.split()) for name, text in documents(SPLITS[split][1]).items()}
    for row in questions(split):
        for fact in row["fact"] + row.get("also", []):
            assert re.search(fact, texts[row["document"]], re.IGNORECASE), "a fact is not there"
