"""What `regend doctor` looks at: each check is a function of the home that returns findings.

A check never raises for what it finds; it says ok, warn or fail, and what to do.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
import stat
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from regend import __version__
from regend.cli.daemon import Daemon
from regend.cli.text import size
from regend.cli.view import is_recent, moment_of
from regend.cli.wire import Dropped, Exchange, Unreachable, parse_origin
from regend.config import Config, load_config
from regend.errors import NOT_RUNNING_CODE, RegendError
from regend.home import Home
from regend.limits import MIB

_LEAST_PYTHON = (3, 11)
_LEAST_SQLITE = (3, 37)  # STRICT tables
_LEAST_FREE_BYTES = 200 * MIB
_GOOD_FREE_BYTES = 2000 * MIB
_EARLIEST_YEAR = 2025
_CLOCK_TOLERANCE_S = 120.0

Level = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """What a check found.

    Attributes:
        name: of the check.
        level: `ok`, `warn` (it works, but), or `fail` (it will not).
        message: what is so.
        remedy: what to do; empty where all is well.
    """

    name: str
    level: Level
    message: str
    remedy: str = ""


def check_python(home: Home) -> Finding:
    """The interpreter."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < _LEAST_PYTHON:
        return Finding("python", "fail", f"Python {version} is too old.", "Install 3.11 or newer.")
    return Finding("python", "ok", f"Python {version}, regend {__version__}")


def check_sqlite(home: Home) -> Finding:
    """The SQLite library, and full-text search in it."""
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < _LEAST_SQLITE:
        remedy = "Use a Python that brings SQLite 3.37 or newer."
        return Finding("sqlite", "fail", f"SQLite {version} is too old.", remedy)
    try:
        with contextlib.closing(sqlite3.connect(":memory:")) as connection:
            connection.execute("CREATE VIRTUAL TABLE probe USING fts5(words)")
    except sqlite3.OperationalError:
        remedy = "Use a Python whose SQLite has FTS5."
        return Finding("sqlite", "fail", f"SQLite {version} has no full-text search.", remedy)
    return Finding("sqlite", "ok", f"SQLite {version} with full-text search")


def check_home(home: Home) -> Finding:
    """Whether the folders can be written and nobody else can read them."""
    folders = dict.fromkeys((home.config_dir, home.data_dir, home.runtime_dir))
    present = [folder for folder in folders if folder.exists()]
    if not present:
        nearest = _nearest_present(home.data_dir)
        if not os.access(nearest, os.W_OK):
            remedy = "Make it writable, or set REGEND_HOME to a folder that is."
            return Finding("home", "fail", f"{nearest} cannot be written.", remedy)
        return Finding("home", "ok", f"{home.data_dir} will be made at the first start")
    for folder in present:
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            remedy = "Make it writable, or set REGEND_HOME to a folder that is."
            return Finding("home", "fail", f"{folder} cannot be written.", remedy)
    open_to_others = [path for path in (*present, home.token_file) if _is_open(path)]
    if open_to_others:
        path = open_to_others[0]
        mode = "700" if path.is_dir() else "600"
        remedy = f"Close it: chmod {mode} {path}"
        return Finding("home", "warn", f"Others on this machine can look into {path}.", remedy)
    return Finding("home", "ok", f"{home.data_dir}, closed to others")


def check_settings(home: Home) -> Finding:
    """`config.toml`."""
    try:
        load_config(home.config_file)
    except RegendError as error:
        return Finding("settings", "fail", error.message, error.hint or f"Edit {home.config_file}.")
    found = home.config_file.exists()
    return Finding("settings", "ok", str(home.config_file) if found else "the defaults")


def check_disk(home: Home) -> Finding:
    """Free space where the data lies."""
    free = shutil.disk_usage(_nearest_present(home.data_dir)).free
    remedy = "Free some space, or set REGEND_HOME to a larger disk."
    if free < _LEAST_FREE_BYTES:
        return Finding("disk", "fail", f"Only {size(free)} are free.", remedy)
    if free < _GOOD_FREE_BYTES:
        return Finding("disk", "warn", f"{size(free)} are free; larger models need more.", remedy)
    return Finding("disk", "ok", f"{size(free)} free")


def check_database(home: Home) -> Finding:
    """The database, read beside a running daemon."""
    if not home.database.exists():
        return Finding("database", "ok", "none yet; it is made at the first start")
    remedy = f"Keep a copy of {home.database}, then restore a backup: regend restore PATH"
    try:
        with contextlib.closing(
            sqlite3.connect(f"{home.database.as_uri()}?mode=ro", uri=True)
        ) as connection:
            verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        return Finding("database", "fail", f"It cannot be read: {error}.", remedy)
    if verdict != "ok":
        return Finding("database", "fail", f"It is damaged: {verdict.splitlines()[0]}.", remedy)
    return Finding("database", "ok", f"whole, {size(home.database.stat().st_size)}")


