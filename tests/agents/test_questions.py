"""The evaluation set itself: that it is what the figures claim, and that its answers are true."""

from __future__ import annotations

import re
from collections import Counter

from tests.bench.research import questions, readmes


def test_there_are_sixty_questions_with_and_ten_without_an_answer() -> None:
    rows = questions()
    answered = [row for row in rows if row["package"]]
    assert Counter(row["split"] for row in answered) == {"tune": 40, "final": 20}
    assert len(rows) - len(answered) == 10
    assert len({row["package"] for row in answered}) >= 30
    assert len({row["question"] for row in rows}) == len(rows)


def test_every_accepted_fact_is_in_the_text_of_its_package() -> None:
    texts = {name: " ".join(text.split()) for name, text in readmes().items()}
    for row in questions():
        for fact in row["fact"]:
            assert re.search(fact, texts[row["package"]], re.IGNORECASE), (row["package"], fact)
