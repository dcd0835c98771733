"""What a job results in, for the person who asked: an answer with its sources, a text, or JSON."""

from __future__ import annotations

import sys
from typing import Any

from regend.agents.chat import DEFAULT_MAX_TOKENS
from regend.cli.daemon import Daemon
from regend.cli.flow import Flow
from regend.cli.terminal import MEASURE, columns, is_terminal, out, out_json, paint, say
from regend.cli.text import count, fit, line, plain
from regend.cli.unreadable import say_unreadable
from regend.cli.view import place_rows
from regend.cli.watching import DETACHED_CODE, Detached, Watcher, conclude, watch

_SOURCES_HEADING = "**Sources**"


def follow_to_result(
    daemon: Daemon, job: dict[str, Any], *, json_output: bool, after_seq: int = 0
) -> int:
    """Watch a job until it ends, print what it results in, and return the exit code.

    Args:
        json_output: print the job as it is in the end, as JSON.
    """
    watcher = Watcher("nowhere" if json_output else text_target(job))
    try:
        ended = watch(daemon, job, watcher, after_seq)
    except Detached:
        return DETACHED_CODE
    if json_output:
        out_json(ended)
    elif ended["state"] == "completed":
        say_dropped(ended)
        if not (watcher.wrote_text and streams_answer(ended)):
            print_result(ended)
        say_if_cut(ended)
    return conclude(ended)


def say_if_cut(job: dict[str, Any]) -> None:
    """Tell of a chat's answer that ended only because it was as long as it may be."""
    result = job["result"]
    if not streams_answer(job) or result.get("finish_reason") != "length":
        return
    written = result["usage"].get("completion_tokens", 0)
    allowed = job["input"].get("max_tokens", DEFAULT_MAX_TOKENS)
    if 0 < written < allowed:
        note = f"(stopped at {count(written, 'token')}: the model can hold no more)"
    else:
        note = f"(stopped at {count(allowed, 'token')}; --max-tokens N allows more)"
    say(paint(note, "dim", sys.stderr))


def say_dropped(job: dict[str, Any]) -> None:
    """Say how much of the draft that was shown is not in the answer, and why."""
    result = job["result"]
    number = len(result.get("unsupported") or ()) if isinstance(result, dict) else 0
    if number:
        dropped = "was dropped: no quote supports it"
        if number > 1:
            dropped = "were dropped: no quote supports them"
        say(paint(f"{count(number, 'sentence')} of the draft {dropped}.", "dim", sys.stderr))


def text_target(job: dict[str, Any]) -> str:
    """Return where the streamed text of a job belongs: for a chat it is the answer itself."""
    return "stdout" if streams_answer(job) else "stderr"


def streams_answer(job: dict[str, Any]) -> bool:
    """Tell whether what the model streams is what the job results in."""
    return bool(job["type"] == "chat")


def print_result(job: dict[str, Any]) -> None:
    """Print the result of a completed job."""
    result = job["result"]
    if isinstance(result, dict) and "answer" in result:
        print_answer(result)
    elif isinstance(result, dict) and isinstance(result.get("text"), str):
        print_text(result["text"])
    else:
        out_json(result)


def print_text(text: str) -> None:
    """Print a text: in lines of whole words on a terminal, as it is anywhere else."""
    if not is_terminal(sys.stdout):
        out(plain(text))
        return
    flow = Flow(min(columns(sys.stdout), MEASURE))
    sys.stdout.write(flow.feed(plain(text)) + flow.end())


def print_answer(result: dict[str, Any]) -> None:
    """Print an answer: readable on a terminal, as its Markdown anywhere else."""
    if not is_terminal(sys.stdout):
        out(plain(result["answer"]).rstrip("\n"))
        return
    from regend.cli.markdown import render

    wide = min(columns(sys.stdout), MEASURE)
    # Its own list of sources gives way to the one below, which says where each quote stands.
    text = result["answer"].partition(f"\n{_SOURCES_HEADING}")[0].rstrip()
    for row in render(text, wide):
        out(row)
    citations = result.get("citations", [])
    if citations:
        out("")
    _print_citations(citations, wide)
    if result.get("unreadable"):
        out("")
        sys.stdout.flush()
        say_unreadable(len(result["unreadable"]))


def _print_citations(citations: list[dict[str, Any]], wide: int) -> None:
    for citation in citations:
        mark = f"[{citation['n']}] "
        indent = " " * len(mark)
        out(paint(mark, "accent") + fit(line(str(citation["title"])), wide - len(mark)))
        for row in place_rows(str(citation["source"]), citation["span"], wide - len(mark)):
            out(paint(indent + row, "dim"))
        quoted = f"“{fit(line(str(citation['quote'])), wide - len(mark) - 2)}”"
        out(paint(indent + quoted, "dim"))
