"""How documents are cut into units."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.agents.evidence.units import Unit, units

_MARKUP = st.lists(
    st.sampled_from(
        [
            *(
                "# Title",
                "Text. More text!",
                "- item one",
                "  continued",
                "    code()",
                "```",
                "~~~",
            ),
            *(
                "",
                "===",
                "---",
                "| a | b |",
                ".. image:: x",
                ".. note::",
                "::",
                "1. first",
                "> quote",
            ),
            *(
                "[x]: http://y",
                ":option: z",
                "   ",
                "\t$ run",
                "ends so::",
                "हाँ। नहीं।",
                "....",
                "+--+",
            ),
        ]
    )
).map("\n".join)


def _texts(text: str) -> list[str]:
    return [text[unit.start : unit.end] for unit in units(text)]


@given(st.one_of(st.text(), _MARKUP))
def test_units_are_in_order_do_not_overlap_and_say_something(text: str) -> None:
    found = units(text)
    assert all(0 <= unit.start < unit.end <= len(text) for unit in found)
    assert all(one.end <= other.start for one, other in pairwise(found))
    assert all(any(map(str.isalnum, text[unit.start : unit.end])) for unit in found)
    assert all(unit.lead is None or unit.lead < place for place, unit in enumerate(found))


def test_sentences_items_rows_and_code_are_units_of_their_own() -> None:
    text = "# Top\n\nOne. Two follows:\n\n- first\n- second\n\n```\nx = 1\n```\n\n"
    text += "| a | b |\n|---|---|\n| 1 | 2 |\n"
    assert [(unit.kind, text[unit.start : unit.end]) for unit in units(text)] == [
        ("prose", "One."),
        ("prose", "Two follows:"),
        ("item", "first"),
        ("item", "second"),
        ("code", "x = 1"),
        ("row", "| a | b |"),
        ("row", "| 1 | 2 |"),
    ]


def test_headings_of_markdown_and_restructured_text_stand_above_their_units() -> None:
    markdown = units("# A\n\n## B\n\nHere.\n\n# C\n\nThere.")
    assert [unit.heading for unit in markdown] == ["A › B", "C"]
    underlined = units("A\n=====\n\nB\n-----\n\nHere.\n\nC\n=====\n\nThere.")
    assert [unit.heading for unit in underlined] == ["A › B", "C"]


def test_a_list_and_a_block_of_code_know_the_sentence_that_introduces_them() -> None:
    text = "Before. It offers:\n\n- speed\n\nRun it so::\n\n    $ run\n"
    found = units(text)
    leads = {text[u.start : u.end].strip(): u.lead for u in found}
    assert leads["speed"] == 1 and leads["$ run"] == 3


def test_a_nested_item_is_introduced_by_the_item_above_it() -> None:
    found = units("- Formats:\n  - JSON\n  - CSV\n- Other\n")
    assert [unit.lead for unit in found] == [None, 0, 0, None]


@pytest.mark.parametrize(
    "decoration",
    [
        "[![build](https://a/b.svg)](https://c)",
        ".. image:: https://a/b.svg\n   :target: https://c\n   :alt: build",
        "|pypi| |python| |ci|",
        "[link]: https://a",
        ".. _link: https://a",
        "----------",
        "<p align='center'></p>",
    ],
)
def test_decoration_yields_no_unit(decoration: str) -> None:
    assert _texts(f"{decoration}\n\nReal text.") == ["Real text."]


def test_what_a_note_says_is_prose() -> None:
    assert _texts(".. note::\n   Take care of this.\n") == ["Take care of this."]


def test_hindi_sentences_end_at_the_danda() -> None:
    assert _texts("यह पहला वाक्य है। यह दूसरा है।") == ["यह पहला वाक्य है।", "यह दूसरा है।"]


@pytest.mark.parametrize(
    "piece", ["=", "-|", "a", ". ", "#", "> ", "`", "- ", "[x](", "x:: ", "<a "]
)
def test_a_long_line_of_anything_is_cut_into_bounded_units(piece: str) -> None:
    text = piece * 30_000
    assert all(unit.end - unit.start <= 1000 for unit in units(text))


def test_an_interactive_session_is_code_without_any_fence() -> None:
    found = units("Try:\n\n>>> f(1)\n2\n\nGood.")
    assert [unit.kind for unit in found] == ["prose", "code", "prose"]


def test_a_heading_is_its_words_without_tags() -> None:
    assert units('# Rules<a id="rules"></a>\n\nText.')[0].heading == "Rules"


def test_units_are_plain_values() -> None:
    assert units("Text.") == [Unit(0, 5, "prose", "", None, 1)]
