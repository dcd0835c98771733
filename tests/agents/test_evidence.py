"""From question and documents to quotes: ranking, choosing, refusing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regend.agents.evidence.pieces import Piece
from regend.agents.evidence.question import analyse, parts
from regend.agents.evidence.scoring import rank
from regend.agents.evidence.selection import MAX_QUOTE_CHARACTERS, Choice, Quote, choose

PARSER = """# Fastparse

Fastparse is a parser for configuration files, written in Rust.

## Limits

By default a file may have up to 40 megabytes.
It does not support XML.

## Installation

Install it with pip:

```
pip install fastparse
```

## License

Fastparse is published under the MIT licence.
"""
COOKING = """# Cooking rice

Wash the rice before you cook it. Rice needs twice its volume of water.
The rice is done after 18 minutes.
"""
HINDI = """# बैटरी

यह बैटरी आठ घंटे चलती है। इसे ठंडी जगह में रखें।

# वारंटी

वारंटी दो साल की है और इसका लाइसेंस मुफ़्त है।
"""


LIBRARY = {"fastparse": PARSER, "rice": COOKING, "battery": HINDI}


def _choose(question: str, documents: dict[str, str] = LIBRARY, limit: int = 3) -> Choice:
    pieces = [Piece(f"id-{name}", name, name, 0, text) for name, text in documents.items()]
    return choose(parts(question), pieces, limit)


def _ask(question: str, documents: dict[str, str] = LIBRARY, limit: int = 3) -> list[Quote]:
    """Return the quotes that answer."""
    choice = _choose(question, documents, limit)
    return list(choice.quotes) if choice.answers else []


def test_a_limit_is_answered_by_the_sentence_that_has_the_number() -> None:
    best = _ask("What is the largest file that fastparse takes by default?")[0]
    assert best.text == "By default a file may have up to 40 megabytes."
    assert best.document_id == "id-fastparse"
    assert best.heading == "Fastparse › Limits"


def test_a_how_to_is_answered_with_the_code_that_the_sentence_announces() -> None:
    best = _ask("How do I install fastparse?")[0]
    assert "pip install fastparse" in best.text and "Install it with pip:" in best.text


def test_a_licence_is_found_in_other_spelling() -> None:
    assert "MIT" in _ask("How is fastparse licensed?")[0].text


def test_a_sentence_that_leans_on_the_one_before_takes_it_along() -> None:
    best = _ask("Does fastparse support XML?")[0]
    assert best.text.startswith("By default") and best.text.endswith("It does not support XML.")


def test_a_hindi_question_is_answered_by_hindi_text() -> None:
    best = _ask("बैटरी कितने घंटे चलती है?")[0]
    assert best.text == "यह बैटरी आठ घंटे चलती है।"
    assert _ask("वारंटी कितने साल की है?")[0].text.startswith("वारंटी दो साल")


def test_a_hindi_question_that_the_text_does_not_answer_is_refused() -> None:
    assert _ask("बैटरी की कीमत कितनी है?") == []


def test_a_name_that_no_document_knows_is_refused() -> None:
    assert _ask("How do I configure a file in MongoDB?") == []


def test_a_question_for_a_number_is_not_answered_without_one() -> None:
    only = {"tool": "# Tool\n\nTool takes files of any size and has a limit.\n"}
    assert _ask("How many files does Tool take at most?", only) == []


def test_a_question_for_a_price_is_not_answered_without_one() -> None:
    assert _ask("What does fastparse cost?") == []


def test_nothing_read_and_nothing_asked_give_no_quotes() -> None:
    assert rank(analyse("What is rice?"), []) == []
    assert _ask("?") == []
    assert _ask("What is rice?", {"empty": ""}) == []


def test_the_same_sentence_in_two_documents_is_quoted_once() -> None:
    copies = {"one": PARSER, "two": PARSER}
    assert len(_ask("Which licence is fastparse published under?", copies)) == 1


def test_there_are_never_more_quotes_than_asked_for() -> None:
    assert len(_choose("What about rice and water?", limit=1).quotes) <= 1


def test_a_window_of_a_long_document_keeps_its_place() -> None:
    start = 5000
    piece = Piece("id", "rice", "rice", start, COOKING, ((5000, 5400, "Kitchen"),))
    asked = analyse("How many minutes does the rice take?")
    quote = choose([asked], [piece], 1).quotes[0]
    assert COOKING[quote.start - start : quote.end - start] == quote.text


_LINES = st.lists(
    st.sampled_from([*PARSER.splitlines(), *COOKING.splitlines(), *HINDI.splitlines(), "::", "\t"]),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(_LINES.map("\n".join), st.text()),
    st.sampled_from(
        [
            "What is rice and who cooks rice?",
            "How do I install fastparse?",
            "बैटरी कितने घंटे चलती है?",
            "a",
        ]
    ),
    st.integers(0, 10_000),
)
def test_a_quote_is_always_the_very_text_of_its_span(text: str, question: str, start: int) -> None:
    pieces = [Piece("id", "rice", "s", start, text)]
    quotes = choose(parts(question), pieces, 5).quotes
    spans = sorted((quote.start, quote.end) for quote in quotes)
    assert all(one[1] <= other[0] for one, other in pairwise(spans))
    for quote in quotes:
        assert text[quote.start - start : quote.end - start] == quote.text
        assert 0 < len(quote.text) <= MAX_QUOTE_CHARACTERS + 100
        assert Quote.from_dict(quote.to_dict()) == quote


def test_a_text_that_repeats_the_question_does_not_answer_it() -> None:
    question = analyse("Which process opens the database?")
    asking = Piece(
        "a", "A", "a.md", 0, "Ask it: regend research “Which process opens the database?”"
    )
    answering = Piece(
        "b", "B", "b.md", 0, "The daemon is the only process that opens the database."
    )
    assert {one.piece for one in rank(question, [asking, answering])} == {answering}


MACHINE = """# The car

