"""The daemon's life and the machine's health: serve, stop, status, doctor, diagnostics."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from regend.cli.diagnostics import redact
from regend.store.lock import HomeLock
from tests.cli.conftest import Desk, wait_until


@pytest.fixture
def served(own_desk: Desk) -> Iterator[Desk]:
    """A home on which `serve --background` started a daemon."""
    done = own_desk.run("serve", "--background", "--port", "0")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("http://127.0.0.1:")
    try:
        yield own_desk
    finally:
        own_desk.run("stop")


def _levels(desk: Desk, *arguments: str) -> dict[str, str]:
    done = desk.run("doctor", "--json", *arguments)
    return {one["name"]: one["level"] for one in json.loads(done.stdout)["checks"]}


def test_serve_in_the_background_returns_once_the_daemon_answers(served: Desk) -> None:
    status = served.run("status")
    assert status.returncode == 0
    assert "● running" in status.stdout
    again = served.run("serve", "--background")
    assert again.returncode == 1
    assert "already runs" in again.stderr
    assert served.run("serve", "--port", "0").returncode == 1


def test_stop_ends_the_daemon_and_says_so_when_there_is_none(served: Desk) -> None:
    done = served.run("stop")
    assert done.returncode == 0
    assert served.run("status").returncode == 3
    again = served.run("stop")
    assert again.returncode == 3
    assert "There is nothing to stop." in again.stderr and "regend serve" not in again.stderr
    HomeLock(served.home / "regend.lock").release()


def test_stop_does_not_kill_a_stranger_who_has_the_old_number(own_desk: Desk) -> None:
    with own_desk.open("chat") as stranger:
        told = {"url": "http://127.0.0.1:9", "pid": stranger.pid}
        (own_desk.home / "daemon.json").write_text(json.dumps(told))
        stranger_before = stranger.pid
        done = own_desk.run("stop")
        assert done.returncode == 3
        assert stranger.wait(30) != -signal.SIGTERM
        assert stranger.pid == stranger_before


def test_serve_in_the_foreground_ends_with_ctrl_c(own_desk: Desk) -> None:
    with own_desk.open("serve", "--port", "0") as process:
        wait_until(lambda: own_desk.run("status").returncode == 0, "the daemon answers")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_settings_with_a_typo_are_named_with_the_near_one(own_desk: Desk) -> None:
    (own_desk.home / "config.toml").write_text("[server]\nprot = 1\n")
    for arguments in (("serve",), ("serve", "--background")):
        done = own_desk.run(*arguments)
        assert done.returncode == 1
        assert "server.prot" in done.stderr
        assert "Traceback" not in done.stderr


def test_status_as_json_has_the_four_parts(desk: Desk) -> None:
    known = desk.json("status")
    assert set(known) == {"daemon", "jobs", "models", "library"}
    assert known["daemon"]["status"] == "ok"
    assert known["daemon"]["config_file"] == str(desk.home / "config.toml")
    assert str(desk.home / "config.toml") in desk.run("status").stdout
    assert set(known["library"]) == {"documents", "passages", "size_bytes"}


def test_doctor_works_without_a_daemon_and_says_how_to_start_one(own_desk: Desk) -> None:
    # Not the usual port: the daemon of whoever runs the tests may be on it.
    (own_desk.home / "config.toml").write_text("[server]\nport = 0\n")
    done = own_desk.run("doctor")
    assert done.returncode == 0, done.stdout
    assert "regend serve" in done.stdout
    levels = _levels(own_desk)
    assert levels["daemon"] == "warn"
    assert levels["python"] == levels["sqlite"] == levels["home"] == levels["clock"] == "ok"
    assert levels["model"] == "warn"
    assert "regend models pull" in done.stdout


def test_doctor_finds_all_well_beside_a_daemon(served: Desk) -> None:
    levels = _levels(served)
    assert levels.pop("model") == "warn"
    assert set(levels.values()) == {"ok"}, levels


def test_doctor_finds_a_damaged_database_and_says_what_to_do(own_desk: Desk) -> None:
    with sqlite3.connect(own_desk.home / "regend.db") as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 100)
    connection.close()
    content = bytearray((own_desk.home / "regend.db").read_bytes())
    content[5000:9000] = os.urandom(4000)
    (own_desk.home / "regend.db").write_bytes(content)
    done = own_desk.run("doctor")
    assert done.returncode == 1
    assert "regend restore" in done.stdout
    assert _levels(own_desk)["database"] == "fail"


def test_doctor_finds_open_folders_wrong_settings_and_a_taken_port(
    own_desk: Desk, desk: Desk
) -> None:
    port = int(json.loads((desk.home / "daemon.json").read_text())["url"].rpartition(":")[2])
    (own_desk.home / "config.toml").write_text(f"[server]\nport = {port}\n")
    own_desk.home.chmod(0o755)
    levels = _levels(own_desk)
    assert (levels["home"], levels["port"]) == ("warn", "fail")
    (own_desk.home / "config.toml").write_text("[sever]\n")
    assert _levels(own_desk)["settings"] == "fail"


def test_doctor_finds_a_model_that_was_tampered_with(own_desk: Desk) -> None:
    models = own_desk.home / "models"
    models.mkdir()
    (models / "smollm2-135m.gguf").write_bytes(b"GGUF, or so it says")
    record = {
        "name": "smollm2-135m",
        "sha256": "0" * 64,
        "size_bytes": 19,
        "mtime_ns": 0,
        "licence": "",
        "context_tokens": 1,
        "capabilities": [],
        "quality": "small",
        "template": "",
        "cache_bytes_per_token": 1,
    }
    (models / "smollm2-135m.json").write_text(json.dumps(record))
    assert _levels(own_desk)["model"] == "fail"


def test_diagnostics_hold_what_helps_and_nothing_of_the_person(
    own_desk: Desk, tmp_path: Path
) -> None:
    settings = "[[models.providers]]\nname = 'lab'\nurl = 'http://x'\napi_key = 'sesame'\n"
    (own_desk.home / "config.toml").write_text(settings)
    own_desk.start()
    own_desk.job("nap", "title_is=a very private matter")
    token = (own_desk.home / "token").read_text().strip()
    with (own_desk.home / "daemon.log").open("a") as log:
        log.write(f"a line with {token} in it\n")
    target = tmp_path / "report.zip"
    done = own_desk.run("diagnostics", str(target))
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(target) as archive:
        texts = {name: archive.read(name).decode() for name in archive.namelist()}
    assert {"versions.json", "checks.json", "settings.json", "tables.json", "daemon.log"} <= set(
        texts
    )
    everything = "\n".join(texts.values())
    for private in ("sesame", token, "a very private matter", str(own_desk.home)):
        assert private not in everything
    assert json.loads(texts["tables.json"])["jobs"] == 1
    assert "a line with [removed] in it" in texts["daemon.log"]
    assert own_desk.run("diagnostics", str(target)).returncode == 1


@pytest.mark.parametrize(
    "secret",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJvIn0.c2lnbmF0dXJl",
        "Authorization: Bearer abc.def",
        "?ticket=0123456789",
        "api_key: sk-live-123",
        "0123456789abcdef0123456789abcdef",
    ],
)
def test_whatever_looks_like_a_secret_is_taken_out(secret: str) -> None:
    shown = redact(f"before {secret} after")
    assert "[removed]" in shown
    assert shown.startswith("before")
    assert not any(part in shown for part in ("eyJ", "abc.def", "0123456789", "sk-live"))
