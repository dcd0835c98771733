"""Upgrades: from every earlier schema, killed anywhere, and never downwards."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlite_utils import Database, Migrations

from regend.errors import Refused
from regend.home import Home
from regend.store import Store
from regend.store.archive import DATABASE
from regend.store.backup import back_up
from regend.store.blobs import Blobs
from regend.store.connection import open_writer
from regend.store.migrations import MIGRATIONS, migrate
from regend.store.restore import restore
from tests.store.rows import names, put

ROOT = Path(__file__).parents[2]
STEPS = [step.name for step in MIGRATIONS._migrations]


def schema(path: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(
            "SELECT name, coalesce(sql, '') FROM sqlite_schema ORDER BY name"
        ).fetchall()
    finally:
        connection.close()


def made_by_an_earlier_program(home: Home, steps: int) -> None:
    """Make the database as the program had it when it knew the first `steps` steps."""
    home.make()
    earlier = Migrations("regend")
    for step in MIGRATIONS._migrations[:steps]:
        earlier(name=step.name)(step.fn)
    connection = open_writer(home.database)
    migrate(connection, home.database, earlier)
    put(connection, "kept")
    connection.close()


def killed(template: Path, step: int) -> list[Home]:
    """Return homes whose upgrade was killed before every `step`-th statement."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.store.child", "migrate", str(template), str(step)],
        cwd=ROOT,
        check=False,
    )
    assert child.returncode == 0
    return [Home.at(folder) for folder in template.parent.glob("killed-*")]


@pytest.mark.parametrize("steps", range(1, len(STEPS)))
def test_every_earlier_schema_is_brought_to_this_one_after_a_backup(
    home: Home, steps: int, tmp_path: Path
) -> None:
    made_by_an_earlier_program(home, steps)
    before = schema(home.database)
    store = Store(home)
    with store.reading() as connection:
        assert names(connection) == {"kept"}
    store.close()
    fresh = Home.at(tmp_path / "fresh")
    Store(fresh).close()
    assert schema(home.database) == schema(fresh.database)
    (copy,) = home.data_dir.glob("regend.db.before-*")
    assert copy.name == f"regend.db.before-{STEPS[steps]}"
    assert schema(copy) == before
    assert copy.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("steps", range(1, len(STEPS)))
def test_a_home_is_backed_up_before_it_is_upgraded(home: Home, steps: int, tmp_path: Path) -> None:
    """With all that its rows refer to; what is restored is upgraded at its start."""
    made_by_an_earlier_program(home, steps)
    digest = Blobs(home.blobs_dir).put(b'"large"')
    connection = open_writer(home.database)
    connection.execute("PRAGMA foreign_keys = OFF")  # a step alone will do
    connection.execute(
        "INSERT INTO steps (job, ordinal, name, input_hash, fence, result, started_at, "
        "duration_ms) VALUES (1, 1, 's', '', 1, ?, 1, 1)",
        ("@" + digest,),
    )
    connection.close()
    before = schema(home.database)
    back_up(home, tmp_path / "saved")
    assert schema(home.database) == before == schema(tmp_path / "saved" / DATABASE)
    restored = Home.at(tmp_path / "restored")
    restore(restored, tmp_path / "saved")
    store = Store(restored)
    try:
        assert store.blobs.get(digest) == b'"large"'
        with store.reading() as reader:
            assert names(reader) == {"kept"}
    finally:
        store.close()


def test_a_first_start_makes_no_backup(home: Home) -> None:
    Store(home).close()
    assert not list(home.data_dir.glob("regend.db.before-*"))


def test_an_upgrade_killed_before_any_statement_goes_on_at_the_next_start(home: Home) -> None:
    made_by_an_earlier_program(home, 1)
    attempts = killed(home.database, 3)
    Store(home).close()
    assert len(attempts) > 5
    for attempt in attempts:
        assert "jobs" in [name for name, _ in schema(attempt.database)]
        store = Store(attempt)
        with store.reading() as connection:
            assert names(connection) == {"kept"}
        store.close()
        assert schema(attempt.database) == schema(home.database)
        assert list(attempt.data_dir.glob("regend.db.before-*"))


