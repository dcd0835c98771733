"""`regend demo`: wired here, told by the demonstration itself."""

from __future__ import annotations

import importlib

import click

from regend.cli.command import Command


@click.command(
    "demo",
    cls=Command,
    short_help="Watch a job survive the death of everything it runs on.",
    examples=["regend demo", "regend demo --mesh"],
)
@click.option("--mesh", is_flag=True, help="Watch a job move between two devices instead.")
def demo(mesh: bool) -> int:
    """Watch a job survive the death of everything it runs on.

    In a home of its own it gets the embedded model, reads documents that are on this machine, asks
    a question, and kills what does the work in mid-answer. Everything that it claims is measured.

    With --mesh, two daemons are two devices of yours: they pair, one writes while you watch it on
    the other, and the other writes on when the first dies in mid-sentence.
    """
    # A demonstration needs most of the program; no other command does.
    code: int = importlib.import_module("regend.demo").main(["--mesh"] if mesh else [])
    return code
