"""Facts about one thing: a name and its value to a line, the values in a column of their own.

On a terminal a value that is too long goes on below itself. Where one of its words is longer than
the column, as a path may be, it begins below its name and has the whole line.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from regend.cli.prose import rows
from regend.cli.terminal import MEASURE, out, paint, room
from regend.cli.text import shown_width

_GAP = 2
_BELOW = "  "


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Print names with their values, which may have styles and be parted by `prose.whole`."""
    lead = max(len(name) for name, _value in facts) + _GAP
    columns = room(sys.stdout, MEASURE)
    for name, value in facts:
        first, *more = rows(value, columns - lead)
        if max(map(shown_width, (first, *more))) <= columns - lead:
            out(paint(f"{name:<{lead}}", "dim") + first)
            indent = " " * lead
        else:
            out(paint(name, "dim"))
            more, indent = rows(value, columns - len(_BELOW)), _BELOW
        for row in more:
            out(indent + row)