def test_a_first_start_killed_before_any_statement_is_begun_again(home: Home) -> None:
    home.make()
    home.database.touch()
    attempts = killed(home.database, 4)
    Store(home).close()
    assert len(attempts) > 5
    for attempt in attempts:
        Store(attempt).close()
        assert schema(attempt.database) == schema(home.database)


def test_a_backup_is_of_the_database_that_is_upgraded_not_of_an_earlier_one(home: Home) -> None:
    made_by_an_earlier_program(home, 2)
    old = home.data_dir / f"regend.db.before-{STEPS[2]}"
    sqlite3.connect(old).close()
    old.write_bytes(b"an upgrade of long ago")
    Store(home).close()
    connection = sqlite3.connect(old)
    assert names(connection) == {"kept"}
    connection.close()


def test_the_places_of_documents_are_those_of_files_and_nothing_that_may_be_a_capture(
    home: Home,
) -> None:
    made_by_an_earlier_program(home, STEPS.index("0007_places"))
    rows = [
        ("1", "/notes/a.md", 0, 1),
        ("2", "upload.md", 0, 1),
        ("3", "https://a.example/", 1, 1),
        ("4", "/tmp/capture", 1, 1),
        ("5", "/notes/a.md", 0, 1),
        ("6", "/notes/begun.md", 0, 0),
    ]
    connection = sqlite3.connect(home.database)
    with connection:
        connection.executemany(
            "INSERT INTO documents (id, user, source, untrusted, complete, digest, title,"
            " media_type, language, size_bytes, characters, passages, added_at)"
            " VALUES (?, 'owner', ?, ?, ?, random(), '', '', '', 0, 0, 0, 0)",
            rows,
        )
    connection.close()
    store = Store(home)
    with store.reading() as connection:
        kept = connection.execute(
            "SELECT d.id, p.place, p.is_place FROM document_places p"
            " JOIN documents d ON d.number = p.document ORDER BY d.id"
        ).fetchall()
    store.close()
    assert [tuple(row) for row in kept] == [
        ("2", "upload.md", 0),
        ("3", "https://a.example/", 0),
        ("4", "/tmp/capture", 0),
        ("5", "/notes/a.md", 1),
    ]


def test_a_step_that_fails_is_undone_and_leaves_the_database_as_it_was(home: Home) -> None:
    made_by_an_earlier_program(home, len(STEPS))
    before = schema(home.database)

    def fail(database: Database) -> None:
        database.execute("CREATE TABLE half (x)")
        raise sqlite3.OperationalError("no further")

    broken = Migrations("regend")
    for step in MIGRATIONS._migrations:
        broken(name=step.name)(step.fn)
    broken(name="9998_fails")(fail)
    connection = open_writer(home.database)
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, home.database, broken)
    connection.close()
    assert schema(home.database) == before


@pytest.mark.parametrize("folded", [True, False])
def test_a_newer_database_is_refused_and_untouched_byte_for_byte(home: Home, folded: bool) -> None:
    Store(home).close()
    connection = sqlite3.connect(home.database, isolation_level=None)
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('regend', ?, '')",
        ("9999_from_the_future",),
    )
    log = home.database.with_name("regend.db-wal")
    content = None if folded else log.read_bytes()
    if folded:
        connection.execute("PRAGMA journal_mode = DELETE")
    before = home.database.read_bytes()
    if not folded:
        kept = home.database.read_bytes()
        connection.close()
        home.database.write_bytes(kept)
        assert content is not None
        log.write_bytes(content)
    else:
        connection.close()
    with pytest.raises(Refused) as refused:
        Store(home)
    assert "9999_from_the_future" in refused.value.message
    assert home.database.read_bytes() == before
    if content is not None:
        assert log.read_bytes() == content
    assert not list(home.data_dir.glob("regend.db.before-*"))
