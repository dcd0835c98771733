"""What all commands share: help with examples, and options that mean the same everywhere."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import click

from regend.cli.prose import command_rows
from regend.cli.terminal import MEASURE, columns
from regend.cli.text import wrap

F = TypeVar("F", bound=Callable[..., Any])

_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}
_WHOLE = 1000  # characters of a command's line of help; it is wrapped, not cut
_NAME_SHARE = 0.4  # of the line, at most, for the names of options beside what they mean

# What other programs call the same; the first name that a group knows is the one that it is told.
_SAME_MEANING = (
    ("rm", "revoke", "cancel", "remove", "delete", "del", "uninstall"),
    ("list", "ls", "ps", "all"),
    ("pull", "get", "download", "install", "fetch"),
    ("create", "add", "new", "make", "import"),
    ("run", "start", "serve", "submit", "up"),
    ("cancel", "stop", "kill", "abort", "end", "down", "quit"),
    ("logs", "log", "tail", "watch", "follow", "attach"),
    ("show", "get", "info", "describe", "inspect"),
    ("search", "find", "query", "grep"),
    ("status", "ps", "info", "health"),
)


class _Formatter(click.HelpFormatter):
    """Sets a help as wide as the terminal, however narrow that is."""

    def __init__(self, *_args: Any, **_options: Any) -> None:
        super().__init__(width=min(columns(sys.stdout), MEASURE) - 2)

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write names with what they mean; a name that is too long stands above it."""
        set_rows = [(self._name(name), meaning) for name, meaning in rows]
        super().write_dl(set_rows, min(col_max, int(self.width * _NAME_SHARE)), col_spacing)

    def _name(self, name: str) -> str:
        """Return the name of an option, which may go on below between its choices."""
        parts = wrap(name.replace("|", "| "), self.width - self.current_indent, "  ")
        margin = " " * self.current_indent
        return f"\n{margin}".join(part.replace("| ", "|") for part in parts)


class _Context(click.Context):
    formatter_class = _Formatter


class Command(click.Command):
    """A command whose help ends in examples.

    Args:
        examples: command lines as a person would type them.
    """

    context_class = _Context

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any) -> None:
        options.setdefault("context_settings", _SETTINGS)
        super().__init__(*args, **options)
        self.examples = tuple(examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments; all that are missing are told at once."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.MissingParameter as error:
            missing = self._missing(ctx, given)
            if len(missing) < 2:
                raise
            raise click.UsageError(f"Missing: {', '.join(missing)}.", ctx) from error

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        _write_examples(self.examples, formatter)

    def _missing(self, ctx: click.Context, given: list[str]) -> list[str]:
        """Return what has to be given and was not, as one types it."""
        values, _rest, _order = self.make_parser(ctx).parse_args(args=given)
        return [
            parameter.opts[-1]
            if isinstance(parameter, click.Option)
            else parameter.make_metavar(ctx)
            for parameter in self.get_params(ctx)
            if parameter.required
            and parameter.value_is_missing(parameter.consume_value(ctx, values)[0])
        ]


class Group(click.Group):
    """A group of commands whose help ends in examples.

    Args:
        later: commands that are imported when they are used: `module:attribute` by name.
    """

    command_class = Command
    context_class = _Context

    def __init__(
        self,
        *args: Any,
        examples: Sequence[str] = (),
        later: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        options.setdefault("context_settings", _SETTINGS)
        options.setdefault("no_args_is_help", False)
        super().__init__(*args, **options)
        self.examples = tuple(examples)
        self.later = dict(later or {})

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they were written."""
        return [*self.commands, *self.later]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now if it was left for later; None where there is none."""
        place = self.later.get(cmd_name)
        if place is None:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = place.partition(":")
        loaded = getattr(importlib.import_module(f"regend.cli.{module}"), attribute)
        assert isinstance(loaded, click.Command), place
        return loaded

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show the help where no command is named, and that of a command after `help`."""
        if args[:1] == ["help"]:
            args = [*args[1:], "--help"]
        if not args and not ctx.resilient_parsing:
            click.echo(self.get_help(ctx))
            ctx.exit()
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the named command; where there is none, say which one is near."""
        if args[0].startswith("-") or self.get_command(ctx, args[0]) is not None:
            return super().resolve_command(ctx, args)
        wanted = f"{ctx.command_path} {args[0]}"
        near = _nearest(args[0], self.list_commands(ctx))
        question = f" Did you mean “{ctx.command_path} {near}”?" if near else ""
        raise click.UsageError(f"There is no command “{wanted}”.{question}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands, each with the whole of its line."""
        listed = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        rows = [(name, one.get_short_help_str(_WHOLE)) for name, one in listed if one is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples."""
        _write_examples(self.examples, formatter)


def _nearest(wanted: str, known: Sequence[str]) -> str:
    """Return the known name that was probably meant: one of that meaning, or spelled alike."""
    import difflib  # for this message only

    for names in _SAME_MEANING:
        if wanted in names:
            meant = [name for name in known if name in names]
            if meant:
                return meant[0]
    return next(iter(difflib.get_close_matches(wanted, known, n=1)), "")


def _write_examples(examples: Sequence[str], formatter: click.HelpFormatter) -> None:
    if examples:
        with formatter.section("Examples"):
            for example in examples:
                for row in command_rows(example, formatter.width - formatter.current_indent):
                    formatter.write(f"{'':>{formatter.current_indent}}{row}\n")


def as_json(function: F) -> F:
    """Add `--json`: the objects of the REST interface on stdout, and nothing else."""
    return click.option(
        "--json", "json_output", is_flag=True, help="Print the objects of the API as JSON."
    )(function)


def offered(
    path: str, rows: str, *, name: str = "id", title: str = "title", or_file: bool = False
) -> Callable[[click.Context, click.Parameter, str], list[Any]]:
    """Return what completes a word to the names of what the daemon lists.

    Args:
        path: of the listing, below `/api/v1`.
        rows: key of its rows.
        name: field that is completed.
        title: field that is shown beside it.
        or_file: complete it to files where no name begins so.
    """

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Offer the names; nothing where the daemon does not answer."""
        from click.shell_completion import CompletionItem

        from regend.cli.daemon import Daemon
        from regend.cli.text import plain
        from regend.errors import RegendError

        try:
            listed = Daemon().get(path)[rows]
        except RegendError:
            listed = []
        found = [
            CompletionItem(row[name], help=plain(str(row.get(title) or ""))[:60])
            for row in listed
            if row[name].startswith(incomplete)
        ]
        return found or ([CompletionItem(incomplete, type="file")] if or_file else [])

    return complete


def offered_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
    """Let the shell complete a word to files."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]


offered_jobs = offered("/jobs?limit=50", "jobs")
offered_documents = offered("/library?limit=1000", "documents")


def job_id(function: F) -> F:
    """Add the argument that names one job."""
    return click.argument("job", metavar="ID", shell_complete=offered_jobs)(function)


def job_ids(function: F) -> F:
    """Add the argument that names jobs."""
    return click.argument(
        "jobs", metavar="ID...", nargs=-1, required=True, shell_complete=offered_jobs
    )(function)
