"""Queries: any question is one, and none is a syntax error."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.library.query import MAX_PHRASES, MAX_TERMS, match_all, match_any, parse


@pytest.fixture(scope="module")
def table() -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE VIRTUAL TABLE t USING fts5(text, content='', tokenize='ascii')")
        yield connection


ENEMIES = [
    *('"', '""', '"a', 'a"b"c', "*", "a*", "^a", "a NEAR b", "NEAR(a b, 3)", "AND", "a AND"),
    *("NOT a", "-a", "text:a", "{text}:a", "(a", "a)", "a\0b", "\0", "😀", "a😀b", "\ud800"),
    *("a\ud800b", "'; --", "word " * 10_000, '"' * 10_000, "x" * 100_000, "\u202eabc"),
    *("  \n\t ", "क" * 5000, '"' + "a " * 200 + '"'),
]


@pytest.mark.parametrize("question", ENEMIES, ids=range(len(ENEMIES)))
def test_an_odd_question_is_no_syntax_error(table: sqlite3.Connection, question: str) -> None:
    query = parse(question)
    for expression in (match_any(query.terms), match_all(query.phrases)):
        if expression:
            table.execute("SELECT rowid FROM t WHERE t MATCH ?", (expression,)).fetchall()


@given(st.text())
def test_no_question_raises_or_grows_beyond_the_bounds(question: str) -> None:
    query = parse(question)
    assert len(query.terms) <= MAX_TERMS
    assert len(query.phrases) <= MAX_PHRASES
    for term in (*query.terms, *query.phrases, query.beginning):
        term.encode()
        assert '"' not in term


def test_words_in_quotes_become_a_phrase_and_the_rest_terms() -> None:
    query = parse('Where is the "exact resume" of tokens explained?')
    assert query.phrases == ("exact resum",)
    assert "token" in query.terms


def test_joined_words_are_asked_for_together_and_apart() -> None:
    assert parse("utf-8 decoding").terms == ("utf", "decod", "utf 8")
    assert "max attempt" in parse("what is max_attempts?").terms


def test_only_a_question_that_breaks_off_has_a_beginning_to_complete() -> None:
    assert parse("how to confi").beginning == "confi"
    assert parse("how to confi?").beginning == ""
    assert parse("how to confi ").beginning == ""


def test_of_a_long_question_the_longest_words_are_kept() -> None:
    words = [f"w{i}" for i in range(100)] + ["extraordinarily"]
    assert "extraordinarili" in parse(" ".join(words)).terms
