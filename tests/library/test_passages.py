"""Passages: the invariants of `passages`, and what belongs together."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from regend.library.passages import Passage, split
from regend.limits import MAX_PASSAGE_CHARACTERS

LINES = st.sampled_from(
    [
        *("# Title", "## Sub", "Setext", "======", "------", "~~~~~~", "```", "```sh", "~~~", ""),
        *("| a | b |", "|---|---|", "- item", "  1. item", "> quote", "\f", "  \t ", "#", "***"),
        *(
            "A sentence. Another one!",
            "यह एक वाक्य है। दूसरा॥",
            "x" * 1500,
            "word " * 500,
            "\u202eabc",
        ),
    ]
)
TEXTS = st.one_of(st.text(), st.lists(st.one_of(LINES, st.text()), max_size=30).map("\n".join))


def texts_of(text: str) -> list[str]:
    return [text[passage.start : passage.end] for passage in split(text)]


@given(TEXTS)
def test_every_passage_is_a_bounded_stretch_without_blank_ends(text: str) -> None:
    for i, passage in enumerate(split(text)):
        piece = text[passage.start : passage.end]
        assert piece
        assert piece == piece.strip()
        assert len(piece) <= MAX_PASSAGE_CHARACTERS
        assert passage.ordinal == i


@given(TEXTS)
def test_passages_are_in_order_and_leave_out_nothing_but_blanks(text: str) -> None:
    at = 0
    for passage in split(text):
        assert passage.start >= at
        assert not text[at : passage.start].strip()
        at = passage.end
    assert not text[at:].strip()


def test_headings_make_the_path_of_what_is_below_them() -> None:
    text = "# A\n\none\n\n## B\n\ntwo\n\n### C\n\nthree\n\n## D\n\nfour\n\n# E\n\nfive\n"
    assert [p.heading for p in split(text)] == ["A", "A › B", "A › B › C", "A › D", "E"]


def test_a_heading_stands_in_the_passage_that_it_opens() -> None:
    assert texts_of("intro\n\n## Install\n\nRun it.") == ["intro", "## Install\n\nRun it."]


def test_underlined_headings_are_headings_also_with_tildes() -> None:
    text = "Guide\n=====\n\nintro\n\nSetup\n-----\n\nrun\n\nDetails\n~~~~~~~\n\nmore\n"
    assert [p.heading for p in split(text)] == ["Guide", "Guide › Setup", "Guide › Setup › Details"]


def test_code_is_kept_apart_from_prose_and_whole() -> None:
    text = "Before.\n\n```sh\n# not a heading\n\npip install x\n```\nAfter."
    assert [(p.kind, text[p.start : p.end]) for p in split(text)] == [
        ("prose", "Before."),
        ("code", "```sh\n# not a heading\n\npip install x\n```"),
        ("prose", "After."),
    ]


def test_a_fence_that_is_never_closed_loses_nothing() -> None:
    assert texts_of("a\n\n```\ncode\n\nmore") == ["a", "```\ncode\n\nmore"]


def test_a_long_table_is_cut_between_its_rows() -> None:
    row = "| " + "cell " * 20 + "|\n"
    text = row * 60
    passages = split(text)
    assert len(passages) > 1
    assert all(p.kind == "table" for p in passages)
    assert all(text[p.start : p.end].count("|") % 2 == 0 for p in passages)


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    text = "This is one of many sentences in a row. " * 100
    assert all(piece.endswith("row.") for piece in texts_of(text))


def test_a_long_hindi_paragraph_is_cut_at_the_danda() -> None:
    text = "यह बहुत से वाक्यों में से एक वाक्य है। " * 100
    pieces = texts_of(text)
    assert len(pieces) > 2
    assert all(piece.endswith("।") for piece in pieces)


def test_short_blocks_of_a_section_share_a_passage() -> None:
    assert len(split("one\n\ntwo\n\n- three\n- four")) == 1


def test_form_feeds_are_the_pages_of_a_pdf() -> None:
    text = "first\n\f\nsecond\n\f\n"
    assert [(p.heading, text[p.start : p.end]) for p in split(text)] == [
        ("Page 1", "first"),
        ("Page 2", "second"),
    ]


def test_a_text_of_blanks_has_no_passages() -> None:
    assert split("") == []
    assert split(" \n\t\f\n ") == []


def test_blanks_without_end_around_a_word_are_no_part_of_its_passage() -> None:
    for blank in (" ", "\t", "\u3000", "- ", "\n", " \n"):
        text = blank * 200_000 + "word" + blank.strip("-") * 200_000
        words = [piece for piece in texts_of(text) if "word" in piece]
        assert [piece.split()[-1] for piece in words] == ["word"], repr(blank)
        assert words[0] == words[0].strip()


def test_one_line_of_five_million_characters_is_cut_to_the_bound() -> None:
    passages = split("x" * 5_000_000)
    assert passages[-1].end == 5_000_000
    assert len(passages) == -(-5_000_000 // MAX_PASSAGE_CHARACTERS)


def test_marks_that_invite_endless_matching_are_read_all_the_same() -> None:
    for mark in ("# " + "[" * 200_000, "# " + " #" * 200_000, "> " * 200_000, "*" * 400_000):
        passages = split(mark + "\n" + "word " * 10)
        assert isinstance(passages[0], Passage)
