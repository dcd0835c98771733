"""Tables for listings: they fit a terminal however narrow it is, and no cell is broken.

Rules
1. The flexible columns give way first: their cells are cut, and end in “…”.
2. Then the optional columns leave, those on the right first.
3. Where that is not enough, a row has two lines: the flexible cells go below the others. Of these,
   columns leave until the line fits, those on the right first; the first always stays.
4. Where nobody looks at a terminal, the table is whole.

Written out here rather than by a library because a listing must start in a few milliseconds.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from regend.cli.terminal import columns, is_terminal, out, paint, say
from regend.cli.text import fit, line, pad, width

_GAP = 2
_GOOD_FLEXIBLE = 24  # below that, optional columns leave first
_LEAST_FLEXIBLE = 12  # below that, a row has two lines
_BELOW = "  "  # before the second line of a row
_SEPARATOR = " · "
_NOTHING = ("", "–")  # cells that are not worth a place in a second line


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: its heading.
        right: whether its cells are pushed right, as numbers are.
        flexible: whether its cells may be cut, as titles are.
        optional: whether it leaves before the others are hard to read.
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
    """Print a table on stdout, as wide as the terminal is at most."""
    titles = [Cell(head.title.upper(), "dim") for head in heads]
    cells = [titles, *([_cell(value) for value in row] for row in rows)]
    widths = [max(width(row[index].text) for row in cells) for index in range(len(heads))]
    beside, below = list(range(len(heads))), list[int]()
    if is_terminal(sys.stdout):
        beside, below = _places(widths, heads, columns(sys.stdout))
    for row in cells:
        out(_render([(row[i], heads[i], widths[i]) for i in beside]))
        if below:
            _print_below([row[i] for i in below], columns(sys.stdout) - len(_BELOW))


def say_more(cursor: str) -> None:
    """Say how to see what comes after a page of a listing."""
    say(paint(f"There is more: add --cursor {cursor}, or a larger --limit.", "dim", sys.stderr))


def _cell(value: Cell | str) -> Cell:
    cell = value if isinstance(value, Cell) else Cell(value)
    return Cell(line(cell.text), cell.style)


def _places(
    widths: list[int], heads: Sequence[Column], available: int
) -> tuple[list[int], list[int]]:
    """Make the table fit by rules 1 to 3.

    Returns:
        The indices of the columns that stand beside one another, and of those that stand below;
        `widths` is changed.
    """
    natural = list(widths)
    for kept, least in _tries(heads):
        widths[:] = natural
        if _cut(widths, heads, kept, least, available):
            return kept, []
    below = [i for i in kept[1:] if heads[i].flexible]
    beside = [i for i in kept if i not in below]
    widths[:] = natural
    while not _cut(widths, heads, beside, _LEAST_FLEXIBLE, available) and len(beside) > 1:
        beside.pop()
        widths[:] = natural
    widths[beside[0]] = min(widths[beside[0]], available)
    return beside, below


def _tries(heads: Sequence[Column]) -> Iterator[tuple[list[int], int]]:
    """Yield which columns to keep, and how narrow the flexible ones of them may become."""
    kept = list(range(len(heads)))
    yield kept, _GOOD_FLEXIBLE
    for leaving in [i for i in reversed(kept) if heads[i].optional]:
        kept = [i for i in kept if i != leaving]
        yield kept, _GOOD_FLEXIBLE
    yield kept, _LEAST_FLEXIBLE


def _cut(
    widths: list[int], heads: Sequence[Column], kept: Sequence[int], least: int, available: int
) -> bool:
    """Narrow the widest of the flexible columns, again and again; tell whether it was enough."""
    flexible = [i for i in kept if heads[i].flexible]
    while (excess := sum(widths[i] + _GAP for i in kept) - _GAP - available) > 0:
        widest = max(flexible, key=lambda i: widths[i], default=None)
        if widest is None or widths[widest] <= least:
            return False
        rivals = [widths[i] for i in flexible if i != widest]
        lead = max(1, widths[widest] - max(rivals, default=0))
        widths[widest] -= min(excess, widths[widest] - least, lead)
    return True


def _print_below(cells: Sequence[Cell], available: int) -> None:
    """Print the second line of a row, if it has something to say."""
    said = _SEPARATOR.join(cell.text for cell in cells if cell.text not in _NOTHING)
    styles = {cell.style for cell in cells}
    if said:
        out(_BELOW + paint(fit(said, available), styles.pop() if len(styles) == 1 else ""))


def _render(row: Sequence[tuple[Cell, Column, int]]) -> str:
    """Return one line. After a text of another script the next column is addressed by number,
    because terminals disagree on how wide such a text is."""
    moving = is_terminal(sys.stdout)
    parts: list[str] = []
    column = 1
    for at, (cell, head, wide) in enumerate(row, 1):
        text = fit(cell.text, wide)
        last = at == len(row)
        filled = text if last and not head.right else pad(text, wide, right=head.right)
        parts.append(filled.replace(text, paint(text, cell.style), 1) if text else filled)
        column += wide + _GAP
        if not last:
            parts.append(" " * _GAP)
            if moving and not text.isascii():
                parts.append(f"\x1b[{column}G")
    return "".join(parts).rstrip()
