"""Backups that no program of ours made: nothing is taken from them but what a backup holds."""

from __future__ import annotations

import json
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest

from regend.errors import BadInput
from regend.home import Home
from regend.store.archive import entry_of, pack
from regend.store.backup import back_up
from regend.store.restore import restore
from tests.cli.test_backup import _fingerprint, _jobs, home

__all__ = ["home"]


@pytest.mark.parametrize("form", ["folder", "tar"])
@pytest.mark.parametrize(
    "manifest",
    [
        *("", "[]", "{}", "9" * 5000, "[" * 200_000, '{"format": 1, "files": []}'),
        '{"format": 1, "files": {"../x": {}}}',
    ],
)
def test_a_strange_manifest_is_no_backup_and_no_home_is_made_for_it(
    tmp_path: Path, manifest: str, form: str
) -> None:
    source = tmp_path / "strange"
    source.mkdir()
    (source / "manifest.json").write_text(manifest)
    if form == "tar":
        source = tmp_path / "strange.tar"
        pack(tmp_path / "strange", source)
    with pytest.raises(BadInput, match="no backup"):
        restore(Home.at(tmp_path / "nobody"), source)
    assert not (tmp_path / "nobody").exists()


_DIGEST = "ab" * 32
_ENTRY: dict[str, Any] = {"sha256": _DIGEST, "size_bytes": 1}
_NO_ENTRIES: list[Any] = [None, [], {}, {"sha256": _DIGEST}]


@pytest.mark.parametrize("form", ["folder", "tar"])
@pytest.mark.parametrize(
    "changes",
    [
        *({"created_at": value} for value in (None, 5, "x", "2026-01-01T00:00:00")),
        *({"with_keys": value} for value in (None, 1, "no")),
        *({"format": value} for value in (None, True, "1", 0)),
        *({"files": {"regend.db": entry}} for entry in _NO_ENTRIES),
        *(
            {"files": {"regend.db": {**_ENTRY, "size_bytes": size}}}
            for size in (None, True, -1, 1.5, "1", 10**30)
        ),
        {"files": {"regend.db": {**_ENTRY, "sha256": _DIGEST.upper()}}},
        {"files": {}},
        *(
            {"files": {"regend.db": _ENTRY, name: _ENTRY}}
            for name in (
                *("regend.db-journal", "regend.db-wal", "regend.db-shm", "manifest.json"),
                *("regend.lock", "daemon.json", "notes.txt", "REGEND.DB", "", ".", "blobs"),
                *("./regend.db", "keys/", "keys/.", "keys/a/b", "keys/../token", "keys/a:b"),
                *("blobs/ab/cd", f"blobs/cd/{_DIGEST}", f"blobs/{_DIGEST}"),
                *("blobs/cd/" + "cd" * 32, f"blobs/ab/{_DIGEST}/x"),
            )
        ),
    ],
)
def test_a_manifest_is_checked_whole_before_anything_is_made(
    home: Home, tmp_path: Path, changes: dict[str, Any], form: str
) -> None:
    back_up(home, tmp_path / "backup")
    manifest = tmp_path / "backup" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **changes}))
    source = tmp_path / "backup"
    if form == "tar":
        source = tmp_path / "backup.tar"
        pack(tmp_path / "backup", source)
    with pytest.raises(BadInput) as refused:
        restore(Home.at(tmp_path / "nobody"), source)
    assert refused.value.code == "not_a_backup"
    assert not (tmp_path / "nobody").exists()


@pytest.mark.parametrize("form", ["folder", "tar"])
def test_a_log_that_sqlite_would_roll_back_is_never_put_beside_the_database(
    home: Home, tmp_path: Path, form: str
) -> None:
    source = tmp_path / "backup"
    back_up(home, source)
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    database, journal = source / "regend.db", source / "regend.db-journal"
    journal.write_bytes(_hot_journal(database, precious))
    manifest = source / "manifest.json"
    told = json.loads(manifest.read_text())
    told["files"]["regend.db-journal"] = entry_of(journal)
    manifest.write_text(json.dumps(told))
    if form == "tar":
        source = tmp_path / "backup.tar"
        pack(tmp_path / "backup", source)
    before = _fingerprint(home)
    with pytest.raises(BadInput, match="db-journal"):
        restore(home, source)
    assert precious.read_text() == "mine"
    assert _fingerprint(home) == before


def _hot_journal(database: Path, named: Path) -> bytes:
    """Return a rollback journal that names another file as its super-journal (SQLite's format)."""
    page_bytes = int.from_bytes(database.read_bytes()[16:18], "big")
    pages = database.stat().st_size // page_bytes
    magic, name = bytes.fromhex("d9d505f920a163d7"), str(named).encode()
    head = magic + struct.pack(">IIIII", 0, 0, pages, 512, page_bytes)
    end = struct.pack(">II", len(name), sum(name)) + magic
    return head.ljust(512, b"\0") + struct.pack(">I", 0x40000000 // page_bytes + 1) + name + end


def test_what_a_backup_folder_holds_besides_is_left_where_it_is(home: Home, tmp_path: Path) -> None:
    back_up(home, tmp_path / "backup")
    (tmp_path / "backup" / "regend.db-wal").write_text("no log")
    (tmp_path / "backup" / "notes.txt").write_text("taken before the journey")
    restore(home, tmp_path / "backup")
    assert _jobs(home.database) == ["first"]
    assert not [path for path in home.data_dir.rglob("*") if path.name == "notes.txt"]


def test_an_archive_that_holds_a_file_twice_is_refused(home: Home, tmp_path: Path) -> None:
    back_up(home, tmp_path / "backup.tar")
    with tarfile.open(tmp_path / "backup.tar", "a") as archive:
        archive.add(home.database, "regend.db")
    with pytest.raises(BadInput, match="twice"):
        restore(home, tmp_path / "backup.tar")
