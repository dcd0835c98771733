"""What the demonstration shows: calm lines, a bar, streaming text, and the table at its end."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn
from rich.table import Table
from rich.text import Text

from regend import events
from regend.cli.markdown import render
from regend.client import StreamEvent

_WIDTH = 88


class Screen:
    """Writes to a terminal, or plainly to a file."""

    def __init__(self, target: TextIO) -> None:
        self._console = Console(file=target, highlight=False, soft_wrap=False)
        self._in_text = False

    def heading(self, text: str) -> None:
        """Begin a part of the story."""
        self._end_text()
        self._console.print(f"\n[bold]{escape(text)}[/bold]")

    def line(self, text: str, mark: str = "·") -> None:
        """Tell one thing that happened."""
        self._end_text()
        wrapped = textwrap.wrap(text, self._wide() - 4) or [""]
        self._console.print(f"  [dim]{mark}[/dim] {escape(wrapped[0])}")
        for more in wrapped[1:]:
            self._console.print(f"    {escape(more)}")

    def blow(self, text: str) -> None:
        """Tell of a kill."""
        self._end_text()
        self._console.print(f"  [bold red]✕ {escape(text)}[/bold red]")

    def fault(self, message: str, hint: str = "") -> None:
        """Tell what went wrong, and the remedy."""
        self._end_text()
        self._console.print(f"[bold red]{escape(message)}[/bold red]")
        if hint:
            self._console.print(f"  {escape(hint)}")

    def bar(self) -> Progress:
        """Return a progress bar for bytes, to be used as a context manager."""
        self._end_text()
        return Progress(
            TextColumn("  [dim]·[/dim] {task.description}"),
            BarColumn(bar_width=28),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=self._console,
        )

    def event(self, item: StreamEvent) -> None:
        """Show an event of the job that is followed."""
        match item.type:
            case events.JOB_STEP:
                milliseconds = item.data["duration_ms"]
                self.line(f"{item.data['name']}  {milliseconds / 1000:.1f} s", "●")
            case events.MODEL_CHUNK:
                self._text(str(item.data["text"]))
            case events.JOB_RESUMED:
                self.line(
                    f"going on from token {item.data['position']} ({item.data['resume']})", "↻"
                )

    def answer(self, result: dict[str, Any]) -> None:
        """Show the answer, with its sources."""
        self._end_text()
        self._console.print()
        for line in render(str(result["answer"]), self._wide() - 4):
            self._console.print(Text.from_ansi(f"    {line}"))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Show what was measured."""
        self._end_text()
        table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for number, column in enumerate(columns):
            table.add_column(column, justify="left" if number == 0 else "right", style="none")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self._console.print()
        self._console.print(table)

    def _text(self, text: str) -> None:
        """Stream text as it comes, dimmed, wrapped by the terminal."""
        if not self._in_text:
            self._console.print("    ", end="")
            self._in_text = True
        shown = text.replace("\n", "\n    ")
        self._console.print(Text(shown, style="dim italic"), end="")

    def _end_text(self) -> None:
        if self._in_text:
            self._console.print()
            self._in_text = False

    def _wide(self) -> int:
        return min(_WIDTH, self._console.width)
