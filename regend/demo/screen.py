"""What the demonstration shows: calm lines, a bar, streaming text, and the table at its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from regend import events
from regend.cli.flow import Flow
from regend.cli.markdown import render
from regend.cli.terminal import MEASURE
from regend.cli.text import duration, plain, wrap
from regend.cli.watching import DRAFT_NOTE, resumption
from regend.client import StreamEvent

_TEXT_INDENT = "    "


class Screen:
    """Writes to a terminal, or plainly to a file.

    Args:
        draft_note: said before a text that streams; empty where it needs no word.
    """

    def __init__(self, target: TextIO, draft_note: str = DRAFT_NOTE) -> None:
        self._console = Console(file=target, highlight=False, soft_wrap=False)
        self._draft_note = draft_note
        self._blows: list[str] = []
        self._flow: Flow | None = None  # sets the text that streams now

    def heading(self, text: str) -> None:
        """Begin a part of the story."""
        self._end_text()
        self._console.print(f"\n[bold]{escape(text)}[/bold]")

    def paragraph(self, text: str) -> None:
        """Say something in full sentences."""
        self._end_text()
        for row in wrap(text, self._wide()):
            self._console.print(escape(row))

    def line(self, text: str, mark: str = "·") -> None:
        """Tell one thing that happened."""
        self._end_text()
        first, *more = wrap(text, self._wide() - 4) or [""]
        self._console.print(f"  [dim]{mark}[/dim] {escape(first)}")
        for row in more:
            self._console.print(f"    {escape(row)}")

    def blow(self, text: str) -> None:
        """Tell of a kill, once all that was written before it is shown."""
        self._blows.append(text)

    def strike(self, text: str) -> None:
        """Tell of a kill now."""
        self._end_text()
        first, *more = wrap(text, self._wide() - 4) or [""]
        for row in (f"✕ {first}", *(f"  {row}" for row in more)):
            self._console.print(f"  [bold red]{escape(row)}[/bold red]")

    def fault(self, message: str, hint: str = "") -> None:
        """Tell what went wrong, and the remedy."""
        self._end_text()
        self._console.print(f"[bold red]{escape(message)}[/bold red]")
        if hint:
            self._console.print(f"  {escape(hint)}")

    def bar(self) -> Progress:
        """Return a progress bar for bytes, to be used as a context manager; gone at its end."""
        self._end_text()
        return Progress(
            TextColumn("  [dim]·[/dim] {task.description}"),
            BarColumn(bar_width=28),
            DownloadColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )

    def event(self, item: StreamEvent) -> None:
        """Show an event of the job that is followed."""
        if item.type != events.MODEL_CHUNK:
            self._tell_blows()
        match item.type:
            case events.JOB_STEP:
                took = duration(item.data["duration_ms"] / 1000)
                name = escape(f"{item.data['name']:<10}{took:>8}")
                self._end_text()
                self._console.print(f"  [green]●[/green] {name}")
            case events.MODEL_CHUNK:
                if item.data["offset"] == 0 and self._draft_note:
                    self.line(self._draft_note)
                self._text(str(item.data["text"]))
            case events.JOB_RESUMED:
                self.line(resumption(item.data), "↻")

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

    def commands(self, lines: Sequence[str]) -> None:
        """Show commands to be copied: each whole, in a line of its own."""
        self._end_text()
        for line in lines:
            self._console.print(f"  {line}", markup=False, soft_wrap=True)

    def _tell_blows(self) -> None:
        """Tell of the kills since the last event that is no text."""
        for text in self._blows:
            self.strike(text)
        self._blows.clear()

    def _text(self, text: str) -> None:
        """Stream text as it comes, dimmed, in whole words."""
        if self._flow is None:
            self._flow = Flow(self._wide(), _TEXT_INDENT)
        self._write(self._flow.feed(plain(text)))

    def _end_text(self) -> None:
        if self._flow is not None:
            self._write(self._flow.end())
            self._flow = None

    def _write(self, text: str) -> None:
        self._console.print(Text(text, style="dim"), end="", soft_wrap=True)

    def _wide(self) -> int:
        return min(MEASURE, self._console.width)
