"""How quotes are shown: their words, and nothing that acts."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from regend.agents.evidence.markdown import block_quote, code_block, escaped, sentence, visible
from regend.agents.evidence.words import words

_RENDER = MarkdownIt("commonmark").enable("table").enable("strikethrough")
_TAGS = ("<p>", "</p>", "<code>", "</code>", "\n")


def _shown(markdown: str) -> str:
    """Return what a reader sees of one paragraph; fails where it became more than text and code."""
    html = str(_RENDER.render(markdown))
    for tag in _TAGS:
        html = html.replace(tag, "")
    assert "<" not in html, html
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        html = html.replace(entity, character)
    return html


@example("0.")
@example("12) x")
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_an_escaped_text_is_shown_as_it_is(text: str) -> None:
    assert _shown(escaped(text)).strip() == visible(text).strip()


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[click](javascript:alert(1))",
        "![x](http://evil.example/track.png)",
        "# Heading",
        "1. list",
        "- list",
        "> quote",
        "***bold***",
        "a | b\n--|--\n1 | 2",
        "```\ncode",
        "&lt;b&gt;",
        "text\n===",
        "~~struck~~",
        "`` ` ``",
        "<http://evil.example>",
        "\\*",
        "[1]: http://evil.example\n[1]",
    ],
)
def test_a_hostile_sentence_becomes_neither_markup_nor_link(hostile: str) -> None:
    _shown(sentence(hostile))
    _shown(escaped(hostile))
    html = _RENDER.render(block_quote(hostile, "[1]"))
    for bad in ("<script", "<img", "<a ", "<h1", "<table", 'javascript:alert(1)"'):
        assert bad not in html


def test_dress_is_taken_off_and_code_stays_code() -> None:
    assert sentence("**Use** the [docs](https://x.y/z), `a_b()` or ``c``.") == (
        "Use the docs, `a_b()` or `c`."
    )
    assert (
        sentence("It needs multidict_ and `yarl <https://y>`_.") == "It needs multidict and yarl."
    )


def test_unseen_characters_are_dropped() -> None:
    assert escaped("a\u202eb\x1b[31mc\x00d\u200b") == "ab\\[31mcd"
    assert code_block("a\x1b[2J\u202e")[1] == "a[2J"


def test_code_cannot_close_its_fence() -> None:
    block = code_block("```\n# out\n````")
    assert block[0] == "`````" and block[-1] == "`````"
    html = _RENDER.render("\n".join(block))
    assert html.startswith("<pre><code>") and "<h1>" not in html


def test_a_quote_with_code_carries_its_mark_on_the_sentence() -> None:
    shown = block_quote("Install it:\n\n```\npip install x\n```", "[2]")
    assert shown == "> Install it: [2]\n>\n> ```\n> pip install x\n> ```"


def test_code_alone_carries_its_mark_below() -> None:
    assert block_quote("```\npip install x\n```", "[1]").endswith("> ```\n>\n> [1]")


@given(st.text(max_size=300))
def test_every_line_of_a_quote_stays_in_the_quote_and_the_mark_is_there(text: str) -> None:
    shown = block_quote(text, "[1]")
    assert all(line.startswith(">") for line in shown.split("\n"))
    assert "[1]" in shown


@given(st.text(st.sampled_from("ab c_*`[]()<>\\#.-|!~&:/\n"), max_size=80))
def test_a_shown_sentence_says_words_of_the_source_only(text: str) -> None:
    source = [word.text for word in words(text)]
    for word in words(sentence(text)):
        assert any(word.text in other or other in word.text for other in source)


def test_rows_of_a_table_are_shown_as_their_cells_and_lists_from_their_first_item() -> None:
    bill = "| Electricity duty | | 258.00 |\n| Total | 212 | 1,871.00 |\n\nDue on 8 July."
    assert block_quote(bill, "[1]") == (
        "> - Electricity duty · 258.00\n> - Total · 212 · 1,871.00\n>\n> Due on 8 July. [1]"
    )
    assert block_quote("| Plumber | Ramesh Kale |", "[1]") == "> Plumber · Ramesh Kale [1]"
    assert block_quote("- The rent.\n- The fee.", "[1]") == "> - The rent.\n> - The fee. [1]"
