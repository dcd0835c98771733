"""Exit codes, and where things are said: data on stdout, messages on stderr, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.cli.conftest import Desk


@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs", "list"),
        ("status",),
        ("research", "What?"),
        ("ask", "What?"),
        ("chat",),
        ("library", "list"),
        ("library", "add", "."),
        ("models", "list"),
        ("tokens", "list"),
        ("jobs", "approve"),
        ("stop",),
    ],
    ids=" ".join,
)
def test_without_a_daemon_it_exits_with_3_and_says_what_to_do(
    own_desk: Desk, arguments: tuple[str, ...]
) -> None:
    done = own_desk.run(*arguments)
    assert done.returncode == 3
    assert done.stdout == ""
    assert "not running" in done.stderr
    remedy = "nothing to stop" if arguments == ("stop",) else "regend serve"
    assert remedy in done.stderr


def test_a_daemon_that_died_without_a_word_exits_with_3(own_desk: Desk) -> None:
    own_desk.start()
    own_desk.stop(9)
    assert (own_desk.home / "daemon.json").exists()
    done = own_desk.run("jobs", "list")
    assert done.returncode == 3
    assert "regend serve" in done.stderr


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": 5}', '{"url": "nowhere"}', "\x00"])
def test_a_broken_daemon_file_is_no_daemon(own_desk: Desk, content: str) -> None:
    (own_desk.home / "daemon.json").write_text(content, encoding="utf-8")
    done = own_desk.run("jobs", "list")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("jobs", "shw"),
        ("jobs", "show"),
        ("jobs", "list", "--state", "asleep"),
        ("jobs", "list", "--limit", "0"),
        ("jobs", "run", "chat", "prompt"),
        ("jobs", "run", "chat", "--input", "{"),
        ("jobs", "run", "chat", "--input", "@/nowhere"),
        ("jobs", "run", "nap", "--follow", "--detach"),
        ("tokens", "create", "--user", "a", "--scope", "jobs:read", "--expires", "soon"),
        ("research",),
        ("research", "x", "--depth", "bottomless"),
        ("completion", "tcsh"),
        ("serve", "--port", "70000"),
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2_and_points_to_the_help(
    desk: Desk, arguments: tuple[str, ...]
) -> None:
    done = desk.run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "--help" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("jobs", "show", "ffffffff"),
        ("jobs", "cancel", "ffffffff"),
        ("jobs", "logs", "-f", "ffffffff"),
        ("jobs", "approve", "ffffffff"),
        ("library", "rm", "ffffffff"),
        ("tokens", "revoke", "ffffffff"),
        ("models", "rm", "no-such-model"),
        ("restore", "/nowhere"),
    ],
    ids=" ".join,
)
def test_what_is_not_there_exits_with_4(desk: Desk, arguments: tuple[str, ...]) -> None:
    done = desk.run(*arguments)
    assert done.returncode == 4, done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("token", ["", "nonsense", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
def test_a_token_that_does_not_hold_exits_with_5(own_desk: Desk, token: str) -> None:
    own_desk.start()
    (own_desk.home / "token").write_text(token, encoding="utf-8")
    done = own_desk.run("jobs", "list")
    assert done.returncode == 5
    assert done.stdout == ""


def test_a_token_may_do_only_what_its_scope_says(own_desk: Desk) -> None:
    own_desk.start()
    made = own_desk.run(
        "tokens", "create", "--user", "owner", "--scope", "jobs:read", "--expires", "1h"
    )
    (own_desk.home / "token").write_text(made.stdout.strip(), encoding="utf-8")
    assert own_desk.run("jobs", "list").returncode == 0
    refused = own_desk.run("jobs", "run", "nap")
    assert refused.returncode == 5
    assert "jobs:write" in refused.stderr


def test_a_refusal_exits_with_1_and_hands_its_hint_on(desk: Desk) -> None:
    done = desk.run("jobs", "run", "research", "question=x", "dept=deep")
    assert done.returncode == 1
    assert "dept" in done.stderr
    assert "depth" in done.stderr


def test_a_reader_that_leaves_early_is_no_error_to_talk_about(desk: Desk) -> None:
    for _ in range(3):
        desk.job("nap")
    command = [sys.executable, "-m", "regend", "jobs", "list", "--json"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=desk.environment
    )
    assert process.stdout is not None
    process.stdout.close()
    _out, said = process.communicate(timeout=60)
    assert said == b""
    assert process.returncode in (0, 141)


@pytest.mark.parametrize("locale", ["C", "POSIX", "en_US.ISO-8859-1"])
def test_output_is_utf8_whatever_the_locale(desk: Desk, locale: str) -> None:
    job = desk.job("nap", "title_is=यूपीआई लाइट")
    forced = {"LC_ALL": locale, "LANG": locale, "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    done = desk.run("jobs", "show", job, environment=forced)
    assert done.returncode == 0
    assert "यूपीआई लाइट" in done.stdout


def test_an_argument_that_is_no_text_is_refused_with_words(desk: Desk) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "regend", "jobs", "run", "nap", b"title_is=\xff\xfe"],
        capture_output=True,
        env=desk.environment,
        check=False,
    )
    assert done.returncode in (1, 2)
    assert b"Traceback" not in done.stderr
    assert done.stderr


def test_json_goes_to_stdout_whole_and_alone(desk: Desk) -> None:
    desk.job("nap")
    for arguments in (("jobs", "list"), ("status",), ("models", "list"), ("doctor",)):
        done = desk.run(*arguments, "--json")
        assert isinstance(json.loads(done.stdout), dict)
        assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("jobs", "show", "ffffffff"), "job_not_found"),
        (("jobs", "cancel", "ffffffff"), "job_not_found"),
        (("library", "rm", "ffffffff"), "document_not_found"),
        (("models", "rm", "no-such-model"), "model_unknown"),
        (("jobs", "list", "--state", "asleep"), "usage"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_with_json_an_error_is_an_object_on_stderr(
    desk: Desk, arguments: tuple[str, ...], code: str
) -> None:
    done = desk.run(*arguments, "--json")
    assert done.returncode != 0
    error = json.loads(done.stderr)["error"]
    assert error["code"] == code and error["message"]


def test_the_environment_of_the_tests_is_private(desk: Desk) -> None:
    assert str(desk.home) == desk.environment["REGEND_HOME"] != os.environ.get("REGEND_HOME")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("tokens", "rm"), "regend tokens revoke"),
        (("models", "lst"), "regend models list"),
        (("models", "download"), "regend models pull"),
        (("jobs", "ls"), "regend jobs list"),
        (("library", "delete"), "regend library rm"),
        (("jbos",), "regend jobs"),
    ],
    ids=" ".join,
)
def test_a_command_that_is_not_there_is_answered_with_the_one_that_was_meant(
    own_desk: Desk, typed: tuple[str, ...], meant: str
) -> None:
    done = own_desk.run(*typed)
    assert done.returncode == 2
    assert f"“regend {' '.join(typed)}”" in done.stderr
    assert f"Did you mean “{meant}”?" in done.stderr


def test_what_is_wrong_is_called_as_it_was_typed(desk: Desk) -> None:
    for arguments, name in (
        (("jobs", "run", "research", "question= "), "“question”"),
        (("ask", "Hello?", "--max-tokens", "100000000"), "“--max-tokens”"),
    ):
        done = desk.run(*arguments)
        assert done.returncode == 1
        assert name in done.stderr and "input." not in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="the shell is sh")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", [("jobs", "list"), ("--version",)], ids=" ".join)
def test_a_closed_stream_is_nobodys_fault(
    desk: Desk, command: tuple[str, ...], closed: str
) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "regend", *command],
        capture_output=True,
        encoding="utf-8",
        env=desk.environment,
    )
    assert done.returncode == 0 and "Traceback" not in done.stderr
