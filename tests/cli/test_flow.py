"""Streamed text: whole words, within the width, as soon as they are whole."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.cli.flow import Flow
from regend.cli.text import width

TEXT = st.text(alphabet="ab .-1\n\t`日本。नि🙂", max_size=120)


def flowed(text: str, columns: int, indent: str = "") -> str:
    flow = Flow(columns, indent)
    return flow.feed(text) + flow.end()


@given(st.lists(TEXT, max_size=8), st.integers(4, 40), st.sampled_from(["", "  "]))
def test_how_a_text_was_cut_into_pieces_does_not_show(
    pieces: list[str], columns: int, indent: str
) -> None:
    flow = Flow(columns, indent)
    shown = "".join(flow.feed(piece) for piece in pieces) + flow.end()
    assert shown == flowed("".join(pieces), columns, indent)


@given(TEXT, st.integers(4, 40))
def test_nothing_is_lost_and_lines_are_only_added(text: str, columns: int) -> None:
    def bare(given_text: str) -> str:
        return re.sub(r"[ \t\n]+", "", given_text)

    assert bare(flowed(text, columns)) == bare(text)


@given(st.lists(st.text(alphabet="abनि", min_size=1, max_size=10), min_size=1), st.integers(12, 40))
def test_no_line_passes_the_edge_and_no_word_is_broken(words: list[str], columns: int) -> None:
    shown = flowed(" ".join(words), columns, "  ")
    assert all(width(line) <= columns and line.startswith("  ") for line in shown.splitlines())
    assert shown.split() == words


def test_a_word_is_shown_as_soon_as_it_is_whole() -> None:
    flow = Flow(20)
    assert [flow.feed(piece) for piece in ("The re", "nt", " is d", "ue.")] == [
        "The",
        "",
        " rent is",
        "",
    ]
    assert flow.end() == " due.\n"


def test_letters_of_a_script_without_spaces_do_not_wait_for_one() -> None:
    flow = Flow(8)
    assert flow.feed("日本語の") == "日本語"
    assert flow.feed("文。です") == "の\n文。で"


def test_an_address_that_is_longer_than_a_line_is_shown_and_stays_whole() -> None:
    flow = Flow(10)
    assert flow.feed("see https://a.example/") == "see\nhttps://a.example/"
    assert flow.feed("b c") == "b"
    assert flow.end() == "\nc\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one two three", "one two\nthree\n"),
        ("- one two three", "- one two\n  three\n"),
        ("12. one two six", "12. one\n    two\n    six\n"),
        ("a\n  one two three", "a\n  one two\n  three\n"),
        ("\n\n  one\n\n\ntwo\n\n", "one\n\n\ntwo\n"),
        ("```\none two three\n```\none two three", "```\none two three\n```\none two\nthree\n"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_lists_indents_empty_lines_and_code_keep_their_form(text: str, shown: str) -> None:
    assert flowed(text, 9) == shown


def test_two_texts_do_not_run_into_one_another() -> None:
    flow = Flow(20, "    ")
    assert flow.feed("one") + flow.end() + flow.feed("two ") + flow.end() == "    one\n    two\n"
