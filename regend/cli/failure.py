"""How a command fails: exit codes, and what the person reads.

0 ok · 1 failed · 2 wrong usage · 3 the daemon is not running · 4 not found · 5 not allowed ·
130 interrupted · 141 the reader of our output went away.
"""

from __future__ import annotations

import json
import os
import sys

from regend.errors import NOT_RUNNING_CODE, NotAllowed, NotAuthenticated, NotFound, RegendError

FAILED = 1
USAGE = 2
NOT_RUNNING = 3
NOT_FOUND = 4
NOT_ALLOWED = 5
INTERRUPTED = 130
READER_GONE = 141

LEAD = "regend: "  # before what is said of a failure
_INDENT = " " * len(LEAD)


def exit_code(error: RegendError) -> int:
    """Return the exit code that fits an error."""
    if error.code == NOT_RUNNING_CODE:
        return NOT_RUNNING
    if isinstance(error, NotFound):
        return NOT_FOUND
    if isinstance(error, NotAllowed | NotAuthenticated):
        return NOT_ALLOWED
    return FAILED


def report(error: RegendError, *, as_json: bool = False) -> None:
    """Say on stderr what happened and what to do about it.

    Args:
        as_json: for a program: the object that the interface answers with.
    """
    from regend.cli.prose import rows
    from regend.cli.terminal import MEASURE, paint, room, say_row
    from regend.cli.text import escaped, line

    if as_json:
        say_row(escaped(json.dumps({"error": error.to_dict()}, ensure_ascii=False)))
        return
    columns = room(sys.stderr, MEASURE) - len(LEAD)
    first, *more = rows(line(error.message), columns)
    say_row(f"{paint(LEAD.rstrip(), 'red', sys.stderr)} {first}")
    for row in more:
        say_row(_INDENT + row)
    hint = error.hint
    if error.retry_after_s is not None and not hint:
        hint = f"Try again in {max(1, round(error.retry_after_s))} s."
    for one in hint.splitlines():
        for row in rows(line(one), columns):
            say_row(paint(_INDENT + row, "dim", sys.stderr))


def close_quietly() -> int:
    """Give stdout up after its reader went away, so that the interpreter's last flush is silent."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return READER_GONE
