"""Jobs of three durable steps in other engines, for a comparison in the same minute.

Run by `jobs` in an environment that has them: `python _peers.py NAME COUNT FOLDER`. Prints the jobs
per second. Each engine runs as its own documentation sets it up on SQLite, with every commit
synced to the disk: that is what is promised here, and DBOS's default.
"""

# mypy: ignore-errors
# What it imports lives in another environment, which the check does not have.

from __future__ import annotations

import os
import sqlite3
import sys
import time
from pathlib import Path


def dbos(count: int, folder: Path) -> float:
    """Run workflows of three steps from a queue."""
    from dbos import DBOS

    database = folder / "dbos.sqlite"
    DBOS(
        config={
            "name": "bench",
            "system_database_url": f"sqlite:///{database}",
            "log_level": "ERROR",
            "notification_listener_polling_interval_sec": 0.05,
        }
    )

    @DBOS.step()
    def first(number: int) -> int:
        return number

    @DBOS.step()
    def second(number: int) -> int:
        return number

    @DBOS.step()
    def third(number: int) -> int:
        return number

    @DBOS.workflow()
    def workflow(number: int) -> int:
        result: int = third(second(first(number)))
        return result

    DBOS.launch()
    workflow(-1)
    DBOS.register_queue("bench", worker_concurrency=8, polling_interval_sec=0.05)
    started = time.perf_counter()
    for number in range(count):
        DBOS.enqueue_workflow("bench", workflow, number)
    done = "SELECT count(*) FROM workflow_status WHERE status = 'SUCCESS'"
    _until(database, done, count + 1)
    return count / (time.perf_counter() - started)


def huey(count: int, folder: Path) -> float:
    """Run tasks that store three values each, with one consumer thread, durable on return."""
    from huey import SqliteHuey

    database = folder / "huey.sqlite"
    engine = SqliteHuey("bench", filename=str(database), fsync=True)

    @engine.task()
    def task(number: int) -> int:
        for step in range(3):
            engine.put(f"step:{number}:{step}", number)
        return number

    started = time.perf_counter()
    for number in range(count):
        task(number)
    consumer = engine.create_consumer(
        workers=1, worker_type="thread", initial_delay=0.001, max_delay=0.01, periodic=False
    )
    consumer._set_signal_handlers = lambda: None
    consumer.start()
    _until(database, "SELECT count(*) FROM kv", 4 * count)
    return count / (time.perf_counter() - started)


def _until(database: Path, query: str, wanted: int) -> None:
    connection = sqlite3.connect(database, timeout=30)
    while connection.execute(query).fetchone()[0] < wanted:
        time.sleep(0.02)


if __name__ == "__main__":
    name, count, folder = sys.argv[1:]
    run = {"dbos": dbos, "huey": huey}[name]
    print(round(run(int(count), Path(folder)), 1), flush=True)
    os._exit(0)  # their threads have no end of their own
