"""Things done to a home in a process that dies in the middle: `python -m tests.store.child`."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from pathlib import Path

from regend.home import Home
from regend.store import Store
from regend.store.connection import open_writer
from regend.store.migrations import migrate
from tests.store.rows import fill


def migrate_until(path: Path, statements: int) -> None:
    """Migrate a database, killing the process before the n-th statement."""
    left = statements

    def count(_statement: str) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    connection = open_writer(path)
    connection.set_trace_callback(count)
    migrate(connection, path)


def migrate_copies(template: Path, step: int) -> None:
    """Kill upgrades of copies of a database before every `step`-th statement.

    The copies lie in `killed-N/regend.db` beside the template; the last was not killed any more.
    """
    for statements in range(0, 1000, step):
        copy = template.parent / f"killed-{statements}" / "regend.db"
        copy.parent.mkdir()
        if template.stat().st_size:
            shutil.copy(template, copy)
        child = os.fork()
        if not child:
            migrate_until(copy, statements)
            os._exit(0)
        if os.WIFEXITED(os.waitpid(child, 0)[1]):
            return


def write_and_vanish(root: Path, count: int) -> None:
    """Store values, each acknowledged, and die without closing."""

    async def run() -> None:
        await fill(Store(Home.at(root)), count)

    asyncio.run(run())
    os.kill(os.getpid(), signal.SIGKILL)


def hold(root: Path) -> None:
    """Open the home and say so, until the standard input ends."""
    store = Store(Home.at(root))
    print("open", flush=True)
    sys.stdin.read()
    store.close()


if __name__ == "__main__":
    action, place, *rest = sys.argv[1:]
    if action == "migrate":
        migrate_copies(Path(place), int(rest[0]))
    elif action == "vanish":
        write_and_vanish(Path(place), int(rest[0]))
    else:
        hold(Path(place))
