"""Tables for listings: aligned columns, one of which gives way when the terminal is narrow.

Written out here rather than by a library because a listing must start in a few milliseconds.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NamedTuple

from regend.cli.terminal import columns, is_terminal, out, paint, say
from regend.cli.text import fit, line, pad, width

_GAP = 2
_GOOD_FLEXIBLE = 24  # below that, optional columns leave first
_LEAST_FLEXIBLE = 12


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: its heading.
        right: whether its cells are pushed right, as numbers are.
        flexible: whether it gives way when the terminal is too narrow.
        optional: whether it is left out when even that is not enough.
    """

    title: str
    right: bool = False
    flexible: bool = False
    optional: bool = False


class Cell(NamedTuple):
    """A text with a style of `terminal.paint`."""

    text: str
    style: str = ""


def print_table(heads: Sequence[Column], rows: Sequence[Sequence[Cell | str]]) -> None:
    """Print a table on stdout; cut to the terminal's width, whole where there is none."""
    cells = [[_cell(value) for value in row] for row in rows]
    titles = [Cell(head.title.upper(), "dim") for head in heads]
    kept = list(range(len(heads)))
    widths = [
        max([width(head.title), *(width(row[index].text) for row in cells)])
        for index, head in enumerate(heads)
    ]
    if is_terminal(sys.stdout):
        kept = _narrow(widths, heads, columns(sys.stdout))
    shown_heads, shown_widths = [heads[i] for i in kept], [widths[i] for i in kept]
    for row in [titles, *cells]:
        out(_render([row[i] for i in kept], shown_heads, shown_widths))


def say_more(cursor: str) -> None:
    """Say how to see what comes after a page of a listing."""
    say(paint(f"There is more: add --cursor {cursor}, or a larger --limit.", "dim", sys.stderr))


def _cell(value: Cell | str) -> Cell:
    cell = value if isinstance(value, Cell) else Cell(value)
    return Cell(line(cell.text), cell.style)


def _narrow(widths: list[int], heads: Sequence[Column], available: int) -> list[int]:
    """Make the table fit: narrow the flexible columns, then leave out the optional ones.

    Returns:
        The indices of the columns that stay; `widths` is changed.
    """
    kept = list(range(len(heads)))
    natural = list(widths)
    optional = [i for i in reversed(kept) if heads[i].optional]
    tries = [(None, _GOOD_FLEXIBLE), *((i, _GOOD_FLEXIBLE) for i in optional)]
    for leaving, least in (*tries, (None, _LEAST_FLEXIBLE)):
        if leaving is not None:
            kept.remove(leaving)
        widths[:] = natural
        flexible = [i for i in kept if heads[i].flexible]
        while (excess := sum(widths[i] + _GAP for i in kept) - _GAP - available) > 0 and flexible:
            widest = max(flexible, key=lambda i: widths[i])
            spare = widths[widest] - least
            if spare <= 0:
                break
            rivals = [widths[i] for i in flexible if i != widest]
            widths[widest] -= min(excess, spare, max(1, widths[widest] - max(rivals, default=0)))
        if excess <= 0:
            break
    return kept


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
