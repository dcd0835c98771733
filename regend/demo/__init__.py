"""`regend demo`: a real question, a real model, real kills, and what was left of the work.

A private home beside the person's own; documents that are on every machine (the READMEs of the
installed packages); one question asked three times: undisturbed, with its worker killed in
mid-answer, and with the daemon killed. What it claims it measures; where a claim does not hold, it
says so and exits with 1.

`regend demo --mesh` does the same with two daemons that are one person's two devices (`mesh`).
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path

import platformdirs

from regend.demo import mesh
from regend.demo.screen import Screen
from regend.demo.story import tell
from regend.errors import RegendError
from regend.home import Home

_MESH = "--mesh"
_KEPT = ("models",)  # what a second demonstration need not download again


def main(arguments: list[str]) -> int:
    """Run the demonstration; return the exit code: 0 if every claim held, 1 otherwise.

    Args:
        arguments: none, or `--mesh`.
    """
    screen = Screen(sys.stdout)
    if arguments not in ([], [_MESH]):
        screen.fault(f"regend demo takes no arguments but {_MESH}.", "Run: regend demo")
        return 2
    root = _folder()
    home = Home.at(root)
    try:
        _clear(root)
        home.make()
        if arguments:
            held = asyncio.run(mesh.tell(root, home.models_dir, Screen(sys.stdout, draft_note="")))
        else:
            held = asyncio.run(tell(home, screen))
        return 0 if held else 1
    except RegendError as error:
        screen.fault(error.message, error.hint)
        return 1
    except KeyboardInterrupt:
        again = " ".join(("regend demo", *arguments))
        screen.fault("Interrupted. Nothing of it stays running.", f"Run it again: {again}")
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
