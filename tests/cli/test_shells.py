"""Completion as each shell asks for it; bash, which is everywhere, asks by itself."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Desk

PROGRAM = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m regend "$@"\n'

# Zsh's and fish's own words; what they do with the answer needs them, what they ask does not.
ASKED: dict[str, Callable[[tuple[str, ...]], dict[str, str]]] = {
    "zsh": lambda words: {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)},
    "fish": lambda words: {"COMP_WORDS": " ".join(words), "COMP_CWORD": words[-1]},
}


def offered(desk: Desk, shell: str, *words: str) -> str:
    environment = {"_REGEND_COMPLETE": f"{shell}_complete", **ASKED[shell](words)}
    done = desk.run(environment=environment)
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("shell", ASKED)
def test_commands_options_choices_and_ids_are_offered(desk: Desk, shell: str) -> None:
    job = desk.job("nap")
    assert "research" in offered(desk, shell, "regend", "re")
    assert "--state" in offered(desk, shell, "regend", "jobs", "list", "--st")
    assert "waiting" in offered(desk, shell, "regend", "jobs", "list", "--state", "wa")
    assert job in offered(desk, shell, "regend", "jobs", "show", job[:8])


def test_documents_tokens_models_and_files_are_offered_where_they_are_meant(
    desk: Desk, tmp_path: Path
) -> None:
    (tmp_path / "page.md").write_text("A page to be completed.", encoding="utf-8")
    (document,) = desk.json("library", "add", str(tmp_path))["added"]
    made = ("--user", "asha", "--scope", "jobs:read", "--expires", "1h")
    token = desk.json("tokens", "create", *made)["id"]
    identity = document["id"]
    assert identity in offered(desk, "zsh", "regend", "library", "rm", identity[:8])
    assert identity in offered(desk, "zsh", "regend", "research", "--source", identity[:8])
    assert token in offered(desk, "zsh", "regend", "tokens", "revoke", token[:8])
    assert "smollm2-135m" in offered(desk, "zsh", "regend", "models", "rm", "smol")
    assert "smollm2-135m" in offered(desk, "zsh", "regend", "models", "pull", "smol")
    for words in (("library", "add"), ("library", "rm"), ("models", "pull")):
        assert offered(desk, "zsh", "regend", *words, "./pa").startswith("file\n./pa"), words


def in_bash(desk: Desk, line: str) -> list[str]:
    """Return what bash completes a line with, by the script that it was given."""
    folder = desk.home / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "regend").write_text(PROGRAM, encoding="utf-8")
    (folder / "regend").chmod(0o755)
    (folder / "regend.bash").write_text(desk.run("completion", "bash").stdout, encoding="utf-8")
    words = [*line.split(), *([""] if line.endswith(" ") else [])]
    script = (
        f". {shlex.quote(str(folder / 'regend.bash'))}\n"
        f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}\n"
        "function=$(complete -p regend | sed 's/.*-F \\([^ ]*\\) .*/\\1/')\n"
        'compopt() { :; }\n"$function" regend "${COMP_WORDS[COMP_CWORD]}"\n'
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    environment = {**desk.environment, "PATH": f"{folder}:{desk.environment['PATH']}"}
    done = subprocess.run(
        ["bash", "--norc", "-c", script], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_bash_completes_commands_options_and_the_ids_of_jobs(desk: Desk) -> None:
    job = desk.job("nap")
    assert in_bash(desk, "regend jobs l") == ["list", "logs"]
    assert "restore" in in_bash(desk, "regend re")
    assert in_bash(desk, "regend jobs list --js") == ["--json"]
    assert job in in_bash(desk, f"regend jobs cancel {job[:8]}")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_its_shell_can_read(desk: Desk, shell: str) -> None:
    """Only bash can be counted on; the others are asked where they are installed."""
    script = desk.run("completion", shell).stdout
    assert "regend" in script
    if shutil.which(shell) is not None:
        read = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
        assert (read.returncode, read.stderr) == (0, "")
