"""`regend serve` and `regend stop`: the daemon's life, in the foreground or behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click

from regend import processes
from regend.cli import failure
from regend.cli.command import Command
from regend.cli.daemon import Daemon
from regend.cli.terminal import out, out_prose, say
from regend.errors import NOT_RUNNING_CODE, Conflict, Failed, RegendError, not_running
from regend.home import Home

_START_S = 30.0
_STOP_S = 20.0
_POLL_S = 0.05
_LOG_BYTES = 10 * 1024 * 1024
_LOG_ROOM_BYTES = 64 * 1024  # with less free, a log may have found no room
# On Windows a process hears the Ctrl-C of the console that it was started in, and ends with it.
_OWN_CONSOLE = getattr(subprocess, "CREATE_NO_WINDOW", 0)


@click.command(
    "serve",
    cls=Command,
    short_help="Start the daemon.",
    examples=["regend serve", "regend serve --background", "regend serve --port 0"],
)
@click.option("--host", help="Address to listen on; 127.0.0.1 by default.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; 7867 by default, 0 for a free one."
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    help="How much the log says.",
)
@click.option("-b", "--background", is_flag=True, help="Return once it is ready; it goes on.")
def serve(host: str | None, port: int | None, log_level: str | None, background: bool) -> int:
    """Start the daemon, in the foreground until Ctrl-C, or in the background.

    Jobs that were running when it last stopped go on from their last checkpoint.
    """
    if background:
        return _start_behind(host, port, log_level)
    from regend.daemon import main  # everything that the daemon is made of

    return main(Home.find(), host, port, log_level)


@click.command(
    "stop",
    cls=Command,
    short_help="Stop the daemon; its jobs go on when it starts again.",
    examples=["regend stop"],
)
def stop() -> int:
    """Stop the daemon of this home.

    Running jobs stop at their last checkpoint and go on from it when the daemon starts again.
    """
    from regend.store.lock import holder_pid  # brings the store with it

    daemon = Daemon()
    try:
        pid = int(daemon.announced()["pid"])  # a home that nobody serves announces nothing
        # Whoever holds this home's lock is its daemon; the number in a file that a dead one left
        # could be any process's by now. No token is asked for: to replace a lost one takes a stop.
        daemon.health()
    except RegendError as error:
        if error.code == NOT_RUNNING_CODE:
            error.hint = "There is nothing to stop."
        raise
    if holder_pid(daemon.home.lock_file) not in (pid, None):
        raise not_running("The daemon of this home is only starting.")
    processes.terminate(pid)
    deadline = time.monotonic() + _STOP_S
    while processes.is_alive(pid) or _answering(daemon):
        if time.monotonic() > deadline:
            raise Failed(
                "daemon_busy",
                f"The daemon (process {pid}) has not stopped yet.",
                hint="It finishes what it is writing. See: regend status",
            )
        time.sleep(_POLL_S)
    out_prose("The daemon has stopped. Its jobs go on when it starts again.")
    return 0


def _start_behind(host: str | None, port: int | None, log_level: str | None) -> int:
    """Start the daemon as a process of its own and wait until it answers."""
    daemon = Daemon()
    running = _answering(daemon)
    if running is not None:
        raise Conflict(
            "home_in_use",
            f"The daemon already runs at {running}.",
            hint="See what it does: regend status",
        )
    daemon.home.make()
    log = daemon.home.data_dir / "daemon.log"
    told_before = _kept_short(log)
    process = _spawn(_arguments(host, port, log_level), log)
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        url = _answering(daemon)
        if url is not None and daemon.announced().get("pid") == process.pid:
            out(url)
            say(f"The daemon is ready (process {process.pid}). Its log: {log}")
            return 0
        if process.poll() is not None:
            raise _failure(log, told_before)
        time.sleep(_POLL_S)
    raise Failed(
        "daemon_slow",
        "The daemon does not answer yet; it goes on starting.",
        hint=f"Its log: {log}",
    )


def _arguments(host: str | None, port: int | None, log_level: str | None) -> list[str]:
    given = {"--host": host, "--port": port, "--log-level": log_level}
    options = [f"{name}={value}" for name, value in given.items() if value is not None]
    return [sys.executable, "-P", "-m", "regend", "serve", *options]


def _kept_short(log: Path) -> int:
    """Begin a log anew that grew long; return how many bytes are in it."""
    length = log.stat().st_size if log.exists() else 0
    if length <= _LOG_BYTES:
        return length
    log.replace(log.with_suffix(".log.1"))
    return 0


def _spawn(arguments: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process that outlives this one, its output in the log."""
    with open(log, "ab", opener=lambda path, flags: os.open(path, flags, 0o600)) as sink:
        return subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            cwd=log.parent,
            start_new_session=True,
            creationflags=_OWN_CONSOLE,
        )


def _answering(daemon: Daemon) -> str | None:
    """Return the address of the daemon if it answers."""
    try:
        daemon.health()
        return str(daemon.announced()["url"])
    except RegendError as error:
        if error.code == NOT_RUNNING_CODE:
            return None
        raise


def _failure(log: Path, since: int) -> Failed:
    """Return why a daemon ended while it started: what it said of it, else the end of its log.

    Args:
        since: bytes of the log that were there before.
    """
    with log.open("rb") as file:
        file.seek(since)
        lines = [one for one in file.read().decode(errors="replace").splitlines() if one.strip()]
    told = [place for place, one in enumerate(lines) if one.startswith(failure.LEAD)]
    if told:
        message, *hints = lines[told[-1] :]
        message = message.removeprefix(failure.LEAD)
    else:
        message, hints = "The daemon ended while it started.", lines[-1:]
    if not lines and shutil.disk_usage(log.parent).free < _LOG_ROOM_BYTES:
        # The log itself found no room to say so.
        message, hints = "The daemon ended while it started: the disk is full.", []
        hints = [f"Free some space where {log.parent} lies, then start again. Nothing was lost."]
    return Failed("daemon_failed", message, hint="\n".join([*hints, f"Its log: {log}"]))
