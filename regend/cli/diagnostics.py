"""`regend diagnostics`: what a bug report needs, and nothing that is the person's own.

In it: versions, the findings of `doctor`, counts by table, the settings without their secrets, and
the end of the log. Not in it: tokens, keys, questions, answers, titles, documents.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import platform
import re
import sqlite3
import sys
import zipfile
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from regend import __version__
from regend.cli.command import Command, as_json
from regend.cli.terminal import out, out_json, say
from regend.errors import BadInput, Conflict, RegendError
from regend.home import Home
from regend.limits import MIB

_LOG_BYTES = 2 * MIB
_SECRET = re.compile(r"key|secret|password|token", re.I)
# A JWT, whatever stands around it; a bearer value; a hex key; what follows a secret's name.
_SECRETS_IN_TEXT = re.compile(
    r"(?<=://)[^/\s@\"]+@"  # whoever an address names before its host
    r"|(?<=\?)[^\s\"]+"  # and what it asks there
    r"|eyJ[\w-]{4,}\.[\w-]+(?:\.[\w-]*)?"
    r"|(?i:bearer\s+\S+)"
    r"|\b[0-9a-fA-F]{32,}\b"
    r"|(?i:\b(?:api_?key|token|secret|password|ticket|code)\b[=:]\s*\S+)"
)
_PACKAGES = (
    "aiohttp",
    "click",
    "cryptography",
    "msgpack",
    "platformdirs",
    "pypdf",
    "sqlite-utils",
    "trafilatura",
    "xllamacpp",
)


@click.command(
    "diagnostics",
    cls=Command,
    short_help="Pack logs and versions for a bug report.",
    examples=["regend diagnostics", "regend diagnostics ~/regend-report.zip"],
)
@click.argument("path", type=click.Path(path_type=Path), required=False)
@as_json
def diagnostics(path: Path | None, json_output: bool) -> None:
    """Pack versions, settings, findings and the log's end into a zip file.

    Secrets, questions, answers and documents are not in it. Look into it before you send it.
    """
    target = path or Path(f"regend-diagnostics-{datetime.now():%Y-%m-%d-%H%M%S}.zip")
    home = Home.find()
    parts = collect(home)
    try:
        with target.open("xb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in parts.items():
                archive.writestr(name, text)
        target.chmod(0o600)
    except FileExistsError as error:
        raise Conflict("file_exists", f"{target} exists already.", hint="Name another.") from error
    except OSError as error:
        raise BadInput("file_not_written", f"{target}: {error.strerror or error}.") from error
    if json_output:
        out_json({"path": str(target.absolute()), "files": list(parts)})
        return
    out(str(target.absolute()))
    say(f"In it: {', '.join(parts)}. Nothing of your content; look into it before you send it.")


def collect(home: Home) -> dict[str, str]:
    """Return the texts of the report by file name."""
    from regend.cli.checks import CHECKS

    parts = {
        "versions.json": _versions(),
        "checks.json": [check(home)._asdict() for check in CHECKS],
        "settings.json": _settings(home),
        "tables.json": _tables(home.database),
    }
    texts = {name: json.dumps(value, indent=1, ensure_ascii=False) for name, value in parts.items()}
    for log in sorted(home.data_dir.glob("daemon.log*")):
        texts[log.name] = _log_end(log)
    return {name: _anonymous(redact(text), home) for name, text in texts.items()}


def redact(text: str) -> str:
    """Return the text with everything that looks like a secret replaced."""
    return _SECRETS_IN_TEXT.sub("[removed]", text)


def _anonymous(text: str, home: Home) -> str:
    """Take the person's name out of paths."""
    for place, name in ((home.data_dir, "$DATA"), (home.config_dir, "$CONFIG"), (Path.home(), "~")):
        if len(place.parts) > 1:
            text = text.replace(str(place), name)
    return text


def _versions() -> dict[str, Any]:
    return {
        "regend": __version__,
        "python": sys.version,
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "packages": {name: _version(name) for name in _PACKAGES},
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def _settings(home: Home) -> Any:
    from regend.config import load_config

    try:
        return _without_secrets(dataclasses.asdict(load_config(home.config_file)))
    except RegendError as error:
        return {"error": error.code}


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "[removed]" if item and _SECRET.search(name) else _without_secrets(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_secrets(item) for item in value]
    return value


def _tables(database: Path) -> Any:
    """Return how many rows each table has."""
    if not database.exists():
        return {}
    try:
        with contextlib.closing(
            sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
        ) as connection:
            names = connection.execute(
                "SELECT name FROM pragma_table_list WHERE type = 'table' AND schema = 'main'"
            ).fetchall()
            return {
                name: connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]
                for (name,) in names
            }
    except sqlite3.Error as error:
        return {"error": str(error)}


def _log_end(log: Path) -> str:
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _LOG_BYTES))
        return file.read().decode(errors="replace")
