"""A home, a port or a token that will not do: said plainly, and nothing is left behind."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tests.cli.conftest import Desk, wait_until


def told(said: str) -> None:
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) <= 6, said


@pytest.mark.parametrize("how", [(), ("--background",)], ids=["foreground", "background"])
@pytest.mark.parametrize("place", ["a file", "below a file", "the device of nothing"])
def test_a_home_that_cannot_be_written_is_named_with_the_remedy(
    own_desk: Desk, tmp_path: Path, place: str, how: tuple[str, ...]
) -> None:
    file = tmp_path / "file"
    file.write_text("in the way", encoding="utf-8")
    home = {"a file": file, "below a file": file / "home", "the device of nothing": "/dev/null"}
    done = own_desk.run("serve", "--port", "0", *how, environment={"REGEND_HOME": str(home[place])})
    assert done.returncode == 1
    assert str(home[place]) in done.stderr and "REGEND_HOME" in done.stderr
    told(done.stderr)
    assert file.read_text(encoding="utf-8") == "in the way"


@pytest.mark.parametrize("how", [(), ("--background",)], ids=["foreground", "background"])
def test_a_port_in_use_is_named_with_the_remedy_and_the_home_stays_free(
    own_desk: Desk, how: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = own_desk.run("serve", "--port", port, *how)
    assert done.returncode == 1
    assert port in done.stderr and "--port 0" in done.stderr
    message, hint, *_ = done.stderr.splitlines()
    assert message.startswith("regend: ") and hint.startswith("        "), "a line for each"
    told(done.stderr)
    assert not (own_desk.home / "daemon.json").exists()
    own_desk.start()


def test_an_expired_token_exits_with_5_and_says_so(own_desk: Desk) -> None:
    own_desk.start()
    made = own_desk.run(
        "tokens", "create", "--user", "owner", "--scope", "*", "--expires", "1s", "--json"
    )
    token = json.loads(made.stdout)["token"]
    (own_desk.home / "token").write_text(token, encoding="utf-8")

    def refused() -> bool:
        return own_desk.run("jobs", "list").returncode == 5

    wait_until(refused, "the token has expired")
    for command in (("jobs", "run", "nap"), ("research", "What?"), ("tokens", "list")):
        done = own_desk.run(*command)
        assert (done.returncode, done.stdout) == (5, "")
        assert "expired" in done.stderr
        told(done.stderr)


@pytest.mark.parametrize(
    "content", [b"[server\n", b"\xff\xfe\x00", b"[limits]\nresearch_per_minute = 'five'\n"]
)
def test_settings_that_cannot_be_read_stop_the_start_and_are_left_alone(
    own_desk: Desk, content: bytes
) -> None:
    file = own_desk.home / "config.toml"
    file.write_bytes(content)
    done = own_desk.run("serve", "--port", "0")
    assert done.returncode == 1
    assert "config.toml" in done.stderr or "limits.research_per_minute" in done.stderr
    told(done.stderr)
    assert file.read_bytes() == content
    assert not (own_desk.home / "regend.db").exists()


def test_a_path_that_begins_like_a_users_home_is_a_path(own_desk: Desk) -> None:
    """Word leaves such files beside open documents, and shells put them into `*`."""
    own_desk.start()
    (own_desk.home / "~$notes.md").write_text("The plumber is Asha.", encoding="utf-8")
    added = own_desk.run("library", "add", "~$notes.md")
    assert added.returncode == 0, added.stderr
    assert own_desk.run("library", "rm", "~$notes.md", "--yes").returncode == 0
    for command in (("models", "pull"), ("restore",), ("backup",)):
        refused = own_desk.run(*command, "~nobody-of-this-name/file")
        assert refused.returncode in (1, 4)
        told(refused.stderr)
