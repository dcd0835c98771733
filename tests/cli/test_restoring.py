"""What a restore keeps: what it replaces, what was revoked, and the home where it cannot go on."""

from __future__ import annotations

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from regend.errors import BadInput, Busy, NotFound, Refused
from regend.home import Home
from regend.store import Store, archive
from regend.store import restore as restoring
from regend.store.backup import back_up
from regend.store.files import write
from regend.store.restore import restore


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home.at(tmp_path / "home")
    made.make()
    Store(made).close()
    made.token_file.write_text("first token")
    (made.keys_dir / "device").write_bytes(b"first key")
    return made


@pytest.fixture
def saved(home: Home, tmp_path: Path) -> Path:
    back_up(home, tmp_path / "saved", with_keys=True)
    return tmp_path / "saved"


def _execute(database: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database)) as connection, connection:
        return connection.execute(statement).fetchall()


def test_no_restore_takes_the_keys_that_an_earlier_one_put_aside(home: Home, saved: Path) -> None:
    aside = []
    for content in ("second", "third"):
        home.token_file.write_text(f"{content} token")
        (home.keys_dir / "device").write_text(f"{content} key")
        done = restore(home, saved)
        assert done.set_aside is not None
        aside.append(done.set_aside)
    assert [(one / "token").read_text() for one in aside] == ["second token", "third token"]
    kept = [(one / "keys" / "device").read_text() for one in aside]
    assert kept == ["second key", "third key"]
    assert [path.name for path in home.keys_dir.iterdir()] == ["device"]  # and no backup has more


def test_settings_are_put_aside_where_there_is_no_database_yet(home: Home, saved: Path) -> None:
    home.database.unlink()
    home.token_file.write_text("mine")
    done = restore(home, saved)
    assert done.set_aside is not None
    assert (done.set_aside / "token").read_text() == "mine"


@pytest.mark.parametrize("room", [0, 1])
def test_a_disk_that_is_full_leaves_every_key_in_its_place(
    home: Home, saved: Path, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.token_file.write_text("present token")
    (home.keys_dir / "device").write_bytes(b"present key")
    written: list[Path] = []

    def write_while_there_is_room(path: Path, content: bytes) -> None:
        if len(written) >= room:
            raise OSError(28, "No space left on device", str(path))
        written.append(path)
        write(path, content)

    monkeypatch.setattr(restoring, "write", write_while_there_is_room)
    with pytest.raises(Busy):
        restore(home, saved)
    assert home.token_file.read_text() == "present token"
    assert (home.keys_dir / "device").read_bytes() == b"present key"
    assert [path.name for path in home.keys_dir.iterdir()] == ["device"]


def test_a_token_stays_revoked_though_the_backup_is_older(home: Home, saved: Path) -> None:
    for database in (home.database, saved / "regend.db"):
        _execute(
            database,
            "INSERT INTO tokens (id, user, scope, name, created_at) VALUES"
            " ('lost', 'owner', '*', '', 1), ('kept', 'owner', '*', '', 1)",
        )
    back_up(home, saved.with_name("later"))
    _execute(home.database, "UPDATE tokens SET revoked_at = 7 WHERE id = 'lost'")
    restore(home, saved.with_name("later"))
    found = _execute(home.database, "SELECT id, revoked_at FROM tokens ORDER BY id")
    assert found == [("kept", None), ("lost", 7)]


def test_a_damaged_home_is_replaced_though_its_tokens_cannot_be_read(
    home: Home, saved: Path
) -> None:
    home.database.write_bytes(b"nothing of SQLite's" * 1000)
    restore(home, saved)
    assert _execute(home.database, "SELECT count(*) FROM jobs") == [(0,)]


def test_the_database_of_a_newer_program_is_refused_while_the_home_stands(
    home: Home, tmp_path: Path
) -> None:
    newer = Home.at(tmp_path / "newer")
    newer.make()
    Store(newer).close()
    _execute(
        newer.database,
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at)"
        " VALUES ('regend', '9999_future', '')",
    )
    back_up(newer, tmp_path / "of-newer")
    before = home.database.read_bytes()
    with pytest.raises(Refused, match="newer regend"):
        restore(home, tmp_path / "of-newer")
    assert home.database.read_bytes() == before
    assert not list(home.data_dir.glob("*restore-*"))


def test_what_a_killed_restore_left_is_removed_by_the_next(home: Home, saved: Path) -> None:
    left = home.data_dir / ".restore-killed"
    (left / "whole").mkdir(parents=True)
    (left / "whole" / "regend.db").write_bytes(b"half")
    restore(home, saved)
    assert not left.exists()


def test_a_place_of_a_user_who_does_not_exist_is_not_there(home: Home) -> None:
    nobody = Path("~nobody-of-this-name") / "backup"
    assert os.path.expanduser(nobody) == str(nobody)
    with pytest.raises(NotFound):
        restore(home, nobody)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such pipes there")
def test_a_pipe_is_no_backup_and_nobody_waits_for_it(home: Home, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="neither a file nor a folder"):
        restore(home, tmp_path / "pipe")


def test_a_manifest_that_would_fill_the_memory_is_refused(
    home: Home, saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (saved / "manifest.json").stat().st_size
    monkeypatch.setattr(archive, "_MANIFEST_BYTES", size)
    restore(home, saved)
    with (saved / "manifest.json").open("a", encoding="utf-8") as file:
        file.write(" ")
    with pytest.raises(BadInput, match="manifest is too large"):
        restore(home, saved)
