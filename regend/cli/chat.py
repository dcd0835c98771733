"""`regend chat`: turn by turn with the model; each turn is a job of its own."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import click

from regend.cli.command import Command
from regend.cli.daemon import Daemon, quote
from regend.cli.terminal import is_terminal, paint, say
from regend.errors import NOT_RUNNING_CODE, Conflict, RegendError

_HELP = "/clear begins anew · /exit or Ctrl-D ends · Ctrl-C stops an answer"

Message = dict[str, str]


@click.command(
    "chat",
    cls=Command,
    short_help="Talk with the model, turn by turn.",
    examples=["regend chat", "regend chat --model smollm2-135m --system 'Answer in Hindi.'"],
)
@click.option("--model", help="Model to talk with (see models list).")
@click.option("--system", help="What the model is told before everything else.")
@click.option("--max-tokens", type=click.IntRange(min=1), help="Longest answer.")
def chat(model: str | None, system: str | None, max_tokens: int | None) -> int:
    """Talk with the model, turn by turn.

    The conversation is kept as long as this session lasts; each answer is a job that you find
    under jobs list.
    """
    daemon = Daemon()
    daemon.health()
    opening: list[Message] = [{"role": "system", "content": system}] if system else []
    history = list(opening)
    if is_terminal(sys.stdout):
        _enable_editing()
        say(paint(_HELP, "dim", sys.stderr))
    while True:
        said = _read()
        if said is None or said in ("/exit", "/quit", "/bye"):
            return 0
        if said == "/clear":
            history = list(opening)
            say(paint("Begun anew.", "dim", sys.stderr))
        elif said.startswith("/"):
            say(paint(_HELP, "dim", sys.stderr))
        elif said:
            code = _turn(daemon, history, said, model, max_tokens)
            if code:
                return code


def _turn(
    daemon: Daemon, history: list[Message], said: str, model: str | None, max_tokens: int | None
) -> int:
    """Ask with the whole history; what fails is taken back, so that the talk can go on."""
    from regend.cli.failure import report
    from regend.cli.results import print_text, say_if_cut
    from regend.cli.running import start
    from regend.cli.watching import Detached, Watcher, conclude, watch

    history.append({"role": "user", "content": said})
    body: dict[str, Any] = {"type": "chat", "input": {"messages": history}}
    if model is not None:
        body["model"] = model
    if max_tokens is not None:
        body["input"]["max_tokens"] = max_tokens
    watcher = Watcher("stdout")
    try:
        ended = watch(daemon, start(daemon, body), watcher, left=partial(_stop, daemon))
    except Detached:
        history.pop()
        return 0
    except RegendError as error:
        history.pop()
        if error.code == NOT_RUNNING_CODE:
            raise
        report(error)
        return 0
    if ended["state"] != "completed":
        history.pop()
        conclude(ended)
        return 0
    text = ended["result"]["text"]
    if not watcher.wrote_text:
        print_text(text)
    say_if_cut(ended)
    if text.strip():
        history.append({"role": "assistant", "content": text})
    else:
        history.pop()
        say("The model said nothing.")
    return 0


def _stop(daemon: Daemon, job_id: str) -> None:
    """End an answer that nobody wants to read on; the talk goes on without it."""
    try:
        daemon.post(f"/jobs/{quote(job_id)}/cancel", {})
    except Conflict:  # it ended while the key was pressed
        say(paint("It was at its end already.", "dim", sys.stderr))
    else:
        say(paint("Stopped.", "dim", sys.stderr))


def _read() -> str | None:
    """Return the next line of the person, None at its end."""
    try:
        return input("› " if sys.stdin.isatty() else "").strip()
    except EOFError:
        if sys.stdin.isatty():
            say("")
        return None


def _enable_editing() -> None:
    """Give the prompt line editing and history, where the platform has it."""
    try:
        import readline
    except ImportError:
        return
    readline.set_auto_history(True)
