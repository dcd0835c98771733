"""Backup and restore: beside a running daemon, whole or not at all, nothing deleted."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from regend.errors import BadInput, Conflict, Failed, NotFound, RegendError
from regend.home import Home
from regend.store import Store
from regend.store.backup import back_up
from regend.store.lock import HomeLock
from regend.store.restore import restore
from tests.cli.conftest import Desk

_LONG = json.dumps("य" * 40_000, ensure_ascii=False)


def _add_job(home: Home, name: str) -> str:
    """Put a job with a large input into a home as an earlier daemon left it; return its blob."""
    store = Store(home)
    try:
        packed = store.blobs.pack(_LONG)
    finally:
        store.close()
    with sqlite3.connect(home.database) as connection:
        connection.execute(
            "INSERT INTO jobs (id, user, type, title, state, desired, priority, max_attempts, "
            "seed, model, input, owner_device, device, created_at, updated_at) "
            "VALUES (?, 'owner', 'nap', ?, 'created', 'run', 0, 1, 0, '', ?, '', '', 0, 0)",
            (name, "@" + "a" * 64, packed),
        )
    connection.close()
    return packed[1:]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path / "home")
    made.make()
    _add_job(made, "first")
    return made


@pytest.fixture(params=["folder", "archive.tar"])
def saved(home: Home, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    target = tmp_path / "backups" / str(request.param)
    target.parent.mkdir()
    back_up(home, target)
    yield target


def _jobs(database: Path) -> list[str]:
    connection = sqlite3.connect(database)
    try:
        return [row[0] for row in connection.execute("SELECT id FROM jobs ORDER BY number")]
    finally:
        connection.close()


def _epoch(database: Path) -> str:
    connection = sqlite3.connect(database)
    try:
        row = connection.execute("SELECT value FROM settings WHERE name = 'epoch'").fetchone()
        return str(row[0])
    finally:
        connection.close()


def _fingerprint(home: Home) -> dict[str, bytes]:
    return {
        str(path.relative_to(home.data_dir)): path.read_bytes()
        for path in sorted(home.data_dir.rglob("*"))
        if path.is_file() and not path.name.startswith("regend.lock")
    }


def test_what_was_lost_comes_back_in_a_new_epoch(home: Home, saved: Path) -> None:
    before = _epoch(home.database)
    shutil.rmtree(home.data_dir)
    done = restore(home, saved)
    assert done.set_aside is None
    assert _jobs(home.database) == ["first"]
    assert _epoch(home.database) != before
    store = Store(home)
    with store.reading() as connection:
        column = connection.execute("SELECT input FROM jobs").fetchone()[0]
    assert store.blobs.unpack(column) == _LONG
    store.close()


def test_what_is_replaced_is_put_aside_whole(home: Home, saved: Path) -> None:
    digest = _add_job(home, "second")
    done = restore(home, saved)
    assert _jobs(home.database) == ["first"]
    assert done.set_aside is not None
    assert _jobs(done.set_aside / "regend.db") == ["first", "second"]
    assert (done.set_aside / "blobs" / digest[:2] / digest).read_text() == _LONG


def test_everything_is_private_to_its_owner(home: Home, saved: Path, tmp_path: Path) -> None:
    assert saved.stat().st_mode & 0o077 == 0
    shutil.rmtree(home.data_dir)
    restore(home, saved)
    for path in home.data_dir.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_keys_are_in_a_backup_only_when_asked_for(home: Home, tmp_path: Path) -> None:
    home.token_file.write_text("the token")
    (home.keys_dir / "device").write_bytes(b"the key")
    back_up(home, tmp_path / "without")
    assert not (tmp_path / "without" / "token").exists()
    assert not (tmp_path / "without" / "keys").exists()
    back_up(home, tmp_path / "with", with_keys=True)
    home.token_file.write_text("another token")
    shutil.rmtree(home.keys_dir)
    done = restore(home, tmp_path / "with")
    assert home.token_file.read_text() == "the token"
    assert done.set_aside is not None
    assert (done.set_aside / "token").read_text() == "another token"
    assert (home.keys_dir / "device").read_bytes() == b"the key"


def test_a_taken_name_is_refused_and_left_alone(home: Home, tmp_path: Path) -> None:
    taken = tmp_path / "taken.tar"
    taken.write_text("mine")
    with pytest.raises(Conflict):
        back_up(home, taken)
    assert taken.read_text() == "mine"


def test_a_place_that_cannot_be_written_is_refused_and_nothing_is_left(
    home: Home, tmp_path: Path
) -> None:
    blocker = tmp_path / "file"
    blocker.touch()
    with pytest.raises(BadInput):
        back_up(home, blocker / "backup")
    assert blocker.read_bytes() == b""


def test_a_damaged_payload_fails_the_backup_and_leaves_nothing(home: Home, tmp_path: Path) -> None:
    blob = next(path for path in home.blobs_dir.rglob("*") if path.is_file())
    content = bytearray(blob.read_bytes())
    content[100] ^= 1
    blob.write_bytes(content)
    (tmp_path / "out").mkdir()
    with pytest.raises(Failed, match="changed on disk"):
        back_up(home, tmp_path / "out" / "backup")
    blob.unlink()
    with pytest.raises(Failed, match="missing"):
        back_up(home, tmp_path / "out" / "backup")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_damaged_database_fails_the_backup(home: Home, tmp_path: Path) -> None:
    content = bytearray(home.database.read_bytes())
    content[4096:] = bytes(len(content) - 4096)
    home.database.write_bytes(content)
    with pytest.raises(Failed, match="cannot be copied"):
        back_up(home, tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_a_saved_place_whose_state_is_gone_is_left_out(home: Home, tmp_path: Path) -> None:
    with sqlite3.connect(home.database) as connection:
        connection.execute(
            "INSERT INTO checkpoints (job, ordinal, fence, position, data, slot, at) "
            "VALUES (1, 1, 1, 5, '{}', ?, 0)",
            ("b" * 64,),
        )
    connection.close()
    back_up(home, tmp_path / "backup")
    copy = sqlite3.connect(tmp_path / "backup" / "regend.db")
    assert copy.execute("SELECT count(*) FROM checkpoints").fetchone() == (0,)
    copy.close()


def test_a_changed_file_is_noticed_and_the_home_untouched(home: Home, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    back_up(home, target)
    before = _fingerprint(home)
    for path in [path for path in target.rglob("*") if path.is_file()]:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(RegendError):
            restore(home, target)
        path.unlink()
        with pytest.raises(RegendError):
            restore(home, target)
        path.write_bytes(content)
    assert _fingerprint(home) == before


def test_a_truncated_archive_is_refused(home: Home, tmp_path: Path) -> None:
    target = tmp_path / "backup.tar"
    back_up(home, target)
    before = _fingerprint(home)
    content = target.read_bytes()
    for length in (0, 10, 600, len(content) // 2, len(content) * 9 // 10 // 512 * 512 - 100_000):
        target.write_bytes(content[: max(0, length)])
        with pytest.raises((BadInput, Failed)):
            restore(home, target)
    assert _fingerprint(home) == before


@pytest.mark.parametrize(
    "name", ["../escaped", "/tmp/escaped", "a/../../escaped", "a\\..\\b", "C:escaped"]
)
def test_an_archive_cannot_write_outside(home: Home, tmp_path: Path, name: str) -> None:
    evil = tmp_path / "evil.tar"
    with tarfile.open(evil, "w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 4
        archive.addfile(member, io.BytesIO(b"evil"))
    with pytest.raises(BadInput, match="it holds"):
        restore(home, evil)
    assert not list(tmp_path.rglob("escaped"))


def test_links_in_an_archive_are_refused(home: Home, tmp_path: Path) -> None:
    evil = tmp_path / "evil.tar"
    (tmp_path / "link").symlink_to("/etc/passwd")
    with tarfile.open(evil, "w") as archive:
        archive.add(tmp_path / "link", "manifest.json")
    with pytest.raises(BadInput, match="no backup"):
        restore(home, evil)


@pytest.mark.parametrize("kind", ["packed small", "with holes", "with a strange map"])
def test_an_archive_takes_no_more_room_than_it_has_itself(
    home: Home, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = tmp_path / "evil.tar"
    size = 64 * 1024 * 1024
    member = tarfile.TarInfo("regend.db")
    if kind == "packed small":
        member.size = size
        with tarfile.open(evil, "w:xz") as packed:
            packed.addfile(member, io.BytesIO(bytes(size)))
    else:
        # GNU's sparse format 0.1: a file of holes that only its map describes.
        holes = f"{size},0" if kind == "with holes" else "many"
        member.pax_headers = {"GNU.sparse.size": str(size), "GNU.sparse.map": holes}
        with tarfile.open(evil, "w", format=tarfile.PAX_FORMAT) as archive:
            archive.addfile(member)

    def unpack(*_: object) -> None:
        raise AssertionError("it was unpacked")

    monkeypatch.setattr(shutil, "copyfileobj", unpack)
    with pytest.raises(BadInput, match="no backup"):
        restore(home, evil)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names here")
@pytest.mark.parametrize("name", ["regend.db", "manifest.json"])
def test_a_backup_of_what_never_ends_is_refused(home: Home, tmp_path: Path, name: str) -> None:
    target = tmp_path / "backup"
    back_up(home, target)
    (target / name).unlink()
    os.mkfifo(target / name)
    with pytest.raises((BadInput, Failed)):
        restore(home, target)


def test_a_backup_of_a_newer_program_is_refused(home: Home, tmp_path: Path) -> None:
    back_up(home, tmp_path / "backup")
    manifest = tmp_path / "backup" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(BadInput, match="newer"):
        restore(home, tmp_path / "backup")


def test_a_database_file_alone_is_restored_and_blobs_stay(home: Home, tmp_path: Path) -> None:
    copy = tmp_path / "regend.db.before-0002"
    shutil.copy(home.database, copy)
    digest = _add_job(home, "second")
    restore(home, copy)
    assert _jobs(home.database) == ["first"]
    assert (home.blobs_dir / digest[:2] / digest).exists()


def test_a_database_that_is_damaged_is_replaced_and_kept(home: Home, saved: Path) -> None:
    home.database.write_bytes(b"no database at all")
    done = restore(home, saved)
    assert _jobs(home.database) == ["first"]
    assert done.set_aside is not None
    assert (done.set_aside / "regend.db").read_bytes() == b"no database at all"


def test_a_log_of_the_old_database_is_not_applied_to_the_restored_one(
    home: Home, saved: Path
) -> None:
    log = home.database.with_name("regend.db-wal")
    home.database.write_bytes(b"damaged")
    log.write_bytes(b"old log")
    done = restore(home, saved)
    assert not log.exists()
    assert done.set_aside is not None
    assert (done.set_aside / "regend.db-wal").read_bytes() == b"old log"


@pytest.mark.parametrize("kind", ["text", "empty", "folder", "packed"])
def test_what_is_no_backup_is_refused_in_plain_words_before_anything_else(
    home: Home, tmp_path: Path, kind: str
) -> None:
    source = tmp_path / "other"
    if kind == "folder":
        source.mkdir()
    elif kind == "packed":
        with tarfile.open(source, "w") as archive:
            archive.add(home.database, "regend.db")
    else:
        source.write_text("just a letter" if kind == "text" else "")
    lock = HomeLock(home.lock_file)
    try:
        with pytest.raises(BadInput):
            restore(home, source)
    finally:
        lock.release()
    with pytest.raises(BadInput) as refused:
        restore(home, source)
    assert str(source) in refused.value.message and "regend backup" in refused.value.hint
    assert "Error" not in refused.value.message and ".restore-" not in refused.value.message


def test_restore_is_refused_while_the_home_is_held(home: Home, saved: Path) -> None:
    lock = HomeLock(home.lock_file)
    try:
        with pytest.raises(Conflict):
            restore(home, saved)
    finally:
        lock.release()


def test_a_folder_that_does_not_exist_is_not_made_for_a_backup(home: Home, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no folder"):
        back_up(home, tmp_path / "mistyped" / "backup")
    assert not (tmp_path / "mistyped").exists()


def test_there_must_be_something_to_back_up_and_to_restore(tmp_path: Path) -> None:
    empty = Home.at(tmp_path / "empty")
    with pytest.raises(NotFound):
        back_up(empty, tmp_path / "backup")
    with pytest.raises(NotFound):
        restore(empty, tmp_path / "nowhere")


def test_a_running_daemon_is_backed_up_and_the_copy_runs(own_desk: Desk, tmp_path: Path) -> None:
    own_desk.start()
    job = own_desk.job("nap", "steps=200", "sleep_s=0.02")
    target = tmp_path / "of-a-running.tar"
    made = own_desk.run("backup", str(target))
    assert (made.returncode, made.stdout.strip()) == (0, str(target)), made.stderr
    refused = own_desk.run("restore", str(target))
    assert refused.returncode == 1
    assert "already runs" in refused.stderr and "regend stop" in refused.stderr
    own_desk.run("jobs", "cancel", job)
    own_desk.await_state(job, "cancelled")
    own_desk.stop()
    restored = own_desk.run("restore", str(target))
    assert restored.returncode == 0, restored.stderr
    assert "before-restore-" in restored.stderr
    own_desk.start()
    assert own_desk.state(job) in ("created", "running")
    own_desk.run("jobs", "cancel", job)
