"""`regend status`: the daemon at a glance."""

from __future__ import annotations

from typing import Any

import click

from regend.cli.command import Command, as_json
from regend.cli.daemon import Daemon
from regend.cli.facts import print_facts
from regend.cli.prose import whole
from regend.cli.terminal import out_json, paint
from regend.cli.text import count, duration, size
from regend.cli.view import STATES
from regend.errors import NotAllowed, NotFound
from regend.home import Home


@click.command(
    "status",
    cls=Command,
    short_help="Show what the daemon is doing.",
    examples=["regend status", "regend status --json"],
)
@as_json
def status(json_output: bool) -> None:
    """Show the daemon, its jobs by state, the loaded models, and the size of the library."""
    daemon = Daemon()
    health = daemon.health()
    known = {
        "daemon": {**daemon.announced(), **health, **_places(daemon.home)},
        "jobs": _part(daemon, "/analytics/summary").get("by_state", {}),
        "models": _part(daemon, "/models/running").get("models", []),
        "library": _library(daemon),
    }
    if json_output:
        out_json(known)
    else:
        _print(known, _models(daemon, known["models"]))


def _places(home: Home) -> dict[str, str]:
    return {
        "home": str(home.data_dir),
        "token_file": str(home.token_file),
        "config_file": str(home.config_file),
    }


def _part(daemon: Daemon, path: str) -> dict[str, Any]:
    """Return an answer, empty where this token may not see it or this daemon has no such part."""
    try:
        found: dict[str, Any] = daemon.get(path)
        return found
    except (NotAllowed, NotFound):
        return {}


def _library(daemon: Daemon) -> dict[str, int]:
    try:
        documents = daemon.every("/library", "documents")
    except (NotAllowed, NotFound):
        documents = []
    return {
        "documents": len(documents),
        "passages": sum(int(one["passages"]) for one in documents),
        "size_bytes": sum(int(one["size_bytes"]) for one in documents),
    }


def _print(known: dict[str, Any], models: str) -> None:
    daemon = known["daemon"]
    good = daemon["status"] == "ok"
    mark = paint("●", "green") if good else paint("◆", "amber")
    word = "running" if good else str(daemon.get("fault") or daemon["status"])
    rows = [
        ("daemon", f"{mark} {word} for {duration(daemon['uptime'])} · {daemon['version']}"),
        ("address", f"{daemon['url']} · process {daemon['pid']}"),
        ("home", str(daemon["home"])),
        ("token", str(daemon["token_file"])),
        ("settings", str(daemon["config_file"])),
        ("jobs", _jobs(known["jobs"])),
        ("models", models),
        ("library", _documents(known["library"])),
    ]
    print_facts(rows)


def _jobs(by_state: dict[str, int]) -> str:
    shown = [
        paint(whole(f"{icon} {by_state[state]} {state}"), style)
        for state, (icon, style) in STATES.items()
        if by_state.get(state)
    ]
    return "  ".join(shown) or 'none yet; start one: regend research "your question"'


def _models(daemon: Daemon, loaded: list[dict[str, Any]]) -> str:
    if loaded:
        return ", ".join(model["name"] for model in loaded)
    known = _part(daemon, "/models").get("models")
    if known is None:
        return "none loaded"
    here = [model["name"] for model in known if model.get("installed")]
    if not here:
        return "none here; get one: regend models pull smollm2-135m"
    are = "is here" if len(here) == 1 else "are here"
    return f"{', '.join(here)} {are}; loaded when needed"


def _documents(library: dict[str, int]) -> str:
    if not library["documents"]:
        return "empty; add documents: regend library add PATH"
    documents = count(library["documents"], "document")
    return f"{documents}, {count(library['passages'], 'passage')}, {size(library['size_bytes'])}"
