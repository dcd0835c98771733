"""One moving line on stderr: a bar or a state, redrawn in place and gone when it is over.

On anything but a terminal it draws nothing: what matters is said in lines of its own.
"""

from __future__ import annotations

import sys
import time

from regend.cli.terminal import columns, is_terminal, paint
from regend.cli.text import fit, line

_BAR_COLUMNS = 24
_LEAST_INTERVAL_S = 0.05  # faster redrawing is not seen, and costs


class LiveLine:
    """The line at the bottom that shows what is going on now."""

    def __init__(self) -> None:
        self._moving = is_terminal(sys.stderr)
        self._shown = ""
        self._drawn_s = 0.0

    def show(self, text: str, style: str = "") -> None:
        """Draw a state in place of the last one."""
        self._write(paint(fit(line(text), columns(sys.stderr) - 1), style, sys.stderr))

    def bar(self, share: float, text: str) -> None:
        """Draw how much is done, from 0 to 1, with a word on what."""
        if time.monotonic() - self._drawn_s < _LEAST_INTERVAL_S and share < 1:
            return
        filled = round(_BAR_COLUMNS * min(1.0, max(0.0, share)))
        done = paint("━" * filled, "accent", sys.stderr)
        left = paint("╌" * (_BAR_COLUMNS - filled), "dim", sys.stderr)
        room = columns(sys.stderr) - _BAR_COLUMNS - 8
        self._write(f"{done}{left} {share:4.0%}  {fit(line(text), room)}")

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._shown = ""

    def _write(self, drawn: str) -> None:
        if not self._moving or drawn == self._shown:
            return
        sys.stderr.write(f"\r\x1b[2K{drawn}")
        sys.stderr.flush()
        self._shown = drawn
        self._drawn_s = time.monotonic()