Grey, bought on 14 March 2021 from Deccan Motors for ₹6,85,000.
The tank holds 37 litres. Its four wheels take 33 psi.

## Insurance

It covers own damage. It is valid until 13 March 2027.
"""


def test_what_is_said_of_the_subject_and_not_asked_is_only_related() -> None:
    choice = _choose("When was the car last serviced?", {"car": MACHINE})
    assert not choice.answers and "bought on 14 March 2021" in choice.quotes[0].text
    assert "serviced" in choice.unsaid and "car" not in choice.unsaid


def test_a_question_of_two_parts_is_answered_in_both() -> None:
    choice = _choose("When was the car bought, and how many litres does it hold?", {"car": MACHINE})
    shown = " ".join(quote.text for quote in choice.quotes)
    assert choice.answers and choice.missing == ()
    assert "14 March 2021" in shown and "37 litres" in shown


def test_the_part_of_a_question_that_nothing_answers_is_named() -> None:
    choice = _choose("When was the car bought, and who repaired it?", {"car": MACHINE})
    assert choice.answers and "14 March 2021" in choice.quotes[0].text
    assert choice.missing == ("who repaired it?",)


def test_another_number_does_not_answer_how_many_there_are() -> None:
    assert _ask("How many doors does the car have?", {"car": MACHINE}) == []
    assert "four wheels" in _ask("How many wheels does the car have?", {"car": MACHINE})[0].text


def test_a_measure_answers_without_the_word_that_asks_for_it() -> None:
    trip = {"trip": "# Trip\n\nWe stay in Guhagar. By Tamhini it is 230 km.\n"}
    assert "230 km" in _ask("How far is it to Guhagar?", trip)[0].text
    assert _ask("How far is it to Guhagar?", {"trip": "# Trip\n\nWe stay in Guhagar.\n"}) == []


def test_an_abbreviation_is_found_in_full_words() -> None:
    money = {"money": "# Money\n\nOur Fixed Deposit matures on 14 August 2027.\n"}
    assert "14 August" in _ask("When does the FD mature?", money)[0].text


def test_a_heading_that_has_the_date_is_shown_with_its_quote() -> None:
    log = {"tool": "# Tool\n\n## 1.1.0 (2011-03-09)\n\n- First public release.\n"}
    quote = _ask("When did the first public release come out?", log)[0]
    assert quote.headed and quote.heading.endswith("1.1.0 (2011-03-09)")


def test_a_subject_that_the_documents_do_not_know_is_not_answered_for() -> None:
    assert _ask("What is the price of the mixer?", {"car": MACHINE}) == []


def test_no_quote_is_shown_twice_for_two_parts() -> None:
    choice = _choose("When was the car bought and from whom was the car bought?", {"car": MACHINE})
    spans = [(quote.start, quote.end) for quote in choice.quotes]
    assert len(set(spans)) == len(spans)


def test_a_word_that_says_little_is_not_what_is_asked() -> None:
    tools = {
        "fastparse": PARSER,
        "other": "# Other\n\nIt is good to know that it has rules like those of fastparse.\n",
    }
    assert "parser for configuration files" in _ask("What is fastparse good for?", tools)[0].text


PAPERS = {
    "rent": "# Rent agreement\n\nThe rent of the flat at 14 Lake Road is ₹18,500 a month. It is"
    " due on the 5th of each month and is paid to Mrs. Kamla Sharma by UPI.\n\nA late fee of ₹200 a"
    " day is charged after the 10th.\n",
    "society": "# Society\n\nThe secretary is Mr. Verma in flat B-204. The guard is Ram; his number"
    " is 98100 55512.\n\nMaintenance is ₹3,500 a month, due by the 10th and payable to Sunrise"
    " Apartments.\n",
    "school": "# School fees\n\nThe school fee for the third quarter is ₹24,600. The last date"
    " is 15 October, after which a fine of ₹50 a day applies.\n\nThe van driver is Ramesh; his"
    " number is 98100 12345. The van comes at 7:10 am.\n",
    "insurance": "# Insurance\n\nThe Maruti Swift (DL 3C AB 1234) is insured with Lombard until 30"
    " April. The premium was ₹9,812.\n\nThe family health policy is with Star.\n",
    "power": "The electricity bill for October was Rs. 2,340 and must be paid by 18 November.\n",
    "help": "# घर की सहायिका\n\nसुनीता का वेतन ₹4,500 प्रति माह है।\n\nवह बुधवार को छुट्टी लेती है।\n",
}


@pytest.mark.parametrize(
    ("question", "facts"),
    [
        ("When is the rent due, and who gets it?", ["the 5th", "Kamla Sharma"]),
        ("Who is the secretary and which flat does he live in?", ["Verma", "B-204"]),
        ("When is the maintenance due, and who gets it?", ["the 10th", "Sunrise"]),
        ("What is the school fee and when is it due?", ["24,600", "15 October"]),
    ],
)
def test_no_part_is_called_missing_that_a_shown_quote_answers(
    question: str, facts: list[str]
) -> None:
    choice = _choose(question, PAPERS)
    answering = " ".join(quote.text for quote in choice.quotes if not quote.near)
    assert choice.answers and choice.missing == ()
    assert all(fact in answering for fact in facts)


def test_a_later_part_that_says_it_is_answered_of_the_same_thing_only() -> None:
    choice = _choose("What is the school fee and when is it due?", PAPERS)
    answering = {quote.document_id for quote in choice.quotes if not quote.near}
    assert answering == {"id-school"}


@pytest.mark.parametrize(
    "question",
    [
        "What is the premium of the health policy?",
        "How much was the electricity bill for November?",
        "What is the late fee for the maintenance?",
        "When is the van driver on leave?",
        "What is the phone number of the secretary?",
        "What is the school fee for the second quarter?",
        "सुनीता का फ़ोन नंबर क्या है?",
        "क्या सुनीता सोमवार को छुट्टी लेती है?",
    ],
)
def test_what_lacks_the_word_that_tells_which_one_is_meant_is_only_related(question: str) -> None:
    choice = _choose(question, PAPERS)
    assert choice.quotes and not choice.answers


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        ("What was the premium of the Swift?", "9,812"),
        ("How much was the electricity bill for October?", "2,340"),
        ("What is the phone number of the van driver?", "98100 12345"),
        ("सुनीता का वेतन कितना है?", "4,500"),
        ("सुनीता किस दिन छुट्टी लेती है?", "बुधवार"),
    ],
)
def test_what_has_that_word_answers(question: str, fact: str) -> None:
    assert fact in _ask(question, PAPERS)[0].text


def test_what_says_it_in_other_words_only_is_related_beside_what_says_it_outright() -> None:
    quotes = _ask("How much is the late fee?", PAPERS)
    assert "₹200 a day" in quotes[0].text and not quotes[0].near
    assert all(quote.near for quote in quotes if "₹50 a day" in quote.text)


def test_a_brief_sentence_is_shown_with_the_one_that_says_of_what_it_speaks() -> None:
    assert _ask("What was the premium?", PAPERS)[0].text.startswith("The Maruti Swift")
