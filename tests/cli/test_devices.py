"""Two desks become one person's devices: joined by a code, listed, named, put out."""

from __future__ import annotations

import contextlib
import re
import shlex
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from regend.sync.words import of_link, parse
from tests.cli.conftest import Desk, wait_until
from tests.cli.test_terminal import _seen

_HINDI = "रसोई का फ़ोन"
_SETTINGS = """
[mesh]
name = "{name}"
port = {port}
loopback = true

[models]
discover = false
"""

Seat = Callable[..., Desk]


@pytest.fixture
def seat(tmp_path: Path) -> Iterator[Seat]:
    """Return a function that starts a desk by name; all end with the test."""
    started: list[Desk] = []

    def start(name: str, port: int = 0) -> Desk:
        home = tmp_path / f"home-{len(started)}"
        home.mkdir(mode=0o700)
        settings = _SETTINGS.format(name=name, port=port)
        (home / "config.toml").write_text(settings, encoding="utf-8")
        (home / "config.toml").chmod(0o600)
        desk = Desk(home)
        started.append(desk)
        desk.start()
        return desk

    with contextlib.ExitStack() as ending:
        ending.callback(lambda: list(map(Desk.stop, started)))
        yield start


def invite(desk: Desk) -> tuple[str, str]:
    """Return a code and where it is shown."""
    shown = desk.json("devices", "invite")
    return shown["code"], f"127.0.0.1:{shown['port']}"


def wrong(code: str) -> str:
    """Return a code of the same number with words that are not its."""
    number, *words = code.split("-")
    return "-".join((number, *("wolf" if word != "wolf" else "zebra" for word in words)))


def join(desk: Desk, other: Desk) -> None:
    code, address = invite(other)
    done = desk.run("devices", "join", code, "--address", address)
    assert done.returncode == 0, done.stderr


def names(desk: Desk) -> list[str]:
    return [one["name"] for one in desk.json("devices", "list")["devices"]]


def test_a_device_that_is_alone_says_so_and_how_to_change_it(seat: Seat) -> None:
    one = seat("Laptop")
    for _ in range(2):
        done = one.run("devices", "list")
        assert done.returncode == 0 and "Laptop" in done.stdout and "this device" in done.stdout
        assert "This device is alone. Join another: regend devices invite" in done.stderr
        assert one.run("devices", "invite").returncode == 0  # a mesh of one is no company either


def test_the_code_is_all_that_goes_to_stdout(seat: Seat) -> None:
    done = seat("Laptop").run("devices", "invite")
    code = done.stdout.strip()
    assert len(done.stdout.splitlines()) == 1 and code.count("-") == 3
    assert f"regend devices join {code}" in done.stderr
    assert "10 minutes and 3 tries" in done.stderr


def test_the_qr_code_is_written_where_it_is_asked_for(seat: Seat, tmp_path: Path) -> None:
    file = tmp_path / "code.svg"
    done = seat("Laptop").run("devices", "invite", "--svg", str(file))
    assert done.returncode == 0 and str(file) in done.stderr
    assert "<svg" in file.read_text(encoding="utf-8")


def test_devices_that_joined_are_listed_by_their_names_on_both(seat: Seat) -> None:
    one, two = seat("Laptop"), seat(_HINDI)
    code, address = invite(one)
    done = two.run("devices", "join", code, "--address", address)
    assert (done.returncode, done.stdout) == (0, "Joined Laptop.\n"), done.stderr
    for desk in (one, two):
        assert names(desk) == ["Laptop", _HINDI]
        wait_until(
            lambda: "up to date" in desk.run("devices", "list").stdout,  # noqa: B023
            "both are level",
        )
        shown = desk.run("devices", "list")
        assert "by network" in shown.stdout and "alone" not in shown.stderr


