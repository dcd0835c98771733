"""Sentences: where they end, in English and in Indian scripts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.library.sentences import sentences


def texts_of(text: str) -> list[str]:
    return [text[start:end] for start, end in sentences(text)]


@given(st.one_of(st.text(), st.text(alphabet='aA1. ?!।॥\n#-|`>\t"(e.g)')))
def test_sentences_are_ordered_stretches_with_a_letter_or_digit(text: str) -> None:
    at = 0
    for start, end in sentences(text):
        piece = text[start:end]
        assert at <= start < end
        assert piece == piece.strip()
        assert any(map(str.isalnum, piece))
        at = end


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It works. It is fast! Is it? Yes.", ["It works.", "It is fast!", "Is it?", "Yes."]),
        ("Use it, e.g. Python, i.e. this. Next.", ["Use it, e.g. Python, i.e. this.", "Next."]),
        ("Version v1.2 is out. Get it.", ["Version v1.2 is out.", "Get it."]),
        ("See https://a.b/c.html?d=1. Then go.", ["See https://a.b/c.html?d=1.", "Then go."]),
        ("Dr. A. B. Rao wrote it. He is here.", ["Dr. A. B. Rao wrote it.", "He is here."]),
        ("Ships, crates, etc. The rest. Ham, eggs, etc. too.",
         ["Ships, crates, etc.", "The rest.", "Ham, eggs, etc. too."]),
        ("See fig. 3 and no. 7. Done.", ["See fig. 3 and no. 7.", "Done."]),
        ("The rent is Rs. 24,500. It is due on the 5th.",
         ["The rent is Rs. 24,500.", "It is due on the 5th."]),
        ("It costs approx. 700 rupees. Tel. 022 1234.",
         ["It costs approx. 700 rupees.", "Tel. 022 1234."]),
        ("The shop is at M.G. Road. It opens at 9 a.m. on Sunday. Closed at 5 p.m. Ring then.",
         ["The shop is at M.G. Road.", "It opens at 9 a.m. on Sunday.", "Closed at 5 p.m.",
          "Ring then."]),
        ("Chapter 3.2. Then more.", ["Chapter 3.2.", "Then more."]),
        ('He said "Stop." She did.', ['He said "Stop."', "She did."]),
        ("Wait… What?! No.", ["Wait…", "What?!", "No."]),
        ("Install it. pip does that.", ["Install it.", "pip does that."]),
        ("यह पहला है। यह दूसरा है॥ क्या तीसरा?", ["यह पहला है।", "यह दूसरा है॥", "क्या तीसरा?"]),
        ("डॉ. राव आए। वे बोले।", ["डॉ. राव आए।", "वे बोले।"]),
        ("এটি প্রথম। এটি দ্বিতীয়।", ["এটি প্রথম।", "এটি দ্বিতীয়।"]),
        ("இது முதல். இது இரண்டாவது.", ["இது முதல்.", "இது இரண்டாவது."]),
    ],
)  # fmt: skip
def test_sentences_end_where_a_reader_says_so(text: str, expected: list[str]) -> None:
    assert texts_of(text) == expected


def test_a_sentence_runs_over_soft_line_breaks() -> None:
    assert texts_of("It goes\nover lines. Next\none.") == ["It goes\nover lines.", "Next\none."]


def test_marks_of_markdown_belong_to_no_sentence() -> None:
    text = (
        "# Title\n- item one\n- [ ] item two\n1. first\n> quoted\n\n| a | b |\n|---|---|\n| 1 | 2 |"
    )
    assert texts_of(text) == [
        *("Title", "item one", "item two", "first", "quoted", "a | b", "1 | 2")
    ]


def test_each_line_of_code_stands_alone_and_its_fence_is_none() -> None:
    text = "Run:\n```sh\npip install x.y\nrun. Now\n```\nDone."
    assert texts_of(text) == ["Run:", "pip install x.y", "run. Now", "Done."]
