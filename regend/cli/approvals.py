"""`regend jobs approve`: see exactly what would happen, and decide."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from regend.cli.command import Command, as_json
from regend.cli.daemon import Daemon, quote
from regend.cli.prefixes import several
from regend.cli.table import Cell, Column, print_table
from regend.cli.terminal import out, out_json, out_prose, paint, say
from regend.cli.text import escaped, line
from regend.cli.view import age_of, short_id
from regend.errors import BadInput, Conflict, NotFound


@click.command(
    "approve",
    cls=Command,
    examples=[
        "regend jobs approve",
        "regend jobs approve 019ab3f2",
        "regend jobs approve 019ab3f2 --deny",
    ],
)
@click.argument("approval", metavar="[ID]", required=False)
@click.option("--deny", is_flag=True, help="Say no instead of yes.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask; needed where nobody can be asked.")
@as_json
def approve(approval: str | None, deny: bool, yes: bool, json_output: bool) -> int:
    """Decide on what a job wants to do; without an ID, list what waits.

    ID is that of the job, or of the approval. The decision holds for exactly the arguments that
    are shown, and for nothing else.
    """
    daemon = Daemon()
    waiting = daemon.get("/approvals")["approvals"]
    if approval is None:
        _list(waiting, json_output)
        return 0
    asked = _find(waiting, approval)
    if "preview" in asked.get("omitted", ()) and not deny:
        raise Conflict(
            "preview_missing",
            "What exactly it would do is not here yet: it lies on the device that runs the job.",
            hint="Decide once that device was reached, or there. Deny it now: add --deny",
        )
    if not json_output:
        _show(asked)
    if not yes and not _agreed(deny):
        say("Nothing was decided.")
        return 1
    body = {"decision": "deny" if deny else "approve", "action_hash": asked["action_hash"]}
    job = daemon.post(f"/approvals/{quote(asked['id'])}", body)
    if json_output:
        out_json(job)
    else:
        word = "Denied" if deny else "Approved"
        out_prose(f"{word}. The job goes on: regend jobs logs -f {short_id(job['id'])}")
    return 0


def _list(waiting: list[dict[str, Any]], json_output: bool) -> None:
    if json_output:
        out_json({"approvals": waiting})
    elif not waiting:
        say("Nothing waits for your decision.")
    else:
        columns = (
            Column("job"),
            Column("wants to", flexible=True),
            Column("for", flexible=True),
            Column("since", right=True),
        )
        rows = [
            [
                short_id(asked["job_id"]),
                asked["action"] + (", not here yet" if asked.get("omitted") else ""),
                asked["title"],
                Cell(age_of(asked["requested_at"]), "dim"),
            ]
            for asked in waiting
        ]
        print_table(columns, rows)
        say(paint("Look at one and decide: regend jobs approve ID", "dim", sys.stderr))


def _find(waiting: list[dict[str, Any]], wanted: str) -> dict[str, Any]:
    found = [one for one in waiting if one["id"].startswith(wanted)] or [
        one for one in waiting if one["job_id"].startswith(wanted)
    ]
    if not found or not wanted:
        raise NotFound(
            "approval_not_found",
            f"Nothing of “{line(wanted)}” waits for a decision.",
            hint="See what does: regend jobs approve",
        )
    if len(found) > 1:
        raise several("approval", wanted, [one["id"] for one in found])
    return found[0]


def _show(asked: dict[str, Any]) -> None:
    out_prose(paint(line(asked["action"]), "bold"))
    out_prose(f"for the job {short_id(asked['job_id'])}: {line(asked['title'])}")
    if asked.get("omitted"):
        out("what exactly it would do is not here yet")
        return
    out("with exactly this:")
    shown = json.dumps(asked["preview"], ensure_ascii=False, indent=2)
    for row in escaped(shown).split("\n"):  # nothing that is decided on is left out
        out(f"  {row}")


def _agreed(deny: bool) -> bool:
    """Ask the person at the terminal."""
    if not sys.stdin.isatty():
        raise BadInput(
            "nobody_to_ask",
            "There is no terminal to ask at.",
            hint="Decide with --yes (and --deny to say no).",
        )
    question = "Deny it?" if deny else "Allow it?"
    return click.confirm(question, err=True)
