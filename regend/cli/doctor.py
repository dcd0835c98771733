"""`regend doctor`: is this machine fit, and if not, what to repair."""

from __future__ import annotations

import sys

import click

from regend.cli.command import Command, as_json
from regend.cli.terminal import columns, is_terminal, out, out_json, paint, say
from regend.cli.text import count, plain, wrap

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
    wide = min(columns(sys.stdout), _MEASURE) if is_terminal(sys.stdout) else _MEASURE
    lead = f"{mark} {level:<5}{name:<{_NAME_COLUMNS}}"
    indent = " " * len(lead)
    rows = wrap(plain(message), wide - len(lead))
    out(paint(f"{mark} {level:<5}", style) + f"{name:<{_NAME_COLUMNS}}" + (rows or [""])[0])
    for row in rows[1:]:
        out(indent + row)
    for row in wrap(plain(remedy), wide - len(lead)) if level != "ok" else ():
        out(indent + paint(row, "dim"))
