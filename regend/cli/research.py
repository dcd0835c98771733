"""`regend research`: a question, answered from the person's own library."""

from __future__ import annotations

import sys
from typing import Any

import click

from regend.cli.command import Command, offered_documents
from regend.cli.daemon import Daemon
from regend.cli.terminal import is_terminal, say
from regend.errors import NotFound


@click.command(
    "research",
    cls=Command,
    short_help="Answer a question from your library, with sources.",
    examples=[
        'regend research "How long is the notice period in my contract?"',
        'regend research "What changed in version 3?" --source 019ab3f2 --depth deep',
        'regend research "What is WAL?" --json > answer.json',
    ],
)
@click.argument("words", metavar="QUESTION...", nargs=-1, required=True)
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="ID|URL",
    shell_complete=offered_documents,
    help="Keep to this document of the library (may be repeated); with --online also an address.",
)
@click.option("--online", is_flag=True, help="Allow looking online; nothing leaves otherwise.")
@click.option("--depth", type=click.Choice(["quick", "normal", "deep"]), help="How much to try.")
@click.option("--model", help="Model that may write on top of the quotes.")
@click.option("-d", "--detach", is_flag=True, help="Print the job's id and leave it to run.")
@click.option("--json", "json_output", is_flag=True, help="Print the result alone, as JSON.")
def research(
    words: tuple[str, ...],
    sources: tuple[str, ...],
    online: bool,
    depth: str | None,
    model: str | None,
    detach: bool,
    json_output: bool,
) -> int:
    """Answer a question from your library, with sources.

    The answer quotes your documents; what a model adds is marked as its own. Ctrl-C stops watching,
    not the job.
    """
    from regend.cli.results import print_answer, say_dropped
    from regend.cli.running import announce, start
    from regend.cli.watching import DETACHED_CODE, Detached, Watcher, conclude, watch

    question = " ".join(words)  # as it is typed without quotes
    if not question.strip():
        raise click.UsageError("Ask something.")
    daemon = Daemon()
    if not online:
        _require_documents(daemon)
    body: dict[str, Any] = {"type": "research", "input": {"question": question}}
    if sources:
        body["input"]["sources"] = _whole_ids(daemon, sources)
    if online:
        body["input"]["online"] = True
    if depth is not None:
        body["input"]["depth"] = depth
    if model is not None:
        body["model"] = model
    job = start(daemon, body)
    if detach:
        announce(job, json_output=json_output)
        return 0
    try:
        ended = watch(daemon, job, Watcher())
    except Detached:
        return DETACHED_CODE
    if ended["state"] == "completed":
        if json_output:
            from regend.cli.terminal import out_json

            out_json(ended["result"])
        else:
            say_dropped(ended)
            _set_off()
            print_answer(ended["result"])
    return conclude(ended)


def _require_documents(daemon: Daemon) -> None:
    """Refuse to look for an answer where there is nothing to look into."""
    if not daemon.get("/library", {"limit": 1})["documents"]:
        raise NotFound(
            "library_empty",
            "Your library is empty: there is nothing yet to find an answer in.",
            hint="Add documents: regend library add ~/Documents",
        )


def _set_off() -> None:
    """Set the answer off from the steps above it, where both are on one screen."""
    if is_terminal(sys.stdout) and is_terminal(sys.stderr):
        say("")


def _whole_ids(daemon: Daemon, sources: tuple[str, ...]) -> list[str]:
    """Return the documents' whole ids; addresses stay as they are."""
    from regend.cli.prefixes import whole_id

    known: list[dict[str, Any]] | None = None
    whole: list[str] = []
    for source in sources:
        if source.startswith(("http://", "https://")):
            whole.append(source)
            continue
        if known is None:
            known = daemon.every("/library", "documents")
        whole.append(whole_id(known, source, "document", "regend library list"))
    return whole
