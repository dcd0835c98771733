"""`regend jobs run`: any type of job, its input given as JSON, from a file, or field by field."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import click

from regend.cli.command import Command, as_json
from regend.cli.daemon import Daemon, new_key
from regend.cli.terminal import out, out_json, paint, say
from regend.cli.view import short_id
from regend.errors import RateLimited, RegendError
from regend.limits import MAX_ATTEMPTS, MAX_PRIORITY

_PATIENCE_S = 60.0  # how long a person is kept waiting by a limit


@click.command(
    "run",
    cls=Command,
    examples=[
        'regend jobs run chat prompt="Write a haiku about rain." --follow',
        'regend jobs run research --input \'{"question": "What is WAL?"}\' --detach',
        "regend jobs run chat --input @conversation.json",
    ],
)
@click.argument("job_type", metavar="TYPE")
@click.argument("fields", metavar="[FIELD=VALUE]...", nargs=-1)
@click.option(
    "-i",
    "--input",
    "inputs",
    multiple=True,
    metavar="JSON|@FILE|FIELD=VALUE",
    help="The input; may be repeated, later fields win. @- reads stdin.",
)
@click.option("--model", help="Model to use (see models list).")
@click.option("--title", help="Name of the job; made from its input by default.")
@click.option(
    "--priority", type=click.IntRange(-MAX_PRIORITY, MAX_PRIORITY), help="Higher runs first."
)
@click.option("--max-attempts", type=click.IntRange(1, MAX_ATTEMPTS), help="Tries before it fails.")
@click.option("--idempotency-key", help="The same key starts the same job only once.")
@click.option("-f", "--follow", is_flag=True, help="Watch it until it ends.")
@click.option("-d", "--detach", is_flag=True, help="Only print the id (the default).")
@as_json
def run(
    job_type: str,
    fields: tuple[str, ...],
    inputs: tuple[str, ...],
    model: str | None,
    title: str | None,
    priority: int | None,
    max_attempts: int | None,
    idempotency_key: str | None,
    follow: bool,
    detach: bool,
    json_output: bool,
) -> int:
    """Start a job of any type.

    A FIELD=VALUE takes the value as text where the type takes text, otherwise as JSON.
    """
    if follow and detach:
        raise click.UsageError("Give --follow or --detach, not both.")
    given = {
        "title": title,
        "model": model,
        "priority": priority,
        "max_attempts": max_attempts,
    }
    body: dict[str, Any] = {"type": job_type, "input": read_input(job_type, (*inputs, *fields))}
    body |= {name: value for name, value in given.items() if value is not None}
    daemon = Daemon()
    job = start(daemon, body, idempotency_key)
    if follow:
        from regend.cli.results import follow_to_result

        return follow_to_result(daemon, job, json_output=json_output)
    announce(job, json_output=json_output)
    return 0


def start(daemon: Daemon, body: dict[str, Any], key: str | None = None) -> dict[str, Any]:
    """Start a job and return it; a connection that breaks meanwhile makes no second one.

    A limit that lets it start soon is waited for, and the person is told.

    Raises:
        RegendError: what the daemon answered; a field is called as the person typed it.
    """
    key = key or new_key()
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            job: dict[str, Any] = daemon.post("/jobs", body, key=key)
        except RateLimited as error:
            wait_s = error.retry_after_s or 0.0
            if not wait_s or time.monotonic() + wait_s > deadline:
                raise
            say(paint(f"{error.message} It starts in {math.ceil(wait_s)} s.", "dim", sys.stderr))
            time.sleep(wait_s)
        except RegendError as error:
            _name_as_typed(error)
            raise
        else:
            return job


def _name_as_typed(error: RegendError) -> None:
    """Let an error speak of `--max-tokens` or “question”, not of `input.…` of the interface."""
    place = error.field or ""
    if place.startswith("input."):
        typed = _typed_name(place.removeprefix("input."))
        error.message = error.message.replace(f"“{place}”", f"“{typed}”")


def _typed_name(field: str) -> str:
    """Return what a field of the input is called on the command line that runs."""
    context = click.get_current_context(silent=True)
    for parameter in context.command.params if context is not None else ():
        if parameter.name == field and isinstance(parameter, click.Option):
            return max(parameter.opts, key=len)
    return field


def announce(job: dict[str, Any], *, json_output: bool) -> None:
    """Print the id of a job that nobody watches here."""
    if json_output:
        out_json(job)
    else:
        out(job["id"])
        say(f"Started. Watch it: regend jobs logs -f {short_id(job['id'])}")


def read_input(job_type: str, parts: tuple[str, ...]) -> dict[str, Any]:
    """Return the input that the parts give together.

    Raises:
        click.UsageError: a part is neither an object of JSON, a file with one, nor FIELD=VALUE.
    """
    merged: dict[str, Any] = {}
    for part in parts:
        if part.lstrip().startswith("{"):
            merged |= _object(part, "--input")
        elif part.startswith("@"):
            merged |= _object(_file(part[1:]), part)
        elif "=" in part and part.partition("=")[0].strip():
            name, _, value = part.partition("=")
            merged[name.strip()] = _value(job_type, name.strip(), value)
        else:
            raise click.UsageError(
                f"“{part}” is no input: give an object of JSON, @FILE, or FIELD=VALUE."
            )
    return merged


def _object(text: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(f"{place} is not valid JSON: {error}.") from error
    if not isinstance(value, dict):
        raise click.UsageError(f"{place} must be an object of JSON.")
    return value


def _file(name: str) -> str:
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return content.decode("utf-8-sig")
    except OSError as error:
        raise click.UsageError(f"{name} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise click.UsageError(f"{name} is not UTF-8 (byte {error.start}).") from error


def _value(job_type: str, name: str, text: str) -> Any:
    """Return a field's value: text where the type takes text, otherwise what it is as JSON."""
    from regend.jobs.inputs import INPUT_TYPES  # the table of types, for this case only

    kind = INPUT_TYPES.get(job_type)
    if kind is not None and kind.schema["properties"].get(name, {}).get("type") == "string":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
