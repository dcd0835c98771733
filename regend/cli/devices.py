"""`regend devices`: the person's devices, how they are joined, and how far each is."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from regend.cli.command import Group, as_json, offered
from regend.cli.daemon import Daemon, quote
from regend.cli.table import Cell, Column, print_table
from regend.cli.terminal import is_terminal, out, out_json, out_prose, paint, say
from regend.cli.text import count, line
from regend.cli.view import is_recent, moment_of, since

_offered_devices = offered("/devices", "devices", title="name")

_ID_LENGTH = 8

_STATES = {
    "equal": ("up to date", "green"),
    "catching up": ("catching up", "amber"),
    "behind": ("not in step", "amber"),
    "differs": ("DIFFERS", "red"),
    "unknown": ("", "dim"),
}


@click.group(
    cls=Group,
    short_help="Join your devices, and see how far each is.",
    examples=["regend devices invite", "regend devices join 7-lotus-river-mango"],
)
def devices() -> None:
    """Join your devices: their jobs are seen on all of them, and go on on another.

    What goes between them is sealed; nobody else can read it, and no server is needed.
    """


@devices.command("list", examples=["regend devices list", "regend devices list --json"])
@as_json
def list_devices(json_output: bool) -> None:
    """List your devices: which are reached, by which way, and whether they have the same state."""
    daemon = Daemon()
    shown = daemon.get("/devices")
    if json_output:
        out_json(shown)
        return
    _print_devices(shown)
    for one in shown["devices"]:
        if one.get("copied"):
            say(
                f"“{line(one['name'])}” was copied, and both copies went on. Both histories are "
                "kept. Start that device where it can meet the others: then they come together."
            )
    report = daemon.get("/mesh")
    for one in report.get("notes", []):
        say(f"\n{line(one['text'])} {one['hint']}")
    for one in report.get("renewals", [])[:1]:
        if is_recent(one["at"]):
            say(f"\n{moment_of(one['at'])}: {one['text']} {one['hint']}")
    if not _others(shown):
        say("This device is alone. Join another: regend devices invite")


@devices.command(
    "invite",
    short_help="Show a code by which another device joins.",
    examples=["regend devices invite", "regend devices invite --name Laptop"],
)
@click.option("--name", help="What this device is called in the mesh.")
@click.option("--svg", type=click.Path(dir_okay=False), help="Also write the QR code to this file.")
@as_json
def invite(name: str | None, svg: str | None, json_output: bool) -> None:
    """Show a code by which another device joins, once, within ten minutes and three tries."""
    shown = Daemon().post("/devices/invite", {} if name is None else {"name": name})
    if svg is not None:
        _write_svg(shown["link"], svg)
    if json_output:
        out_json(shown)
        return
    if is_terminal(sys.stdout):
        out(f"{_qr(shown['link'])}\n")
    out(paint(shown["code"], "bold"))
    minutes = round(shown["expires_in_s"] / 60)
    say(f"On the other device, on the same network: regend devices join {shown['code']}")
    if is_terminal(sys.stdout):
        say("A camera reads the same from the picture, as a link that join takes too, in quotes.")
    if shown["addresses"]:
        say(f"If it does not find this one, add: --address {shown['addresses'][0]}")
    say(f"The code works once, for {minutes} minutes and {count(shown['tries'], 'try', 'tries')}.")


@devices.command(
    "join",
    short_help="Join the mesh of a device that shows a code.",
    examples=[
        "regend devices join 7-lotus-river-mango",
        "regend devices join 7-lotus-river-mango --address 192.168.1.20",
        "regend devices join 'regend://join?code=7-lotus-river-mango&at=192.168.1.20:7868'",
    ],
)
@click.argument("code")
@click.option("--address", help="Where that device is, if it is not found by itself.")
@click.option("--name", help="What this device is called in the mesh.")
@click.option("--leave", is_flag=True, help="Leave the mesh that this device is in now.")
@as_json
def join(code: str, address: str | None, name: str | None, leave: bool, json_output: bool) -> int:
    """Join the mesh of the device that shows CODE.

    On a terminal it shows how far the first sync is; Ctrl-C stops watching, not the sync.

    With --leave, what this device has comes along. Jobs that a device left behind was running stay
    as they were known here, paused.
    """
    given = {"code": code, "address": address, "name": name, "leave": leave or None}
    body = {key: value for key, value in given.items() if value is not None}
    daemon = Daemon()
    if json_output:
        out_json(daemon.post("/devices/join", body))
        return 0
    from regend.cli.syncing import looking, watch_first_sync

    seq = daemon.get("/devices").get("seq", 0)
    with looking("the device that shows the code"):
        shown = daemon.post("/devices/join", body)
    out_prose(f"Joined {', '.join(line(one['name']) for one in _others(shown))}.")
    say("Jobs of all of them are seen here from now on. Who is where: regend devices list")
    return watch_first_sync(daemon, seq) if is_terminal(sys.stderr) else 0


@devices.command(
    "revoke",
    short_help="Put a device out, for one that is lost or sold.",
    examples=["regend devices revoke Phone"],
)
@click.argument("device", nargs=-1, required=True, shell_complete=_offered_devices)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@as_json
def revoke(device: tuple[str, ...], yes: bool, json_output: bool) -> int:
    """Put DEVICE (its name, or the beginning of its id) out of the mesh.

    From then on it is told nothing. What it had up to now, it keeps: that cannot be taken back.
    """
    daemon, said = Daemon(), " ".join(device)
    found = _named(daemon.get("/devices"), said)
    name = line(found["name"] if found else said)
    # Who is not there, or is this device, the daemon refuses with the remedy: no need to ask.
    if found and not yes and not json_output and is_terminal(sys.stdin):
        say(f"“{name}” keeps what it has, and is told nothing from now on.")
        if not click.confirm("Put it out?", err=True):
            return 1
    shown = daemon.delete(f"/devices/{quote(said)}")
    if json_output:
        out_json(shown)
    else:
        out_prose(f"“{name}” is out. The other devices learn of it as they are met.")
        for one in daemon.get("/mesh").get("notes", []):
            if found and one["device"] == found["id"]:
                say(f"\n{line(one['text'])} {one['hint']}")
    return 0


@devices.command("rename", examples=['regend devices rename Laptop "Office laptop"'])
@click.argument("device", shell_complete=_offered_devices)
@click.argument("name")
@as_json
def rename(device: str, name: str, json_output: bool) -> None:
    """Give DEVICE (its name, or the beginning of its id) another NAME."""
    shown = Daemon().post(f"/devices/{quote(device)}/rename", {"name": name})
    if json_output:
        out_json(shown)
    else:
        out_prose(f"It is called “{line(name)}” now.")


def _others(shown: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the devices of the mesh but this one and those that are out."""
    return [one for one in shown["devices"] if not one["this"] and not one["revoked"]]


