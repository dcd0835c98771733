"""From question and documents to quotes: ranking, choosing, refusing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from regend.agents.evidence.question import analyse
from regend.agents.evidence.scoring import Piece, rank
from regend.agents.evidence.selection import MAX_QUOTE_CHARACTERS, Quote, choose

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


def _ask(question: str, documents: dict[str, str] = LIBRARY, limit: int = 3) -> list[Quote]:
    pieces = [Piece(f"id-{name}", name, name, 0, text) for name, text in documents.items()]
    asked = analyse(question)
    return choose(asked, rank(asked, pieces), limit)


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
    assert len(_ask("What about rice and water?", limit=1)) <= 1


def test_a_window_of_a_long_document_keeps_its_place() -> None:
    start = 5000
    piece = Piece("id", "rice", "rice", start, COOKING, ((5000, 5400, "Kitchen"),))
    asked = analyse("How many minutes does the rice take?")
    quote = choose(asked, rank(asked, [piece]), 1)[0]
    assert COOKING[quote.start - start : quote.end - start] == quote.text


_LINES = st.lists(
    st.sampled_from([*PARSER.splitlines(), *COOKING.splitlines(), *HINDI.splitlines(), "::", "\t"]),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(_LINES.map("\n".join), st.text()),
    st.sampled_from(["What is rice?", "How do I install fastparse?", "बैटरी कितने घंटे चलती है?", "a"]),
    st.integers(0, 10_000),
)
def test_a_quote_is_always_the_very_text_of_its_span(text: str, question: str, start: int) -> None:
    asked = analyse(question)
    for quote in choose(asked, rank(asked, [Piece("id", "rice", "s", start, text)]), 5):
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