def test_on_a_terminal_the_first_sync_is_shown_to_its_end(seat: Seat) -> None:
    one, two = seat("Laptop"), seat("Phone")
    jobs = [one.job("nap", "steps=3") for _ in range(3)]
    for job in jobs:
        one.await_state(job, "completed")
    code, address = invite(one)
    seen, exit_code = _seen(two, "devices", "join", code, "--address", address)
    assert exit_code == 0
    assert "Looking for the device that shows the code" in seen and "Joined Laptop." in seen
    assert "━" in seen and re.search(
        r"Up to date with Laptop: \d+ changes, [\d.]+ kB received\.", seen
    )
    assert {row["id"] for row in two.json("jobs", "list")["jobs"]} == set(jobs)


def test_a_home_that_was_restored_says_so(seat: Seat, tmp_path: Path) -> None:
    one = seat("Laptop")
    invite(one)
    assert "restored" not in one.run("devices", "list").stderr
    assert "one, as far as is known" in one.run("doctor").stdout
    assert one.run("backup", str(tmp_path / "saved")).returncode == 0
    one.stop()
    restored = one.run("restore", str(tmp_path / "saved"))
    assert restored.returncode == 0, restored.stderr
    one.start()
    assert "This home was restored from a backup." in one.run("devices", "list").stderr
    (found,) = [check for check in one.json("doctor")["checks"] if check["name"] == "history"]
    assert found["level"] == "warn" and "regend jobs takeover ID --force" in found["remedy"]


def test_wrong_words_use_up_the_tries_and_the_right_ones_come_too_late(seat: Seat) -> None:
    one, two = seat("Laptop"), seat("Phone")
    code, address = invite(one)
    for _ in range(3):
        done = two.run("devices", "join", wrong(code), "--address", address)
        assert done.returncode == 1
        assert "The words of the code are not the right ones." in done.stderr
    done = two.run("devices", "join", code, "--address", address)
    assert done.returncode != 0 and "regend devices invite" in done.stderr
    assert "Traceback" not in done.stderr
    assert names(two) == ["Phone"]


def test_a_slip_of_the_pen_uses_up_no_try(seat: Seat) -> None:
    two = seat("Phone")
    done = two.run("devices", "join", "7-lotuss-river-lamp")
    assert done.returncode == 1
    assert "the nearest is “lotus”" in done.stderr and "No try was used up" in done.stderr


def test_a_code_serves_once_and_a_device_is_in_one_mesh(seat: Seat) -> None:
    one, two, three = seat("Laptop"), seat("Phone"), seat("Radio")
    code, address = invite(one)
    assert two.run("devices", "join", code, "--address", address).returncode == 0
    again = two.run("devices", "join", code, "--address", address)
    assert again.returncode == 1 and "already in a mesh with “Laptop”" in again.stderr
    late = three.run("devices", "join", code, "--address", address)
    assert late.returncode != 0 and "regend devices invite" in late.stderr
    assert names(one) == ["Laptop", "Phone"]


def test_nobody_at_an_address_and_no_address_are_told_apart(seat: Seat) -> None:
    two = seat("Phone")
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        away = two.run("devices", "join", "7-lotus-river-mango", "--address", address)
    assert away.returncode == 1 and f"{address} cannot be reached" in away.stderr
    none = two.run("devices", "join", "7-lotus-river-mango", "--address", "here:there")
    assert none.returncode == 1 and "“here:there” is no address." in none.stderr


def test_the_codes_and_commands_of_the_help_can_be_typed_as_they_stand(desk: Desk) -> None:
    for command in ((), ("join",), ("rename",)):
        shown = desk.run("devices", *command, "--help").stdout
        rows = shown.partition("Examples:")[2].replace("\\\n", "").splitlines()
        examples = [shlex.split(row) for row in rows if row]
        codes = [of_link(words[3])[0] for words in examples if words[2] == "join"]
        assert all(str(parse(code)) == code for code in codes)
        if command == ("rename",):
            assert [words[3:] for words in examples] == [["Laptop", "Office laptop"]]


def test_a_port_that_is_taken_is_told_with_its_remedy(seat: Seat) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = seat("Laptop", port).run("devices", "invite")
    assert done.returncode != 0 and str(port) in done.stderr
    assert "Traceback" not in done.stderr


