"""Tables in terminals of any width: what gives way, and that no cell is broken."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regend.cli import table
from regend.cli.table import Cell, Column, print_table
from regend.cli.text import width

_STYLE = re.compile(r"\x1b\[[0-9;]*[mG]")
JOBS = (
    Column("id"),
    Column("state"),
    Column("type", optional=True),
    Column("title", flexible=True),
    Column("age", right=True),
)
DEVICES = (
    Column("name", flexible=True),
    Column("way", optional=True),
    Column("state"),
    Column("last seen", right=True),
)
JOB: list[Cell | str] = [
    "019ab3f2-7c1d-7000",
    "● completed",
    "research",
    "When is the rent due?",
    "5m",
]


def shown(
    heads: tuple[Column, ...], rows: list[list[Cell | str]], columns: int | None
) -> list[str]:
    """Return the lines of a table on a terminal of this width; None where there is no terminal."""
    printed: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "is_terminal", lambda stream: columns is not None)
        patch.setattr(table, "columns", lambda stream: columns)
        patch.setattr(table, "out", printed.append)
        print_table(heads, rows)
    return [_STYLE.sub("", line) for line in printed]


def test_a_wide_terminal_and_a_pipe_see_all_of_it() -> None:
    for columns in (120, None):
        head, row = shown(JOBS, [JOB], columns)
        assert head.split() == ["ID", "STATE", "TYPE", "TITLE", "AGE"]
        assert "When is the rent due?" in row


def test_optional_columns_leave_before_titles_are_hard_to_read() -> None:
    head, row = shown(JOBS, [JOB], 60)
    assert "TYPE" not in head and "● completed  When is the rent due?" in row


def test_a_narrow_terminal_sees_the_title_below() -> None:
    head, titles, row, title = shown(JOBS, [JOB], 40)
    assert (head.split(), titles) == (["ID", "STATE", "AGE"], "  TITLE")
    assert row == "019ab3f2-7c1d-7000  ● completed   5m"
    assert title == "  When is the rent due?"


def test_a_narrower_one_loses_columns_from_the_right_but_never_the_first() -> None:
    assert shown(JOBS, [JOB], 32)[2] == "019ab3f2-7c1d-7000  ● completed"
    assert shown(JOBS, [JOB], 24)[2:] == ["019ab3f2-7c1d-7000", "  When is the rent due?"]
    assert shown(JOBS, [JOB], 12)[2] == "019ab3f2-7c…"


def test_what_says_nothing_takes_no_second_line() -> None:
    assert len(shown(JOBS, [[*JOB[:3], "–", "5m"], JOB], 40)) == 2 + 1 + 2


def test_a_flexible_first_column_stays_where_it_is() -> None:
    device: list[Cell | str] = ["Asha's telephone in the kitchen", "relay", "● online", "now"]
    head, row = shown(DEVICES, [device], 40)
    assert head.split() == ["NAME", "STATE", "LAST", "SEEN"]
    assert row.startswith("Asha's telep") and "…" in row
    assert shown(DEVICES, [device], 24)[1] == "Asha's teleph…  ● online"


@given(
    st.lists(
        st.lists(st.text(alphabet="ab नि日本🙂❤️–", max_size=40), min_size=5, max_size=5),
        min_size=1,
        max_size=4,
    ),
    st.integers(4, 100),
)
@settings(max_examples=50)
def test_no_line_is_wider_than_the_terminal(rows: list[list[Cell | str]], columns: int) -> None:
    assert all(width(line) <= columns for line in shown(JOBS, rows, columns))
