"""`regend backup` and `regend restore`: the two commands that work on the files themselves."""

from __future__ import annotations

import shlex
from datetime import datetime
from pathlib import Path

import click

from regend.cli.command import Command, as_json
from regend.cli.progress import LiveLine
from regend.cli.terminal import out, out_json, out_prose, say
from regend.cli.text import count, size
from regend.cli.view import moment_of, since
from regend.home import Home


@click.command(
    "backup",
    cls=Command,
    short_help="Copy everything to a folder or a tar file.",
    examples=["regend backup ~/regend-backup", "regend backup /media/usb/regend.tar --with-keys"],
)
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option(
    "--with-keys",
    is_flag=True,
    help="Also settings, keys and your token; the backup is a secret then.",
)
@as_json
def backup(path: Path | None, with_keys: bool, json_output: bool) -> None:
    """Copy jobs, results and library, as of one moment; the daemon may go on running.

    PATH becomes a tar file if it ends in .tar, otherwise a folder; by default a folder here with
    today's date. Models are left out: they can be pulled again.
    """
    from regend.store.backup import back_up

    target = path or Path(f"regend-backup-{datetime.now():%Y-%m-%d-%H%M%S}")
    live = LiveLine()
    try:
        made = back_up(
            Home.find(),
            target,
            with_keys=with_keys,
            progress=lambda done, total: live.bar(done / total, "payloads"),
        )
    finally:
        live.clear()
    if json_output:
        out_json(made.to_dict())
        return
    out(str(made.path))
    say(f"Saved {count(made.files, 'file')}, {size(made.size_bytes)}.")
    if with_keys:
        say("It holds your keys and your token: keep it where only you can read it.")
    say(f"Bring it back: regend restore {shlex.quote(str(made.path))}")


@click.command(
    "restore",
    cls=Command,
    short_help="Bring a backup back.",
    examples=["regend restore ~/regend-backup", "regend restore /media/usb/regend.tar"],
)
@click.argument("path", type=click.Path(path_type=Path))
@as_json
def restore(path: Path, json_output: bool) -> None:
    """Bring a backup back; the daemon must be stopped.

    The backup is checked first. What is here now is put aside in a folder of its own and nothing
    of it is deleted. PATH may also be a database file, such as regend.db.before-….
    """
    from regend.store.restore import restore as bring_back

    live = LiveLine()
    try:
        done = bring_back(
            Home.find(), path, progress=lambda at, total: live.bar(at / total, "checking")
        )
    finally:
        live.clear()
    if json_output:
        out_json(done.to_dict())
        return
    saved = f"{moment_of(done.created_at)} ({since(done.created_at)})"
    word = "it was" if done.files == 1 else "they were"
    out_prose(f"Restored {count(done.files, 'file')}, {size(done.size_bytes)}, as {word} {saved}.")
    if done.set_aside is not None:
        say(f"What was here before lies in {done.set_aside}")
    say("Start the daemon: regend serve --background")
