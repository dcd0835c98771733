"""`regend ask`: one question to the model, its answer streamed to the terminal."""

from __future__ import annotations

import sys
from typing import Any

import click

from regend.cli.command import Command, as_json
from regend.cli.daemon import Daemon


@click.command(
    "ask",
    cls=Command,
    short_help="Ask the model anything.",
    examples=[
        'regend ask "Explain write-ahead logging in two sentences."',
        'git diff | regend ask "Write a commit message for this."',
    ],
)
@click.argument("words", metavar="[PROMPT]...", nargs=-1)
@click.option("--model", help="Model to ask (see models list).")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Longest answer.")
@click.option("--temperature", type=click.FloatRange(0, 2), help="0 for the likeliest words.")
@click.option("-d", "--detach", is_flag=True, help="Print the job's id and leave it to run.")
@as_json
def ask(
    words: tuple[str, ...],
    model: str | None,
    max_tokens: int | None,
    temperature: float | None,
    detach: bool,
    json_output: bool,
) -> int:
    """Ask the model anything.

    What is piped in is put after the question. The model knows nothing of your documents: for
    answers from them, use research.
    """
    from regend.cli.results import follow_to_result
    from regend.cli.running import announce, start

    given = {
        "prompt": _whole_prompt(" ".join(words) if words else None),
        "max_tokens": max_tokens,
        "temperature": temperature,
    }
    body: dict[str, Any] = {
        "type": "chat",
        "input": {name: value for name, value in given.items() if value is not None},
    }
    if model is not None:
        body["model"] = model
    daemon = Daemon()
    job = start(daemon, body)
    if detach:
        announce(job, json_output=json_output)
        return 0
    return follow_to_result(daemon, job, json_output=json_output)


def _whole_prompt(prompt: str | None) -> str:
    """Return the question with what is piped in."""
    piped = ""
    if not sys.stdin.isatty() and (prompt is None or prompt == "-" or _has_input()):
        piped = sys.stdin.buffer.read().decode(errors="replace")
    parts = [part for part in (prompt if prompt != "-" else "", piped) if part and part.strip()]
    if not parts:
        raise click.UsageError("Ask something.")
    return "\n\n".join(parts)


def _has_input() -> bool:
    """Tell whether stdin is a pipe or a file: an inherited one that is neither is left alone."""
    import os
    import stat

    mode = os.fstat(sys.stdin.fileno()).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)
