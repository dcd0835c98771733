"""Whether a text names another one of a kind than the question."""

from __future__ import annotations

import pytest

from regend.agents.evidence.rivals import names_another


@pytest.mark.parametrize(
    ("question", "text", "another"),
    [
        ("What was the bill for November?", "The bill for October is due on 18 November.", True),
        ("What was the bill for October?", "The bill for October is due on 18 November.", False),
        ("What was the bill for November?", "It is due on 18 November.", False),
        ("May I keep a dog?", "In June we may keep a dog.", False),
        ("Is it open on Monday?", "It is closed on Sundays.", True),
        ("Is it open on Monday?", "It is open from Monday to Friday.", False),
        ("What is the fee for the second term?", "The fee for the third term is 40.", True),
        ("What is the fee for the second term?", "It lies on the third shelf.", False),
        ("नवंबर का बिल कितना था?", "अक्टूबर का बिल ₹40 था।", True),
        ("क्या सोमवार को छुट्टी है?", "बुधवार को छुट्टी है।", True),
    ],
)
def test_another_one_of_a_kind_is_told_from_the_same(
    question: str, text: str, another: bool
) -> None:
    assert names_another(question, text) is another
