"""`regend jobs`: what there is, what it did, what it is doing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from regend.cli import prose
from regend.cli.command import Group, as_json, job_id
from regend.cli.daemon import Daemon, quote
from regend.cli.facts import print_facts
from regend.cli.names import DeviceNames
from regend.cli.table import Cell, Column, print_table, say_more
from regend.cli.terminal import MEASURE, out, out_json, out_prose, paint, room, say
from regend.cli.text import duration, escaped, line
from regend.cli.view import (
    STATES,
    age_of,
    decision,
    lasted_s,
    moment_of,
    short_id,
    short_ids,
    since,
    state_cell,
    time_of,
)

_PAGE = 200


@click.group(
    cls=Group,
    short_help="List, watch and steer jobs.",
    examples=["regend jobs list --state running", "regend jobs logs -f 019ab3f2"],
    later={
        "run": "running:run",
        "cancel": "steering:cancel",
        "pause": "steering:pause",
        "resume": "steering:resume",
        "retry": "steering:retry",
        "fork": "steering:fork",
        "approve": "approvals:approve",
        "takeover": "steering:takeover",
    },
)
def jobs() -> None:
    """List, watch and steer jobs.

    A job may be named by the beginning of its id, as long as no other begins so.
    """


@jobs.command(
    "list", examples=["regend jobs list", "regend jobs list --state pending --type research --json"]
)
@click.option("--state", type=click.Choice(("pending", *STATES)), help="Only jobs in this state.")
@click.option("--type", "job_type", help="Only jobs of this type.")
@click.option("-q", "--query", help="Only jobs whose title contains this.")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=20, help="How many at most.")
@click.option("--cursor", help="Go on after a page (next_cursor of --json).")
@click.option("--wide", is_flag=True, help="Also the device, where all jobs are on the same.")
@as_json
def list_jobs(
    state: str | None,
    job_type: str | None,
    query: str | None,
    limit: int,
    cursor: str | None,
    wide: bool,
    json_output: bool,
) -> None:
    """List jobs, newest first."""
    asked = {"state": state, "type": job_type, "q": query, "limit": limit, "cursor": cursor}
    daemon = Daemon()
    page = daemon.get("/jobs", asked)
    if json_output:
        out_json(page)
        return
    if not page["jobs"]:
        narrowed = any((state, job_type, query, cursor))
        say("No job fits." if narrowed else _FIRST_STEP)
        return
    print_jobs(page["jobs"], DeviceNames(daemon), wide=wide)
    if page["next_cursor"]:
        say_more(page["next_cursor"])


_NEXT = {
    "paused": "Let it go on: regend jobs resume",
    "failed": "Try again from its last checkpoint: regend jobs retry",
    "cancelled": "Begin anew with what it finished: regend jobs fork",
}
_ACCOUNTS = {"contested": "amber", "twice": "amber", "beside": "dim", "unfinished": "dim"}
_FIRST_STEP = 'No jobs yet. Start one: regend research "your question"'

_COLUMNS = (
    Column("id"),
    Column("state"),
    Column("done", right=True),
    Column("type", optional=True),
    Column("title", flexible=True),
    Column("device", optional=True),
    Column("age", right=True),
)


def print_jobs(found: list[dict[str, Any]], devices: DeviceNames, *, wide: bool) -> None:
    """Print the table; the device is a column where it tells jobs apart, or is asked for."""
    told = wide or len({job["device"] for job in found}) > 1
    names = short_ids([job["id"] for job in found])
    rows: list[list[Cell | str]] = [
        [
            name,
            state_cell(job),
            f"{job['progress']:.0f}%",
            job["type"],
            job["title"],
            Cell(devices[job["device"]] if told else "", "dim"),
            Cell(age_of(job["created_at"]), "dim"),
        ]
        for name, job in zip(names, found, strict=True)
    ]
    kept = [at for at, column in enumerate(_COLUMNS) if told or column.title != "device"]
    print_table([_COLUMNS[at] for at in kept], [[row[at] for at in kept] for row in rows])
    if any(job["contested"] for job in found):
        say("Contested: several devices took it over at once. Who counts: regend jobs show ID")


@jobs.command("show", examples=["regend jobs show 019ab3f2", "regend jobs show 019ab3f2 --json"])
@job_id
@as_json
def show(job: str, json_output: bool) -> None:
    """Show a job: where it stands, what came out, what it needs."""
    daemon = Daemon()
    shown = daemon.get(f"/jobs/{quote(job)}")
    if json_output:
        out_json(shown)
        return
    _print_head(shown, DeviceNames(daemon))
    _print_account(shown.get("account", []))
    if shown.get("waiting"):
        out_prose("\n" + paint(line(str(shown["waiting"].get("message", ""))), "amber"))
        if shown["state"] == "waiting":
            out_prose(f"Decide: {decision(shown['id'], shown['waiting'])}")
    if shown["error"]:
        out_prose("\n" + paint(line(str(shown["error"].get("message", ""))), "red"))
        if shown["error"].get("hint"):
            out_prose(line(str(shown["error"]["hint"])))
    if shown["state"] in _NEXT:
        out_prose(f"\n{_NEXT[shown['state']]} {short_id(shown['id'])}")
    if shown["result"] is not None:
        from regend.cli.results import print_result, say_if_cut

        out("")
        print_result(shown)
        sys.stdout.flush()
        say_if_cut(shown)


def _print_account(account: list[dict[str, Any]]) -> None:
    """Print what became of a job that several devices ran."""
    if account:
        out("")
    for told in account:
        style = _ACCOUNTS.get(told["kind"], "")
        mark, indent = "◆ ", "  "
        for row in prose.rows(line(told["text"]), room(sys.stdout, MEASURE) - len(mark)):
            out(paint(mark + row, style))
            mark = indent


def _print_head(job: dict[str, Any], devices: DeviceNames) -> None:
    out_prose(paint(line(job["title"]), "bold"))
    cell = state_cell({**job, "contested": False})  # which the account tells
    progress = "" if job["finished_at"] else f" {job['progress']:.0f}%"
    rows = [
        ("id", job["id"]),
        ("state", paint(cell.text, cell.style) + progress),
        ("type", job["type"]),
        ("model", line(job["model"]) or "–"),
        ("device", _where(job, devices)),
        ("created", f"{since(job['created_at'])}, {moment_of(job['created_at'])}"),
        ("took" if job["finished_at"] else "for", duration(lasted_s(job))),
    ]
    if job["attempt"] > 1:  # a pause, a restart or a failure lay between
        rows.append(("started", f"{job['attempt']} times, each from its last checkpoint"))
    if job["step"] and not job["finished_at"]:
        rows.insert(2, ("step", line(job["step"])))
    if job["parent_id"]:
        rows.append(("forked from", job["parent_id"]))
    print_facts(rows)


def _where(job: dict[str, Any], devices: DeviceNames) -> str:
    name, device = devices[job["device"]], job["device"]
    return f"{name}, which was put out" if devices.is_out(device) else name


@jobs.command("steps", examples=["regend jobs steps 019ab3f2"])
@job_id
@as_json
def steps(job: str, json_output: bool) -> None:
    """List the finished steps of a job; none of them is ever run again."""
    answer = Daemon().get(f"/jobs/{quote(job)}/steps")
    if json_output:
        out_json(answer)
    elif not answer["steps"]:
        say("No step is finished yet.")
    else:
        columns = (
            Column("step", right=True),
            Column("name", flexible=True),
            Column("took", right=True),
            Column("started", optional=True),
        )
        rows = [
            [
                str(step["ordinal"]),
                step["name"],
                duration(step["duration_ms"] / 1000),
                Cell(time_of(step["started_at"]), "dim"),
            ]
            for step in answer["steps"]
        ]
        print_table(columns, rows)


@jobs.command(
    "logs",
    short_help="Print the history of a job, one event to a line.",
    examples=["regend jobs logs 019ab3f2", "regend jobs logs -f 019ab3f2"],
)
@job_id
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens next.")
@click.option("--json", "json_output", is_flag=True, help="One event of the API to a line.")
def logs(job: str, follow: bool, json_output: bool) -> int:
    """Print the history of a job, one event to a line; on a terminal its text runs on.

    With -f it goes on until the job ends; Ctrl-C stops watching, not the job.
    """
    from regend.cli.history import History
    from regend.cli.stream import events
    from regend.cli.watching import DETACHED_CODE, say_detached

    daemon = Daemon()
    identity = str(daemon.get(f"/jobs/{quote(job)}")["id"])
    history = History()
    try:
        happened = events(daemon, identity, tell=history.say) if follow else None
        for event in happened or _recorded(daemon, identity):
            if json_output:
                told = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
                print(escaped(told), flush=follow)
            else:
                history.tell(event)
    except KeyboardInterrupt:
        history.close()
        if not follow:
            raise
        say_detached(identity)
        return DETACHED_CODE
    history.close()
    return 0


def _recorded(daemon: Daemon, identity: str) -> Iterator[dict[str, Any]]:
    """Yield what happened to a job so far."""
    cursor = 0
    path = f"/jobs/{quote(identity)}/events"
    while page := daemon.get(path, {"after_seq": cursor, "limit": _PAGE})["events"]:
        yield from page
        cursor = page[-1]["seq"]
