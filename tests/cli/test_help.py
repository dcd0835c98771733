"""The help is held against the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from regend import __version__
from regend.cli.index import SECTIONS
from regend.cli.overview import overview
from regend.cli.root import root
from tests.cli.conftest import Desk


def _commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if path:
        yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command, info_name="regend")
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None, name
            yield from _commands(found, (*path, name))


_ALL = dict(_commands(root))


@pytest.mark.parametrize("path", _ALL, ids=" ".join)
def test_every_command_has_help_that_ends_in_examples_of_itself(path: tuple[str, ...]) -> None:
    command = _ALL[path]
    text = command.get_help(click.Context(command, info_name=" ".join(("regend", *path))))
    assert (command.help or "").strip().split("\n")[0].endswith((".", ":"))
    examples = text.partition("Examples:")[2]
    assert f"regend {' '.join(path)}" in examples


@pytest.mark.parametrize("path", _ALL, ids=" ".join)
def test_every_option_is_explained(path: tuple[str, ...]) -> None:
    for parameter in _ALL[path].params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


# What they print is no answer that a program reads: a daemon's life, a talk, a show, a script.
_WITHOUT_JSON = {("serve",), ("stop",), ("chat",), ("demo",), ("completion",)}


@pytest.mark.parametrize("path", _ALL, ids=" ".join)
def test_every_command_that_answers_speaks_json(path: tuple[str, ...]) -> None:
    speaks = any("--json" in parameter.opts for parameter in _ALL[path].params)
    assert speaks == (path not in _WITHOUT_JSON and not isinstance(_ALL[path], click.Group))


def test_the_overview_names_each_command_with_its_own_line_of_help() -> None:
    lines = {name: line for _section, rows in SECTIONS for name, _target, line in rows}
    assert [(name,) for name in lines] == [path for path in _ALL if len(path) == 1]
    for name, line in lines.items():
        assert _ALL[(name,)].short_help == line
        assert f"  {name:<13}{line}" in overview()


def test_help_and_version_are_answered_without_a_home_or_daemon(own_desk: Desk) -> None:
    for arguments in ((), ("--help",), ("-h",)):
        done = own_desk.run(*arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, overview() + "\n", "")
    assert own_desk.run("--version").stdout == f"regend {__version__}\n"


@pytest.mark.parametrize("columns", [30, 40, 60, 79, 80, 200])
def test_the_overview_fits_the_terminal(columns: int) -> None:
    shown = overview(columns)
    assert max(map(len, shown.splitlines())) <= min(columns, 79)
    for name, _target, line in (row for _section, rows in SECTIONS for row in rows):
        assert f"  {name:<13}{line.split()[0]}" in shown


@pytest.mark.parametrize("path", _ALL, ids=" ".join)
def test_the_help_of_each_command_fits_a_narrow_terminal(
    path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    command = _ALL[path]
    text = command.get_help(command.context_class(command, info_name=" ".join(("regend", *path))))
    wide = [row for row in text.splitlines() if len(row) > 40 and " " in row.strip()]
    assert [row for row in wide if "'" not in row] == []
    assert "..." not in text.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        (("help", "research"), ("research", "--help")),
        (("help", "jobs", "list"), ("jobs", "list", "--help")),
        (("jobs", "help", "list"), ("jobs", "list", "--help")),
        (("jobs", "help"), ("jobs", "--help")),
    ],
)
def test_help_on_a_command_may_be_asked_for_by_the_word(
    own_desk: Desk, asked: tuple[str, ...], meant: tuple[str, ...]
) -> None:
    done, same = own_desk.run(*asked), own_desk.run(*meant)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == same.stdout


def test_help_on_what_is_no_command_says_so(own_desk: Desk) -> None:
    done = own_desk.run("help", "reserch")
    assert done.returncode == 2 and "regend research" in done.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script_that_asks_this_program(own_desk: Desk, shell: str) -> None:
    done = own_desk.run("completion", shell)
    assert done.returncode == 0
    assert "_REGEND_COMPLETE" in done.stdout


def test_commands_complete(own_desk: Desk) -> None:
    asked = {"_REGEND_COMPLETE": "bash_complete", "COMP_WORDS": "regend jobs l", "COMP_CWORD": "2"}
    done = own_desk.run(environment=asked)
    assert {"plain,list", "plain,logs"} <= set(done.stdout.split())


def test_ids_complete_to_nothing_while_no_daemon_runs(own_desk: Desk) -> None:
    words = {"COMP_WORDS": "regend jobs show 0", "COMP_CWORD": "3"}
    done = own_desk.run(environment={"_REGEND_COMPLETE": "bash_complete", **words})
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_ids_complete_to_those_of_jobs(desk: Desk) -> None:
    job = desk.job("nap")
    words = {"COMP_WORDS": f"regend jobs show {job[:6]}", "COMP_CWORD": "3"}
    done = desk.run(environment={"_REGEND_COMPLETE": "bash_complete", **words})
    assert f"plain,{job}" in done.stdout.split()
