"""`regend doctor`: is this machine fit, and if not, what to repair."""

from __future__ import annotations

import sys

import click

from regend.cli.command import Command, as_json
from regend.cli.prose import rows
from regend.cli.terminal import out, out_json, paint, room, say
from regend.cli.text import count, plain, width

_MARKS = {"ok": ("●", "green"), "warn": ("◆", "amber"), "fail": ("✗", "red")}
_NAME_COLUMNS = 10
_MEASURE = 100


@click.command(
    "doctor",
    cls=Command,
    short_help="Check this machine and say what to repair.",
    examples=["regend doctor", "regend doctor --json"],
)
@as_json
def doctor(json_output: bool) -> int:
    """Check this machine and say what to repair; works without the daemon.

    Exits with 1 if something will not work, with 0 if all is well or only worth knowing.
    """
    from regend.cli.checks import CHECKS
    from regend.home import Home

    home = Home.find()
    findings = []
    for check in CHECKS:
        finding = check(home)
        findings.append(finding)
        if not json_output:
            _show(*finding)
    failed = sum(finding.level == "fail" for finding in findings)
    if json_output:
        out_json({"checks": [finding._asdict() for finding in findings]})
    elif failed:
        say(f"{count(failed, 'thing')} to repair.")
    return 1 if failed else 0


def _show(name: str, level: str, message: str, remedy: str) -> None:
    mark, style = _MARKS[level]
    wide = room(sys.stdout, _MEASURE)
    lead = f"{mark} {level:<5}{name:<{_NAME_COLUMNS}}"
    indent = " " * len(lead)
    first, *more = rows(plain(message), wide - len(lead))
    if max(map(width, (first, *more))) > wide - len(lead):  # a path: let it have the whole line
        indent = "  "
        first, more = "", rows(plain(message), wide - len(indent))
    out(paint(f"{mark} {level:<5}", style) + f"{name:<{_NAME_COLUMNS}}{first}".rstrip())
    for row in more:
        out(indent + row)
    for row in rows(plain(remedy), wide - len(indent)) if remedy and level != "ok" else ():
        out(indent + paint(row, "dim"))
