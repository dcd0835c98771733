"""Putting answers together and checking what a model adds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from markdown_it import MarkdownIt

from regend.agents.evidence.answer import Checked, check, citation, markdown, not_found
from regend.agents.evidence.prompt import PROMPT_TOKENS, messages
from regend.agents.evidence.selection import Quote


def _quote(text: str, title: str = "parser") -> Quote:
    return Quote("d1", title, "a/b.md", "Limits", 7, 7 + len(text), text, "prose", 1.0, 1.0)


QUOTES = [
    _quote("The parser accepts files of up to 40 megabytes."),
    _quote("It does not support XML files."),
]


def test_supported_sentences_are_kept_with_the_quote_that_bears_them_out() -> None:
    checked = check("The parser accepts files up to 40 megabytes. It supports XML files.", QUOTES)
    assert checked.kept == (("The parser accepts files up to 40 megabytes.", 1),)
    assert checked.unsupported == ("It supports XML files.",)


def test_a_wrong_mark_of_the_model_is_put_right() -> None:
    checked = check("The parser accepts files up to 40 megabytes [2].", QUOTES)
    assert checked.kept == (("The parser accepts files up to 40 megabytes.", 1),)


def test_a_model_that_repeats_itself_is_heard_once() -> None:
    text = "The parser accepts files up to 40 megabytes. " * 5 + "Cats are nice animals. " * 5
    checked = check(text, QUOTES)
    assert len(checked.kept) == 1 and len(checked.unsupported) == 1


def test_a_sentence_cut_short_is_not_kept() -> None:
    text = "The parser accepts files of up to 40 megabytes"
    assert check(text, QUOTES).kept and not check(text, QUOTES, cut=True).kept


def test_no_text_leaves_nothing() -> None:
    assert check("  \n", QUOTES) == Checked((), ())


def test_the_model_is_named_where_its_words_stand_and_only_kept_ones_are_shown() -> None:
    shown = markdown(QUOTES, Checked((("It reads files.", 1),), ("It flies.",)), "tiny-1b", [])
    assert (
        "**In the model's words** (tiny-1b, checked against the quotes): It reads files. [1]"
        in shown
    )
    assert "It flies" not in shown
    assert "> The parser accepts files of up to 40 megabytes. [1]" in shown
    assert "- [2] parser › Limits" in shown


def test_what_a_model_only_repeats_is_not_shown_again() -> None:
    repeated, added = "the parser accepts  files of up to 40 megabytes.", "It takes 40 megabytes."
    both = markdown(QUOTES, Checked(((repeated, 1), (added, 1)), ()), "tiny-1b", [])
    assert added in both and repeated not in both
    assert "model's words" not in markdown(QUOTES, Checked(((repeated, 1),), ()), "tiny", [])


def test_a_title_that_is_the_first_heading_too_stands_in_a_source_once() -> None:
    quote = replace(_quote("Read this.", "guide"), heading="guide › Setup › Linux")
    shown = markdown([quote], Checked((), ()), "tiny", [])
    assert "- [1] guide › Setup › Linux · a/b.md · characters 7–17\n" in shown


def test_a_hostile_title_and_model_text_cannot_become_markup() -> None:
    hostile = "[x](javascript:a) <b> `# t"
    quotes = [_quote("Plain text here.", hostile)]
    shown = markdown(quotes, Checked(((hostile, 1),), ()), hostile, [hostile], [hostile])
    headed = replace(quotes[0], heading=hostile, headed=True)
    shown += not_found(hostile, [], 1, [headed], [hostile], [hostile])
    shown += not_found("?", [hostile], 0, [], [])
    html = MarkdownIt("commonmark").render(shown)
    assert "<a " not in html and "<b>" not in html and "<h1>" not in html


def test_a_citation_has_the_span_and_the_very_quote() -> None:
    assert citation(1, QUOTES[0]) == {
        "n": 1,
        "document_id": "d1",
        "title": "parser",
        "source": "a/b.md",
        "span": [7, 54],
        "quote": QUOTES[0].text,
    }


def test_the_prompt_leaves_out_the_last_quotes_where_they_do_not_fit() -> None:
    long = _quote("word " * (PROMPT_TOKENS - 200))

    def count(text: str) -> int:
        return len(text.split())

    built = messages("Why?", [QUOTES[0], long, long], count)
    assert "[2]" in built[1]["content"] and "[3]" not in built[1]["content"]
    assert messages("Why?", [_quote("word " * PROMPT_TOKENS)], count) == []
    assert messages("Why?", [], count) == []


def test_the_part_that_nothing_answers_is_named_before_the_sources() -> None:
    shown = markdown(QUOTES, Checked((), ()), "tiny", ["and who wrote it?"])
    before, _, after = shown.partition("**Not found** in so many words:")
    assert "[2]" in before and "“and who wrote it?”" in after
    assert "**Sources**" in after


def test_what_is_only_related_is_said_to_be_so_and_what_it_lacks_is_named() -> None:
    shown = not_found("Who wrote it?", [], 1, QUOTES[:1], ["wrote"])
    assert shown.startswith("Nothing in your library answers “Who wrote it?” in so many words.")
    assert "What comes nearest, without “wrote”:" in shown and "- [1] parser › Limits" in shown


def test_a_heading_that_has_a_part_of_the_answer_stands_above_its_quote() -> None:
    quote = replace(_quote("First release."), heading="Changes › 1.1 (2011)", headed=True)
    assert "> **1\\.1 (2011)**\n>\n> First release. [1]" in markdown(
        [quote], Checked((), ()), "tiny", [], ""
    )


@pytest.mark.parametrize(
    "draft",
    [
        "How much is the fee for cleaning?",
        "How much is the fee for cleaning",
        "The question is how much is the fee for cleaning.",
        "The fee for cleaning is.",
        "टंकी की सफाई का खर्च कितना है?",
        "टंकी की सफाई का खर्च कितना है।",
    ],
)
def test_a_sentence_that_asks_or_repeats_the_question_is_not_kept(draft: str) -> None:
    quotes = [
        _quote("The fee for cleaning is 40 rupees."),
        _quote("टंकी की सफाई हर तीन महीने में होती है और उसका खर्च ₹800 है।"),
    ]
    checked = check(draft, quotes, question="How much is the fee for cleaning?")
    assert checked == Checked((), (draft,))
    kept = check("The fee for cleaning is 40 rupees.", quotes, question="How much is the fee?")
    assert kept.kept == (("The fee for cleaning is 40 rupees.", 1),)


def test_what_comes_near_stands_below_the_answer_and_is_said_to() -> None:
    near = replace(QUOTES[1], near=True)
    shown = markdown([QUOTES[0], near], Checked((), ()), "tiny", [])
    before, _, after = shown.partition("**Related**")
    assert "40 megabytes. [1]" in before and "[2]" not in before
    assert "XML files. [2]" in after


def test_two_quotes_of_one_document_are_told_apart_in_the_sources() -> None:
    other = replace(QUOTES[0], start=60, end=107)
    shown = markdown([QUOTES[0], other], Checked((), ()), "tiny", [])
    assert "- [1] parser › Limits · a/b.md · characters 7–54\n" in shown
    assert "- [2] parser › Limits · a/b.md · characters 60–107\n" in shown


def test_what_came_up_and_does_not_answer_is_counted() -> None:
    assert "Looked for “gold price”: 5 passages came up" in not_found(
        "?", ["gold price"], 5, [], []
    )
    assert "Looked for “gold price”: nothing came up." in not_found("?", ["gold price"], 0, [], [])