def test_a_device_is_renamed_and_put_out_by_name(seat: Seat) -> None:
    one, two = seat("Laptop"), seat("Phone")
    join(two, one)
    renamed = one.run("devices", "rename", "phone", _HINDI)
    assert (renamed.returncode, renamed.stdout) == (0, f"It is called “{_HINDI}” now.\n")
    wait_until(lambda: names(two) == ["Laptop", _HINDI], "the other learns its name")
    unnamed = one.run("devices", "rename", _HINDI, " ")
    assert unnamed.returncode == 1 and "A device needs a name." in unnamed.stderr

    done = one.run("devices", "revoke", _HINDI, "--yes")
    assert done.returncode == 0 and f"“{_HINDI}” is out." in done.stdout
    listed = one.run("devices", "list")
    assert "revoked" in listed.stdout and "This device is alone." in listed.stderr


def test_a_name_with_a_space_is_taken_as_it_is_typed_or_the_quotes_are_asked_for(
    seat: Seat,
) -> None:
    one, two = seat("Laptop"), seat("vm 2")
    join(two, one)
    renamed = one.run("devices", "rename", "vm", "2", "vm", "3")
    assert renamed.returncode == 2 and "goes in quotes" in renamed.stderr
    invited = one.run("devices", "invite", "--name", "My", "laptop")
    assert invited.returncode == 2 and "goes in quotes" in invited.stderr
    done = one.run("devices", "revoke", "VM", "2", "--yes")
    assert done.returncode == 0 and "“vm 2” is out." in done.stdout


def test_who_is_not_there_or_is_this_device_cannot_be_put_out(seat: Seat) -> None:
    one, two = seat("Laptop"), seat("Phone")
    assert "This device is in no mesh." in one.run("devices", "revoke", "Phone").stderr
    join(two, one)
    nobody = one.run("devices", "revoke", "Radio", "--yes")
    assert nobody.returncode == 4 and "There is no device “Radio”." in nobody.stderr
    itself = one.run("devices", "revoke", "Laptop", "--yes")
    assert itself.returncode == 1 and "cannot revoke itself" in itself.stderr
    assert names(one) == ["Laptop", "Phone"]


def test_a_job_goes_on_here_and_the_sentence_names_this_device(seat: Seat) -> None:
    one, two = seat("Laptop"), seat("Phone")
    join(two, one)
    job = one.job("nap", "steps=8", "sleep_s=0.5")
    one.await_state(job, "running")
    wait_until(lambda: two.state(job) is not None, "it is seen on the other")
    asked = two.run("jobs", "pause", job)
    assert "runs on Laptop, which is asked to pause it" in asked.stdout, asked
    one.await_state(job, "paused")
    two.await_state(job, "paused")
    assert "asked to resume it" in two.run("jobs", "resume", job).stdout
    one.await_state(job, "running")
    two.await_state(job, "running")
    done = two.run("jobs", "takeover", job)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(job[:8]) and "; on Phone." in done.stdout
    again = two.run("jobs", "takeover", job)
    assert again.returncode == 1 and "runs on this device already" in again.stderr
    two.await_state(job, "completed")


def test_a_device_that_is_away_is_named_and_force_is_offered(seat: Seat) -> None:
    one, two = seat("Laptop"), seat("Phone")
    join(two, one)
    job = one.job("nap", "steps=40", "sleep_s=0.5")
    one.await_state(job, "running")
    two.await_state(job, "running")
    one.stop()
    wait_until(lambda: "not now" in two.run("devices", "list").stdout, "it is seen to be away")
    refused = two.run("jobs", "takeover", job)
    assert refused.returncode == 1
    assert "“Laptop”, which runs the job, is not reached." in refused.stderr
    assert "--force" in refused.stderr and "twice" in refused.stderr
    done = two.run("jobs", "takeover", job, "--force")
    assert done.returncode == 0 and "; on Phone." in done.stdout, done.stderr
    shown = two.run("jobs", "show", job).stdout
    assert "◆ Phone took the job over without a word from Laptop, " in shown
    two.run("jobs", "cancel", job)