def check_daemon(home: Home) -> Finding:
    """Whether a daemon answers, and is of this version."""
    daemon = Daemon(home)
    try:
        health = daemon.health()
        daemon.get("/jobs", {"limit": 1})
    except RegendError as error:
        level: Level = "warn" if error.code == NOT_RUNNING_CODE else "fail"
        return Finding("daemon", level, error.message, error.hint)
    if health["status"] != "ok":
        message = f"It says: {health.get('fault') or health['status']}."
        return Finding("daemon", "fail", message, "Restore a backup: regend restore PATH")
    if health["version"] != __version__:
        message = f"It is regend {health['version']}, this command is {__version__}."
        return Finding(
            "daemon", "warn", message, "Start it anew: regend stop, then regend serve -b"
        )
    return Finding("daemon", "ok", f"running at {daemon.announced()['url']}")


def check_port(home: Home) -> Finding:
    """Whether the port is ours, or free."""
    config = _config(home)
    host, port = config.server.host, config.server.port
    with contextlib.suppress(RegendError, ValueError):
        daemon = Daemon(home)
        daemon.health()
        ours = parse_origin(daemon.announced()["url"]).port
        return Finding("port", "ok", f"{ours} is the daemon's")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            remedy = "Stop what uses it, or choose another: regend serve --port 0"
            message = f"{host}:{port} cannot be used: {error.strerror or error}."
            return Finding("port", "fail", message, remedy)
    return Finding("port", "ok", f"{port} is free")


def check_model(home: Home) -> Finding:
    """Whether the default model is here, is what it should be, and can be run."""
    import asyncio

    from regend.models import catalogue, host, pull

    name = _config(home).models.default
    if "/" in name:
        return Finding("model", "ok", f"{name} is served by a connected server")
    remedy = f"Get it: regend models pull {name}"
    try:
        host.engine()
        found = catalogue.find_installed(name, home)
        if found is None:
            return Finding("model", "warn", f"{name} is not on this device.", remedy)
        asyncio.run(pull.verify(found))
    except RegendError as error:
        return Finding("model", "fail", error.message, error.hint or remedy)
    return Finding("model", "ok", f"{name}, {size(found.size_bytes)}, digest checked")


def check_clock(home: Home) -> Finding:
    """Whether the clock is sane, and the same as the daemon's."""
    now = time.time()
    remedy = "Set the clock: timedatectl set-ntp true"
    if datetime.fromtimestamp(now, UTC).year < _EARLIEST_YEAR:
        return Finding("clock", "fail", f"It says {datetime.fromtimestamp(now, UTC):%Y}.", remedy)
    newest = _newest_change(home.database)
    if newest is not None and newest - now > _CLOCK_TOLERANCE_S:
        message = "The database was written later than the clock says it is now."
        return Finding("clock", "warn", message, remedy)
    theirs = _daemon_time(home)
    if theirs is not None and abs(theirs - now) > _CLOCK_TOLERANCE_S:
        return Finding("clock", "warn", "The daemon's clock is another than this one.", remedy)
    return Finding("clock", "ok", f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z}")


def check_history(home: Home) -> Finding:
    """Whether this home was restored or copied, and what became of its earlier history."""
    try:
        noted = Daemon(home).get("/mesh").get("renewals", [])
    except RegendError:
        return Finding("history", "ok", "told by the daemon once it runs")
    if not noted:
        return Finding("history", "ok", "one, as far as is known")
    message = f"{moment_of(noted[0]['at'])}: {noted[0]['text']}"
    level: Level = "warn" if is_recent(noted[0]["at"]) else "ok"
    return Finding("history", level, message, noted[0]["hint"])


def check_devices(home: Home) -> Finding:
    """Whether the person's devices understand one another."""
    try:
        notes = Daemon(home).get("/mesh").get("notes", [])
    except RegendError:
        return Finding("devices", "ok", "told by the daemon once it runs")
    if not notes:
        return Finding("devices", "ok", "nothing hinders what goes between them")
    remedies = dict.fromkeys(one["hint"] for one in notes)
    level: Level = "fail" if any(one["code"] == "state_differs" for one in notes) else "warn"
    return Finding("devices", level, " ".join(one["text"] for one in notes), " ".join(remedies))


CHECKS: tuple[Callable[[Home], Finding], ...] = (
    check_python,
    check_sqlite,
    check_home,
    check_settings,
    check_disk,
    check_database,
    check_daemon,
    check_port,
    check_model,
    check_clock,
    check_history,
    check_devices,
)


def _config(home: Home) -> Config:
    """Return the settings, the defaults where they cannot be read: another check tells that."""
    try:
        return load_config(home.config_file)
    except RegendError:
        return Config()


def _nearest_present(path: Path) -> Path:
    while not path.exists() and path != path.parent:
        path = path.parent
    return path


def _is_open(path: Path) -> bool:
    if os.name == "nt" or not path.exists():
        return False
    return bool(path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _newest_change(database: Path) -> float | None:
    try:
        return database.stat().st_mtime
    except OSError:
        return None


def _daemon_time(home: Home) -> float | None:
    """Return the time of the daemon's machine as its answers state it."""
    try:
        origin: Any = parse_origin(Daemon(home).announced()["url"])
        if origin.secure:
            return None
        with Exchange(origin, "GET", "/health", {}, timeout_s=5.0) as exchange:
            return parsedate_to_datetime(exchange.headers["date"]).timestamp()
    except (RegendError, Unreachable, Dropped, KeyError, ValueError, TypeError):
        return None