def _named(shown: dict[str, Any], said: str) -> dict[str, Any] | None:
    """Return the one other device that a person means by its name or the beginning of its id."""
    others = _others(shown)
    same = [one for one in others if one["name"].casefold() == said.casefold()]
    found = same or [one for one in others if said and one["id"].startswith(said.lower())]
    return found[0] if len(found) == 1 else None


def _short_ids(ids: Sequence[str]) -> list[str]:
    """Return the ids cut to where they differ; random ones do so sooner than those of jobs."""
    length = _ID_LENGTH
    while len({one[:length] for one in ids}) < len(set(ids)):
        length += 1
    return [one[:length] for one in ids]


def _print_devices(shown: dict[str, Any]) -> None:
    ids = _short_ids([one["id"] for one in shown["devices"]])
    heads = [
        Column("id", optional=True),
        Column("name", flexible=True),
        Column("reached"),
        Column("state"),
        Column("seen", right=True),
    ]
    rows = zip(shown["devices"], ids, strict=True)
    print_table(heads, [_row(device, short) for device, short in rows])


def _row(device: dict[str, Any], short: str) -> list[Cell | str]:
    name = line(device["name"])
    if device["this"]:
        return [Cell(short, "dim"), name, "this device", "", ""]
    if device["revoked"]:
        return [Cell(short, "dim"), Cell(name, "dim"), Cell("revoked", "dim"), "", ""]
    way = {"lan": "network"}.get(device["way"] or "", device["way"] or "")
    reached = Cell(f"by {way}", "green") if device["reachable"] else Cell("not now", "dim")
    seen = since(device["last_seen"]) if device["last_seen"] else Cell("never", "dim")
    return [Cell(short, "dim"), name, reached, _state(device), "" if device["reachable"] else seen]


def _state(device: dict[str, Any]) -> Cell:
    text, style = _STATES.get(device["state"], (device["state"], ""))
    parts = [text] if text else []
    if device["ahead"]:
        parts.append(f"{device['ahead']} ahead")
    if device["behind"]:
        parts.append(f"{device['behind']} behind")
    return Cell(", ".join(parts), style)


def _qr(link: str) -> str:
    """Return a QR code in half blocks, dark on light whatever the terminal's colours."""
    import io

    import segno

    drawn = io.StringIO()
    segno.make(link, error="l", micro=False).terminal(drawn, compact=True, border=2)
    return drawn.getvalue().rstrip("\n")


def _write_svg(link: str, path: str) -> None:
    import segno

    segno.make(link, error="m", micro=False).save(path, kind="svg", scale=6, border=4)
    say(f"The QR code is in {path}.")
