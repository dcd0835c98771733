"""`regend demo`: a real question, a real model, real kills, and what was left of the work.

A private home beside the person's own; documents that are on every machine (the READMEs of the
installed packages); one question asked three times: undisturbed, with its worker killed in
mid-answer, and with the daemon killed. What it claims it measures; where a claim does not hold, it
says so and exits with 1.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import platformdirs

from regend.demo.screen import Screen
from regend.demo.story import tell
from regend.errors import RegendError
from regend.home import Home

_KEPT = ("models",)  # what a second demonstration need not download again


def main(arguments: list[str]) -> int:
    """Run the demonstration; return the exit code: 0 if every claim held, 1 otherwise."""
    screen = Screen(sys.stdout)
    if arguments:
        screen.fault("regend demo takes no arguments.", "Run: regend demo")
        return 2
    root = _folder()
    home = Home.at(root)
    try:
        _clear(root)
        home.make()
        return 0 if asyncio.run(tell(home, screen)) else 1
    except RegendError as error:
        screen.fault(error.message, error.hint)
        return 1
    except KeyboardInterrupt:
        screen.fault("Interrupted. Nothing of it stays running.", "Run it again: regend demo")
        return 130


def _folder() -> Path:
    """Return the demonstration's own home, never the person's."""
    given = os.environ.get("REGEND_HOME")
    if given:
        return Path(given).expanduser().resolve() / "demo"
    return Path(platformdirs.user_cache_dir("regend", appauthor=False)).resolve() / "demo"


def _clear(root: Path) -> None:
    """Empty the folder of an earlier demonstration, except what took long to download."""
    if not root.exists():
        return
    for entry in root.iterdir():
        if entry.name in _KEPT:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
