"""The keys of a home: made once, private, never replaced by themselves; and which log it writes."""

from __future__ import annotations

import os
import ssl
import uuid
from pathlib import Path

import pytest

from regend.errors import Failed
from regend.home import Home
from regend.store import files
from regend.sync.device import device_of_certificate
from regend.sync.identity import (
    incarnation,
    load_identity,
    renew_incarnation,
    tls_file,
)
from regend.sync.machine import machine_id

KEYS = ("signing.key", "sealing.key", "certificate.der")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home.at(tmp_path)
    home.make()
    return home


def test_keys_are_made_once_and_stay(home: Home) -> None:
    first, second = load_identity(home), load_identity(home)
    assert first.device == second.device
    assert bytes(first.signing_key) == bytes(second.signing_key)
    assert device_of_certificate(first.certificate) == first.id
    other = Home.at(home.data_dir / "other")
    assert load_identity(other).id != first.id


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_every_file_is_its_owners_alone(home: Home) -> None:
    load_identity(home)
    incarnation(home, "epoch", "machine")
    modes = {path.name: path.stat().st_mode & 0o777 for path in home.keys_dir.iterdir()}
    assert set(modes.values()) == {0o600} and len(modes) == 5


def test_the_ssl_module_takes_the_file_made_for_it(home: Home) -> None:
    load_identity(home)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_file(home))
    context.load_cert_chain(tls_file(home), tls_file(home))


def test_what_follows_from_the_keys_is_made_again(home: Home) -> None:
    first = load_identity(home)
    (home.keys_dir / "certificate.der").unlink()
    tls_file(home).write_bytes(b"")
    assert load_identity(home).device == first.device
    assert tls_file(home).read_bytes() == first.pem()


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("content", [b"", b"short", bytes(32), b"x" * 33])
def test_a_damaged_file_is_named_and_left_as_it_is(home: Home, name: str, content: bytes) -> None:
    load_identity(home)
    (home.keys_dir / name).write_bytes(content)
    with pytest.raises(Failed) as refused:
        load_identity(home)
    assert refused.value.code == "key_damaged"
    assert name in refused.value.message and "backup" in refused.value.hint
    assert (home.keys_dir / name).read_bytes() == content


@pytest.mark.parametrize("name", ["signing.key", "sealing.key"])
def test_a_lost_key_is_not_replaced(home: Home, name: str) -> None:
    load_identity(home)
    (home.keys_dir / name).unlink()
    for _ in range(2):
        with pytest.raises(Failed) as refused:
            load_identity(home)
        assert refused.value.code == "key_missing" and name in refused.value.message


def test_the_key_of_another_device_is_noticed(home: Home) -> None:
    load_identity(home)
    other = Home.at(home.data_dir / "other")
    load_identity(other)
    (home.keys_dir / "signing.key").write_bytes((other.keys_dir / "signing.key").read_bytes())
    with pytest.raises(Failed) as refused:
        load_identity(home)
    assert "certificate.der" in refused.value.message


@pytest.mark.parametrize("before", [0, 1, 2, 3])
def test_a_power_cut_while_keys_are_made_leaves_a_home_that_starts(
    home: Home, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, written = files.replace, 0

    def cut(path: Path, content: bytes) -> None:
        nonlocal written
        if written == before:
            raise KeyboardInterrupt
        written += 1
        whole(path, content)

    with monkeypatch.context() as patched:
        patched.setattr(files, "replace", cut)
        with pytest.raises(KeyboardInterrupt):
            load_identity(home)
    assert load_identity(home).device == load_identity(home).device


def test_a_log_goes_on_with_the_same_machine_and_database(home: Home) -> None:
    first = incarnation(home, "epoch", "machine")
    assert (first.is_fresh, first.reason, len(first.id)) == (True, "missing", 8)
    again = incarnation(home, "epoch", "machine")
    assert (again.id, again.is_fresh, again.reason) == (first.id, False, "kept")


@pytest.mark.parametrize(
    ("epoch", "machine", "reason"),
    [
        ("restored", "machine", "database"),
        ("epoch", "other", "machine"),
        ("epoch", None, "machine"),
    ],
)
def test_another_machine_or_a_restored_database_begins_a_log(
    home: Home, epoch: str, machine: str | None, reason: str
) -> None:
    first = incarnation(home, "epoch", "machine")
    fresh = incarnation(home, epoch, machine)
    assert fresh.is_fresh and fresh.reason == reason and fresh.id != first.id
    assert incarnation(home, epoch, machine) == (fresh.id, False, "kept")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"incarnation": 7}',
        b"\xff",
        b'{"incarnation": "zz"}',
        b'{"incarnation": "00", "machine": null, "epoch": "epoch"}',
    ],
)
def test_a_marker_that_cannot_be_read_begins_a_log(home: Home, content: bytes) -> None:
    (home.keys_dir / "incarnation.json").write_bytes(content)
    assert incarnation(home, "epoch", None).reason == "unreadable"
    assert incarnation(home, "epoch", None).reason == "kept"


def test_a_log_that_was_cut_is_left_for_a_new_one(home: Home) -> None:
    first = incarnation(home, "epoch", "machine")
    fresh = renew_incarnation(home, "epoch", "machine")
    assert fresh != first.id and incarnation(home, "epoch", "machine").id == fresh


def test_the_machine_itself_is_not_written_down(home: Home) -> None:
    incarnation(home, "epoch", "secret machine")
    assert b"secret machine" not in (home.keys_dir / "incarnation.json").read_bytes()


def test_this_machine_is_the_same_twice() -> None:
    assert machine_id() == machine_id()


def test_a_machine_is_told_by_its_file_or_else_by_its_network_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "machine-id"
    file.write_text("uninitialized\n")
    monkeypatch.setattr(uuid, "getnode", lambda: 0x00AABBCCDDEE)
    told = machine_id((tmp_path / "none", file))
    assert told is not None and "uninitialized" not in told
    file.write_text("0123456789ABCDEF0123456789abcdef\n")
    assert machine_id((tmp_path / "none", file)) == "0123456789abcdef0123456789abcdef"
