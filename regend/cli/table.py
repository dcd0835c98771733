"""Tables for listings: aligned columns, one of which gives way when the terminal is narrow.

Written out here rather than by a library because a listing must start in a few milliseconds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from regend.cli.terminal import columns, is_terminal, out, paint
from regend.cli.text import fit, line, pad, width

_GAP = 2
_LEAST_FLEXIBLE = 12


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: its heading.
        right: whether its cells are pushed right, as numbers are.
        flexible: whether it gives way when the terminal is too narrow.
    """

    title: str
    right: bool = False
    flexible: bool = False


class Cell(NamedTuple):
    """A text with a style of `terminal.paint`."""

    text: str
    style: str = ""


def print_table(heads: Sequence[Column], rows: Sequence[Sequence[Cell | str]]) -> None:
    """Print a table on stdout; cut to the terminal's width, whole where there is none."""
    cells = [[_cell(value) for value in row] for row in rows]
    widths = [
        max([width(head.title), *(width(row[index].text) for row in cells)])
        for index, head in enumerate(heads)
    ]
    if is_terminal(sys.stdout):
        _shrink(widths, heads, columns(sys.stdout))
    titles = [Cell(head.title.upper(), "dim") for head in heads]
    for row in [titles, *cells]:
        out(_render(row, heads, widths))


def _cell(value: Cell | str) -> Cell:
    cell = value if isinstance(value, Cell) else Cell(value)
    return Cell(line(cell.text), cell.style)


def _shrink(widths: list[int], heads: Sequence[Column], available: int) -> None:
    """Take what is too much from the flexible columns, the widest first."""
    excess = sum(widths) + _GAP * (len(widths) - 1) - available
    flexible = [index for index, head in enumerate(heads) if head.flexible]
    while excess > 0 and flexible:
        widest = max(flexible, key=lambda index: widths[index])
        if widths[widest] <= _LEAST_FLEXIBLE:
            return
        widths[widest] -= 1
        excess -= 1


def _render(row: Sequence[Cell], heads: Sequence[Column], widths: Sequence[int]) -> str:
    """Return one line. After a text of another script the next column is addressed by number,
    because terminals disagree on how wide such a text is."""
    moving = is_terminal(sys.stdout)
    parts: list[str] = []
    column = 1
    for cell, head, wide in zip(row, heads, widths, strict=True):
        text = fit(cell.text, wide)
        last = cell is row[-1]
        filled = text if last and not head.right else pad(text, wide, right=head.right)
        parts.append(filled.replace(text, paint(text, cell.style), 1) if text else filled)
        column += wide + _GAP
        if not last:
            parts.append(" " * _GAP)
            if moving and not text.isascii():
                parts.append(f"\x1b[{column}G")
    return "".join(parts).rstrip()
