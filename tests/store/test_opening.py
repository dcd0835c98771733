"""What opening a home meets: another daemon, no rights, damage, and nothing where much was."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from regend.errors import BadInput, Conflict, Failed, RegendError
from regend.home import Home
from regend.store import Store
from regend.store.connection import open_writer
from tests.store.conftest import Open
from tests.store.rows import fill, names, put

ROOT = Path(__file__).parents[2]
COUNT = 150  # with the schema fewer pages than SQLite folds in by itself


def child(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.store.child", *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def left_by_a_crash(home: Home, count: int = COUNT) -> None:
    """Leave a home whose daemon was killed: the log is full and not folded in."""
    with child("vanish", str(home.data_dir), str(count)) as process:
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert log_of(home).stat().st_size > 100_000


def log_of(home: Home) -> Path:
    return home.database.with_name("regend.db-wal")


def flip(path: Path, place: int, mask: int = 0x10) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        (byte,) = file.read(1)
        file.seek(place)
        file.write(bytes([byte ^ mask]))


def stored(home: Home) -> set[str]:
    store = Store(home)
    try:
        with store.reading() as connection:
            return names(connection)
    finally:
        store.close()


def test_a_second_daemon_is_told_who_holds_the_home_also_through_a_symlink(
    home: Home, tmp_path: Path
) -> None:
    link = tmp_path / "link"
    link.symlink_to(home.data_dir)
    with child("hold", str(home.data_dir)) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "open\n"
        for place in (home, Home.at(link), Home(link, link, link)):
            with pytest.raises(Conflict) as refused:
                Store(place)
            assert refused.value.code == "home_in_use"
            assert f"process {process.pid})" in refused.value.message
        process.stdin.close()
    Store(home).close()


def test_the_lock_of_a_killed_daemon_is_free(home: Home) -> None:
    left_by_a_crash(home)
    assert len(stored(home)) == COUNT


def test_a_store_that_was_closed_twice_does_not_free_what_another_holds(home: Home) -> None:
    first = Store(home)
    first.close()
    second = Store(home)
    first.close()
    with pytest.raises(Conflict):
        Store(home)
    second.close()


def test_a_home_that_cannot_be_written_is_said_with_the_remedy(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("in the way", encoding="utf-8")
    with pytest.raises(BadInput) as refused:
        Store(Home.at(blocked / "home"))
    assert refused.value.code == "home_not_writable"
    assert "REGEND_HOME" in refused.value.hint
    home = Home.at(tmp_path / "home")
    home.make()
    home.lock_file.mkdir()
    with pytest.raises(BadInput) as refused:
        Store(home)
    assert refused.value.code == "home_not_writable"


def test_what_is_in_the_way_of_the_database_is_said(home: Home) -> None:
    home.make()
    home.database.mkdir()
    with pytest.raises(RegendError) as refused:
        Store(home)
    assert refused.value.code in ("database_unusable", "disk_error")


def test_files_are_private_whatever_the_umask(home: Home) -> None:
    before = os.umask(0)
    try:
        store = Store(home)
        digest = store.blobs.put(b"private")
        modes = {
            path.name: path.stat().st_mode & 0o777
            for path in (home.database, log_of(home), home.lock_file, store.blobs.path(digest))
        }
        store.close()
    finally:
        os.umask(before)
    assert set(modes.values()) == {0o600}, modes
    assert home.data_dir.stat().st_mode & 0o777 == 0o700


def test_a_clean_close_leaves_the_database_in_one_file(open_store: Open, home: Home) -> None:
    store = open_store()
    with store.reading():
        pass
    store.close()
    assert not log_of(home).exists()


async def test_a_database_that_is_gone_or_empty_is_never_replaced_in_silence(
    open_store: Open, home: Home
) -> None:
    store = open_store()
    await store.write(lambda c: put(c, "a"))
    store.close()
    shutil.copy(home.database, home.data_dir / "kept")
    for ruin in (lambda: home.database.unlink(), lambda: home.database.write_bytes(b"")):
        ruin()
        with pytest.raises(Failed) as refused:
            Store(home)
        assert refused.value.code == "database_missing"
        shutil.copy(home.data_dir / "kept", home.database)
    assert stored(home) == {"a"}


def test_a_start_that_died_before_its_database_was_made_is_begun_again(home: Home) -> None:
    home.make()
    home.database.touch()
    assert stored(home) == set()


def test_what_is_no_database_is_left_as_it_is(home: Home) -> None:
    home.make()
    content = b"These are my notes.\n" * 1000
    home.database.write_bytes(content)
    with pytest.raises(Failed) as refused:
        Store(home)
    assert refused.value.code == "database_damaged"
    assert "regend restore" in refused.value.hint
    assert home.database.read_bytes() == content


def test_a_database_cut_short_is_refused_and_left_as_it_is(home: Home) -> None:
    left_by_a_crash(home)
    stored(home)
    whole = home.database.read_bytes()
    for length in (10, 99, 1024, 5000, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
        home.database.write_bytes(whole[:length])
        with pytest.raises(Failed) as refused:
            Store(home)
        assert refused.value.code == "database_damaged", length
        assert home.database.read_bytes() == whole[:length]


async def test_a_flipped_bit_in_the_database_never_makes_it_seem_empty(home: Home) -> None:
    left_by_a_crash(home)
    everything = stored(home)
    whole = home.database.read_bytes()
    chance = random.Random(7)
    refused = 0
    for number in range(60):
        home.database.write_bytes(whole)
        place = chance.randrange(len(whole))
        if number % 2:
            place = place // 4096 * 4096 + chance.randrange(12)  # the head of a page
        flip(home.database, place, 1 << chance.randrange(8))
        try:
            store = Store(home)
        except RegendError as error:
            assert error.code in ("database_damaged", "database_unusable", "database_newer")
            refused += 1
            continue
        try:
            found = await store.query(names)
            assert len(found) >= len(everything) - 1 or await store.verify() is not None
        except RegendError as error:
            assert error.code == "database_damaged"
        finally:
            store.close()
    assert refused


def test_a_flipped_bit_in_the_log_is_refused_instead_of_losing_what_was_acknowledged(
    home: Home,
) -> None:
    left_by_a_crash(home)
    kept = home.data_dir.with_name("kept")
    shutil.copytree(home.data_dir, kept)
    frame, size = 24 + 4096, log_of(home).stat().st_size
    places = [3, 18, 27, 32 + 2, 32 + 10, 32 + 20, 32 + 300, 32 + 40 * frame + 9, size // 2]
    for place in places:
        shutil.rmtree(home.data_dir)
        shutil.copytree(kept, home.data_dir)
        flip(log_of(home), place)
        damaged = log_of(home).read_bytes()
        for _ in range(2):
            with pytest.raises(Failed) as refused:
                Store(home)
            assert refused.value.code == "database_log_damaged", place
        assert log_of(home).read_bytes() == damaged
    os.truncate(log_of(home), int(refused.value.hint.split("truncate -s ")[1].split()[0]))
    assert 0 < len(stored(home)) < COUNT


def test_damage_to_the_last_write_of_the_log_is_told_and_the_rest_is_kept(
    home: Home, caplog: pytest.LogCaptureFixture
) -> None:
    left_by_a_crash(home)
    log = log_of(home)
    flip(log, log.stat().st_size - 100)
    damaged = log.read_bytes()
    assert len(stored(home)) == COUNT - 1
    (copy,) = home.data_dir.glob("regend.db-wal.cut-*")
    assert copy.read_bytes() == damaged
    assert str(copy) in caplog.text


def test_a_log_cut_anywhere_keeps_all_whole_transactions_before_the_cut(home: Home) -> None:
    left_by_a_crash(home)
    kept = home.data_dir.with_name("kept")
    shutil.copytree(home.data_dir, kept)
    size, last = log_of(home).stat().st_size, COUNT
    for length in (size - 1, size // 2, size // 3, 5000):
        shutil.rmtree(home.data_dir)
        shutil.copytree(kept, home.data_dir)
        os.truncate(log_of(home), length)
        try:
            found = stored(home)
        except Failed as error:
            assert error.code in ("database_missing", "database_damaged", "database_unusable")
            continue
        assert found == {f"row-{n}" for n in range(len(found))}
        # All are there too where the database itself had got them before the crash.
        assert len(found) < last or length == size - 1 or len(found) == COUNT
        last = len(found)


async def test_a_log_begun_anew_over_an_older_one_is_whole(home: Home) -> None:
    left_by_a_crash(home, 700)  # more than SQLite keeps in a log before it begins it anew
    assert len(stored(home)) == 700


def test_a_file_that_is_no_database_is_let_go(home: Home) -> None:
    home.make()
    home.database.write_bytes(b"no database" * 1000)
    with pytest.raises(sqlite3.DatabaseError) as refused:
        open_writer(home.database)
    held = {os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")}
    assert str(home.database) not in held, refused


async def test_damage_found_while_running_is_told_and_not_acknowledged(
    open_store: Open, home: Home
) -> None:
    store = open_store()
    await fill(store, 40)
    store.close()
    with home.database.open("r+b") as file:
        file.seek(4096 * 4)
        file.write(os.urandom(home.database.stat().st_size - 4096 * 4))
    connection = sqlite3.connect(home.database)
    with pytest.raises(sqlite3.DatabaseError):
        connection.execute("SELECT max(value) FROM settings").fetchone()
    connection.close()
    with pytest.raises(Failed) as refused:
        Store(home)
    assert refused.value.code == "database_damaged"
    assert home.database.exists()
