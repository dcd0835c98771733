"""The parser: loads the one command that is asked for, and makes every failure an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from regend.cli import failure, index
from regend.cli.command import Group
from regend.cli.overview import overview
from regend.cli.terminal import columns
from regend.errors import RegendError


class _Root(Group):
    """All commands, each imported when it is used."""

    def get_help(self, ctx: click.Context) -> str:
        """Return the same overview that is printed without the parser."""
        return overview(columns(sys.stdout))


root = _Root("regend", later=index.targets())


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit code; errors are told, not raised."""
    as_json = "--json" in arguments
    try:
        result = _invoke(list(arguments))
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.UsageError as error:
        return _misused(error, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        return failure.INTERRUPTED
    except click.ClickException as error:
        failure.report(RegendError("command_failed", error.format_message()), as_json=as_json)
        return failure.FAILED
    except RegendError as error:
        _flush()
        failure.report(error, as_json=as_json)
        return failure.exit_code(error)
    except BrokenPipeError:
        return failure.close_quietly()
    except OSError as error:
        failure.report(_system_error(error), as_json=as_json)
        return failure.FAILED


def _invoke(arguments: list[str]) -> object:
    """Run the command that the arguments name and return what it returns."""
    if "_REGEND_COMPLETE" in os.environ:
        return root.main(arguments, prog_name="regend")
    # Not `root.main`: it ends the process by itself for some errors, with codes of its own.
    with root.make_context("regend", arguments) as context:
        return root.invoke(context)


def _misused(error: click.UsageError, *, as_json: bool) -> int:
    path = error.ctx.command_path if error.ctx is not None else "regend"
    message, hint = error.format_message(), f"See: {path} --help"
    if "unexpected extra argument" in message:
        hint = f"What has spaces in it goes in quotes. {hint}"
    told = RegendError("usage", message, hint=hint)
    failure.report(told, as_json=as_json)
    return failure.USAGE


def _system_error(error: OSError) -> RegendError:
    place = f" ({error.filename})" if error.filename else ""
    return RegendError("system", f"{error.strerror or error}{place}.")


def _flush() -> None:
    """Let what was said on stdout stand before what follows on stderr."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
