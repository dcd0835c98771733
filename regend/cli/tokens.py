"""`regend tokens`: who else may call the daemon, and what for."""

from __future__ import annotations

import re
import sys
import time
from typing import Any

import click

from regend.cli.command import Group, as_json, offered
from regend.cli.daemon import Daemon, quote
from regend.cli.prefixes import whole_id
from regend.cli.table import Cell, Column, print_table
from regend.cli.terminal import out, out_json, out_prose, paint, say
from regend.cli.text import left
from regend.cli.view import age_of, short_id, short_ids
from regend.clock import parse_rfc3339

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_LIFE = re.compile(r"(\d{1,9})\s*([smhdwy])")


def _life(ctx: click.Context, param: click.Parameter, value: str) -> float | None:
    """Return a length of time such as `12h`, `30d`, `1y` in seconds; `never` is None."""
    if value == "never":
        return None
    found = _LIFE.fullmatch(value.strip().lower())
    if found is None or int(found[1]) == 0:
        raise click.BadParameter(f"“{value}” is no length of time: give 12h, 30d, 1y or never.")
    return float(int(found[1]) * _UNITS_S[found[2]])


@click.group(
    cls=Group,
    short_help="Let other programs and people call the daemon.",
    examples=["regend tokens create --user asha --scope jobs:read --expires 30d"],
)
def tokens() -> None:
    """Let other programs and people call the daemon.

    Your own token is made with the daemon; this is for everybody else.
    """


@tokens.command(
    "create",
    examples=[
        "regend tokens create --user asha --scope jobs:read --scope jobs:write --expires 30d",
        "TOKEN=$(regend tokens create --user ci --scope jobs:write --expires 12h)",
    ],
)
@click.option("--user", required=True, help="Whose jobs and documents it opens.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    help="What it allows: jobs:read, jobs:write, library:read, library:write, models:read, "
    "models:write, metrics:read, admin. May be repeated.",
)
@click.option("--expires", callback=_life, required=True, help="After how long: 12h, 30d, never.")
@click.option("--name", help="What it is for; you see it in the list.")
@as_json
def create(
    user: str, scopes: tuple[str, ...], expires: float | None, name: str | None, json_output: bool
) -> None:
    """Make a token and print it. It is shown this once and stored nowhere."""
    wanted = [scope for given in scopes for scope in given.replace(",", " ").split()]
    body: dict[str, Any] = {"user": user, "scope": wanted, "expires_s": expires}
    if name is not None:
        body["name"] = name
    made = Daemon().post("/tokens", body)
    if json_output:
        out_json(made)
        return
    out(made["token"])
    say(
        paint("Keep it: it is not shown again. To end it: ", "dim", sys.stderr)
        + f"regend tokens revoke {short_id(made['id'])}"
    )


@tokens.command("list", examples=["regend tokens list"])
@as_json
def list_tokens(json_output: bool) -> None:
    """List the tokens that were given out, without their secrets."""
    answer = Daemon().get("/tokens")
    if json_output:
        out_json(answer)
        return
    if not answer["tokens"]:
        say("No token was given out. Make one: regend tokens create --help")
        return
    heads = (
        Column("id"),
        Column("user"),
        Column("may", flexible=True),
        Column("name", flexible=True, optional=True),
        Column("state"),
        Column("age", right=True),
    )
    names = short_ids([token["id"] for token in answer["tokens"]])
    rows = [_row(name, token) for name, token in zip(names, answer["tokens"], strict=True)]
    print_table(heads, rows)


def _row(name: str, token: dict[str, Any]) -> list[Cell | str]:
    scope = token["scope"]
    return [
        name,
        token["user"],
        "everything" if "*" in scope else " ".join(scope),
        token.get("name") or "–",
        _state(token),
        Cell(age_of(token["created_at"]), "dim"),
    ]


def _state(token: dict[str, Any]) -> Cell:
    if token.get("revoked_at"):
        return Cell("⊘ revoked", "slate")
    expires = token.get("expires_at")
    if expires is None:
        return Cell("● valid", "green")
    left_s = parse_rfc3339(expires) / 1000 - time.time()
    if left_s <= 0:
        return Cell("⊘ expired", "slate")
    return Cell(f"● {left(left_s)} left", "green")


@tokens.command(
    "revoke", short_help="End a token at once.", examples=["regend tokens revoke 019ab3f2-7c1"]
)
@click.argument("token", metavar="ID", shell_complete=offered("/tokens", "tokens", title="name"))
@as_json
def revoke(token: str, json_output: bool) -> None:
    """End a token at once; open connections that came from it are closed."""
    daemon = Daemon()
    known = daemon.get("/tokens")["tokens"]
    identity = whole_id(known, token, "token", "regend tokens list")
    daemon.delete(f"/tokens/{quote(identity)}")
    if json_output:
        out_json({"revoked": identity})
    else:
        out_prose(f"Revoked {identity}.")
