"""Messages in lines: words stay whole, and so do commands, so that they can be copied."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.cli.facts import print_facts
from regend.cli.prose import command_rows, rows, whole
from regend.cli.text import shown_width, width

_WORDS = st.lists(st.text(alphabet="abनि日🙂", min_size=1, max_size=8), max_size=20).map(" ".join)


@given(_WORDS, st.integers(20, 60))
def test_a_sentence_keeps_to_its_columns(sentence: str, columns: int) -> None:
    shown = rows(sentence, columns)
    assert all(width(row) <= columns for row in shown)
    assert "".join(shown).replace(" ", "") == sentence.replace(" ", "")


def test_a_text_that_fits_keeps_its_spaces_and_a_longer_one_its_indent() -> None:
    assert rows("● search    40 ms", 40) == ["● search    40 ms"]
    assert rows("  one two\nthree", 6) == ["  one", "  two", "three"]
    assert rows("", 40) == [""]


def test_styles_take_no_columns() -> None:
    styled = "\x1b[33m  one two\x1b[0m three"
    assert [shown_width(row) for row in rows(styled, 9)] == [9, 7]


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (
            "Get the embedded one: regend models pull smollm2-135m",
            ["Get the embedded one:", "regend models pull smollm2-135m"],
        ),
        (
            "1 document could not be read:\x1b[0m regend library list --unreadable",
            ["1 document could not be read:\x1b[0m", "regend library list --unreadable"],
        ),
        (
            "Run regend stop, then regend serve --background. It goes on.",
            ["Run regend stop, then", "regend serve --background. It goes", "on."],
        ),
        (
            "Decide: regend jobs resume 019ab3f2-7c1d-7000 --choice go_on",
            ["Decide:", "regend jobs resume \\", "  019ab3f2-7c1d-7000 --choice \\", "  go_on"],
        ),
    ],
)
def test_a_command_in_a_message_can_be_copied(message: str, shown: list[str]) -> None:
    assert rows(message, 36) == shown


@pytest.mark.parametrize("columns", [20, 30, 40, 80])
@pytest.mark.parametrize(
    "command",
    [
        "regend tokens create --user asha --scope jobs:read --scope jobs:write --expires 30d",
        """regend jobs run research --input '{"question": "What?"}' --detach""",
    ],
)
def test_a_command_of_several_lines_is_still_that_command(command: str, columns: int) -> None:
    shown = command_rows(command, columns)
    assert all(len(row) <= columns for row in shown if "'" not in row)
    read = "\n".join(shown).replace("\\\n", "")  # as a shell does
    assert shlex.split(read) == shlex.split(command)


def test_what_is_whole_is_one_word_wherever_it_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert rows(whole("● 3 completed") + "  " + whole("✗ 2 failed"), 16) == [
        "● 3 completed",
        "✗ 2 failed",
    ]
    print_facts([("jobs", whole("● 3 completed"))])
    assert capsys.readouterr().out == "jobs  ● 3 completed\n"
