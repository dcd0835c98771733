"""Tokens: printed once, listed without their secret, ended at once."""

from __future__ import annotations

import time

import pytest

from regend.clock import parse_rfc3339
from tests.cli.conftest import Desk


def _create(desk: Desk, *more: str) -> str:
    given = ("--user", "asha", "--scope", "jobs:read,jobs:write", "--expires", "2h")
    done = desk.run("tokens", "create", *given, *more)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 1
    return done.stdout.strip()


def test_a_token_is_listed_by_everything_but_its_secret(desk: Desk) -> None:
    secret = _create(desk, "--name", "the kitchen radio")
    shown = desk.run("tokens", "list").stdout
    assert "the kitchen radio" in shown
    assert "asha" in shown
    assert secret not in shown + desk.run("tokens", "list", "--json").stdout


def test_a_length_of_time_becomes_the_end_of_the_token(desk: Desk) -> None:
    _create(desk, "--name", "two hours")
    listed = desk.json("tokens", "list")["tokens"]
    token = next(one for one in listed if one["name"] == "two hours")
    left_s = parse_rfc3339(token["expires_at"]) / 1000 - time.time()
    assert 7000 < left_s <= 7200
    assert token["scope"] == ["jobs:read", "jobs:write"]


def test_how_long_a_token_is_still_valid_is_told_as_it_was_asked_for(desk: Desk) -> None:
    given = ("--user", "asha", "--scope", "jobs:read", "--name", "the month")
    assert desk.run("tokens", "create", *given, "--expires", "30d").returncode == 0
    shown = desk.run("tokens", "list").stdout
    assert "● 30d left" in next(row for row in shown.splitlines() if "the month" in row)


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((), ["--user", "--scope", "--expires"]),
        (("--scope", "jobs:read"), ["--user", "--expires"]),
        (("--user", "a", "--scope", "jobs:read"), ["--expires"]),
    ],
)
def test_what_is_missing_is_told_at_once(
    desk: Desk, given: tuple[str, ...], missing: list[str]
) -> None:
    done = desk.run("tokens", "create", *given)
    assert done.returncode == 2
    for option in ("--user", "--scope", "--expires"):
        assert (option in done.stderr) == (option in missing)


def test_a_revoked_token_is_shown_as_such(desk: Desk) -> None:
    _create(desk, "--name", "to be revoked")
    listed = desk.json("tokens", "list")["tokens"]
    identity = next(one["id"] for one in listed if one["name"] == "to be revoked")
    assert desk.run("tokens", "revoke", identity).returncode == 0
    row = next(
        line for line in desk.run("tokens", "list").stdout.splitlines() if "to be revoked" in line
    )
    assert "⊘ revoked" in row


def test_what_was_revoked_is_told_to_a_program(desk: Desk) -> None:
    _create(desk, "--name", "for a program")
    listed = desk.json("tokens", "list")["tokens"]
    identity = next(one["id"] for one in listed if one["name"] == "for a program")
    assert desk.json("tokens", "revoke", identity) == {"revoked": identity}


@pytest.mark.parametrize("scope", ["everything", "", "jobs:read nonsense"])
def test_a_scope_that_does_not_exist_is_refused(desk: Desk, scope: str) -> None:
    done = desk.run("tokens", "create", "--user", "a", "--scope", scope, "--expires", "1h")
    assert done.returncode == 1
    assert done.stdout == ""
