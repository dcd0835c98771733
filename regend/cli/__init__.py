"""The `regend` command: a client of the daemon like any other.

Rules
1. It speaks HTTP to the daemon. The files themselves are read by `backup`, `doctor` and
   `diagnostics` alone, and written by `restore` alone, while no daemon runs.
2. Data goes to stdout, messages to stderr; colours and moving lines only to a terminal.
3. What a person meets is a plain sentence and a remedy, never a traceback.
4. A short command is over before it is noticed: nothing is imported that it does not use. That is
   why imports in this package stand inside functions where they are heavy, and why `--help` is
   answered before the parser is loaded.

Exit codes are in `failure`; the table of commands is in `index`.
"""

from __future__ import annotations

import os
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Args:
        arguments: what stands after `regend`; None for those of the process.
    """
    given = sys.argv[1:] if arguments is None else arguments
    _open_closed_streams()
    _speak_utf8()
    if "_REGEND_COMPLETE" not in os.environ:
        if given in ([], ["--help"], ["-h"], ["help"]):
            from regend.cli.overview import overview

            if not sys.stdout.isatty():
                return _show(overview())
            from regend.cli.terminal import columns

            return _show(overview(columns(sys.stdout)))
        if given in (["--version"], ["-V"], ["version"]):
            from regend import __version__

            return _show(f"regend {__version__}")
    from regend.cli.root import run

    return run(given)


def _open_closed_streams() -> None:
    """Let a standard stream that was closed lead nowhere: Python has none in its place."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115  (as long as we live)
            setattr(sys, name, nowhere)


def _speak_utf8() -> None:
    """Speak UTF-8 whatever the locale; what no encoding can carry is shown escaped."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding="utf-8", errors="backslashreplace")


def _show(text: str) -> int:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        from regend.cli.failure import close_quietly

        return close_quietly()
    return 0
