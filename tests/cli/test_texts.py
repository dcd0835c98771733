"""Texts in columns: safe, measured, cut and wrapped, in any script."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.cli import text
from regend.cli.markdown import render
from regend.cli.results import say_dropped
from regend.cli.view import place_rows, short_ids
from regend.cli.watching import resumption


@pytest.mark.parametrize(
    ("shown", "columns"),
    [
        ("", 0),
        ("abc", 3),
        ("é", 1),
        ("e\u0301", 1),
        ("日本", 4),
        ("नमस्ते", 4),
        ("ट्रेन", 3),
        ("😀", 2),
        ("❤️", 2),
        ("🇮🇳", 2),
    ],
)
def test_width_counts_columns_and_not_characters(shown: str, columns: int) -> None:
    assert text.width(shown) == columns


@given(st.text(), st.integers(0, 60))
def test_what_is_fitted_fits_and_what_fits_is_unchanged(given_text: str, columns: int) -> None:
    safe = text.line(given_text)
    fitted = text.fit(safe, columns)
    assert text.width(fitted) <= columns
    if text.width(safe) <= columns:
        assert fitted == safe


def test_a_cut_leaves_no_mark_without_its_letter() -> None:
    for columns in range(1, 8):
        cut = text.fit("नमस्ते दुनिया", columns)
        assert "नमस्ते दुनिया".startswith(cut.removesuffix("…").rstrip())


@given(st.text())
def test_a_line_commands_no_terminal(given_text: str) -> None:
    shown = text.line(given_text)
    assert not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in shown)
    assert not set(shown) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@given(st.text(), st.integers(10, 80))
def test_wrapping_loses_no_word(given_text: str, columns: int) -> None:
    rows = text.wrap(given_text, columns)
    assert "".join("".join(rows).split()) == "".join(given_text.split())


@given(st.text(alphabet="ab नि日本。🙂", max_size=60), st.integers(8, 40))
def test_a_wrapped_line_ends_at_a_word_or_beside_a_letter_that_is_one(
    given_text: str, columns: int
) -> None:
    words = [word for word in given_text.split() if text.width(word) > columns]
    if not words or all(re.fullmatch("[日本。]+", word) for word in words):
        assert all(text.width(row) <= columns + 2 for row in text.wrap(given_text, columns))
    if not re.search("[日本]", given_text):
        assert " ".join(text.wrap(given_text, columns)).split() == given_text.split()


@given(st.text(), st.integers(0, 40))
def test_what_is_cut_at_its_front_fits_and_keeps_its_end(given_text: str, columns: int) -> None:
    safe = text.line(given_text)
    fitted = text.fit_end(safe, columns)
    assert text.width(fitted) <= columns
    assert fitted == safe or safe.endswith(fitted.removeprefix("…"))


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (98_362_432, "98.4 MB"),
        (1_500, "1.5 kB"),
        (10**18, "1000000 TB"),
    ],
)
def test_sizes_are_as_people_read_them(count: int, shown: str) -> None:
    assert text.size(count) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "<1 ms"), (0.04, "40 ms"), (1.44, "1.4 s"), (65, "1 min 5 s"), (3700, "1 h 1 min")],
)
def test_durations_show_their_leading_units(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (30 * 86_400 - 1, "30d"),
        (86_400 - 1, "1d"),
        (12 * 3600 - 5, "12h"),
        (3600 - 1, "1h"),
        (89, "1m"),
        (1, "1m"),
    ],
)
def test_what_is_left_of_a_time_is_told_to_the_nearest_unit(seconds: float, shown: str) -> None:
    assert text.left(seconds) == shown


def test_where_a_passage_stands_is_told_to_the_character_however_narrow_it_is() -> None:
    source, span = "/home/asha/Documents/contracts/rent.md", (120, 1480)
    assert place_rows(source, span, 80) == [f"{source} · characters 120–1480"]
    assert place_rows(source, span, 20) == ["…s/contracts/rent.md", "characters 120–1480"]


def test_short_ids_grow_until_they_differ() -> None:
    ids = ["019ab3f2-7c1d-7000-8000-000000000001", "019ab3f2-7c1d-7000-8000-000000000002"]
    assert short_ids(ids) == ids
    assert short_ids(ids[:1]) == ["019ab3f2-7c1d-7000"]
    assert short_ids([]) == []


def test_an_answer_is_readable_text_with_its_marks() -> None:
    answer = (
        "> A quoted sentence that is long enough to be wrapped at forty columns. [1]\n>\n"
        "> - first\n> - second with `code`\n\n**In the model's words** (m): x \\*y\\* [1]\n\n"
        "```\nkept   as is\n```\n# Heading\n1. one\n"
    )
    lines = render(answer, 40)
    assert lines[0].startswith("│ A quoted sentence")
    assert all(len(line) <= 40 for line in lines)
    shown = "\n".join(lines)
    assert "│ • second with code" in shown
    assert "In the model's words (m): x *y* [1]" in shown
    assert "    kept   as is" in shown
    assert "Heading" in lines
    assert "1. one" in lines


@given(st.text(alphabet=" \n>`*-#[]\\_1.a\u0928\x1b", max_size=200), st.integers(10, 100))
def test_any_markdown_is_rendered_without_fault_or_control(given_text: str, columns: int) -> None:
    assert "\x1b" not in "".join(render(given_text, columns))


def test_an_escaped_backtick_begins_no_code() -> None:
    assert render(r"Extracted from the \`Requests\`\_ project, by `pip`.", 60) == [
        "Extracted from the `Requests`_ project, by pip."
    ]


def test_emphasis_may_be_wrapped() -> None:
    assert render("**one two three four**", 10) == ["one two", "three four"]


@pytest.mark.parametrize(
    ("dropped", "said"),
    [
        ([], ""),
        (["One."], "1 sentence of the draft was dropped: no quote supports it.\n"),
        (["One.", "Two."], "2 sentences of the draft were dropped: no quote supports them.\n"),
    ],
)
def test_sentences_that_were_dropped_from_the_draft_are_counted(
    dropped: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    say_dropped({"result": {"answer": "", "unsupported": dropped}})
    assert capsys.readouterr() == ("", said)


@pytest.mark.parametrize(
    ("mode", "position", "said"),
    [
        ("exact", 32, "from token 32, exactly"),
        ("exact", 0, "nothing of it was saved yet"),
        ("reevaluated", 32, "from token 32, which the model reads again"),
        ("restarted", 0, "void"),
    ],
)
def test_how_an_answer_goes_on_is_said_truly(mode: str, position: int, said: str) -> None:
    assert said in resumption({"resume": mode, "position": position})
