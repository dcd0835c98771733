"""`regend models`: which models are here, which can be, and which are loaded."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from regend.cli.command import Group, as_json, offered
from regend.cli.daemon import Daemon, new_key, quote
from regend.cli.table import Cell, Column, print_table
from regend.cli.terminal import out_json, out_prose, paint, say
from regend.cli.text import size
from regend.cli.view import short_id

_offered = offered("/models", "models", name="name", title="description")
_offered_or_file = offered("/models", "models", name="name", title="description", or_file=True)


@click.group(
    cls=Group,
    short_help="See, get and remove models.",
    examples=["regend models list", "regend models pull smollm2-135m"],
)
def models() -> None:
    """See, get and remove models."""


@models.command("list", examples=["regend models list", "regend models list --json"])
@as_json
def list_models(json_output: bool) -> None:
    """List the models of the catalogue and of connected servers."""
    answer = Daemon().get("/models")
    if json_output:
        out_json(answer)
        return
    heads = (
        Column("name"),
        Column("here"),
        Column("size", right=True),
        Column("context", right=True, optional=True),
        Column("can", flexible=True),
        Column("licence", flexible=True, optional=True),
        Column("from", optional=True),
    )
    print_table(heads, [_row(model) for model in answer["models"]])
    if not any(model.get("installed") for model in answer["models"]):
        say(paint("Get the embedded one: regend models pull smollm2-135m", "dim", sys.stderr))


def _row(model: dict[str, Any]) -> list[Cell | str]:
    here = Cell("● yes", "green") if model.get("installed") else Cell("○ no", "slate")
    provider = model.get("provider", "")
    return [
        model["name"],
        here if provider in ("", "embedded") else Cell("◌ served", "accent"),
        size(model["size_bytes"]) if model.get("size_bytes") else "–",
        str(model.get("context_tokens") or "–"),
        ", ".join(model.get("capabilities") or ()) or "–",
        Cell(model.get("licence") or "–", "dim"),
        Cell(provider or "–", "dim"),
    ]


@models.command(
    "pull", examples=["regend models pull smollm2-135m", "regend models pull ./my-model.gguf"]
)
@click.argument("name", shell_complete=_offered_or_file)
@click.option("-d", "--detach", is_flag=True, help="Print the job's id and leave it to run.")
@as_json
def pull(name: str, detach: bool, json_output: bool) -> int:
    """Get a model and check its digest.

    NAME is one of models list, the path of a GGUF file, or an https address that ends in
    #sha256=DIGEST. Ctrl-C stops watching, not the download.
    """
    from regend.cli.running import announce
    from regend.cli.watching import DETACHED_CODE, Detached, Watcher, conclude, watch

    local = Path(os.path.expanduser(name))
    wanted = str(local.resolve()) if local.is_file() else name  # the daemon stands elsewhere
    daemon = Daemon()
    job = daemon.post("/models/pull", {"name": wanted}, key=new_key())
    if detach:
        announce(job, json_output=json_output)
        return 0
    try:
        ended = watch(daemon, job, Watcher("nowhere"))
    except Detached:
        return DETACHED_CODE
    if json_output:
        out_json(ended)
    elif ended["state"] == "completed":
        out_prose(f"{name} is here.")
    return conclude(ended)


@models.command("ps", examples=["regend models ps"])
@as_json
def running(json_output: bool) -> None:
    """List the models that are loaded now."""
    answer = Daemon().get("/models/running")
    if json_output:
        out_json(answer)
        return
    if not answer["models"]:
        say("No model is loaded. One is loaded when a job needs it.")
        return
    heads = (
        Column("name"),
        Column("state"),
        Column("memory", right=True),
        Column("context", right=True),
        Column("busy", right=True),
        Column("jobs", flexible=True),
    )
    print_table(heads, [_loaded(model) for model in answer["models"]])


def _loaded(model: dict[str, Any]) -> list[Cell | str]:
    ready = model["state"] == "ready"
    return [
        model["name"],
        Cell("● ready", "green") if ready else Cell(f"◐ {model['state']}", "accent"),
        size(model["memory_bytes"]),
        str(model["context_tokens"]),
        f"{model['busy_slots']} of {model['slots']}",
        Cell(", ".join(short_id(one) for one in model["users"]) or "–", "dim"),
    ]


@models.command("rm", examples=["regend models rm smollm2-135m"])
@click.argument("name", shell_complete=_offered)
@as_json
def remove(name: str, json_output: bool) -> None:
    """Delete a model's file from this device."""
    Daemon().delete(f"/models/{quote(name)}")
    if json_output:
        out_json({"removed": name})
        return
    out_prose(f"{name} is removed. To get it back: regend models pull {name}")
