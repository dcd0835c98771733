"""The schema's history: ordered, named steps, each atomic with the record of having run.

Before the first step of an upgrade the database is copied to `regend.db.before-NAME`. A database
that holds steps which this program does not know is newer: it is refused and left untouched.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from sqlite_utils import Database, Migrations

from regend.errors import Refused
from regend.store.files import sync_file, sync_folder
from regend.store.migrations.access import access_tables
from regend.store.migrations.alarms import alarm_columns
from regend.store.migrations.arriving import arriving_index
from regend.store.migrations.coming import coming_tables
from regend.store.migrations.commands import command_tables
from regend.store.migrations.dropped import dropped_tables
from regend.store.migrations.histories import history_tables
from regend.store.migrations.introductions import introduction_tables
from regend.store.migrations.jobs import job_tables
from regend.store.migrations.library import library_tables
from regend.store.migrations.mesh import mesh_tables
from regend.store.migrations.places import place_tables
from regend.store.migrations.rebuild import rebuild_tables
from regend.store.migrations.unfit import unfit_tables

MIGRATIONS = Migrations("regend")
MIGRATIONS(name="0001_jobs")(job_tables)
MIGRATIONS(name="0002_library")(library_tables)
MIGRATIONS(name="0003_access")(access_tables)
MIGRATIONS(name="0004_commands")(command_tables)
MIGRATIONS(name="0005_rebuild")(rebuild_tables)
MIGRATIONS(name="0006_mesh")(mesh_tables)
MIGRATIONS(name="0007_places")(place_tables)
MIGRATIONS(name="0008_dropped")(dropped_tables)
MIGRATIONS(name="0009_histories")(history_tables)
MIGRATIONS(name="0010_alarms")(alarm_columns)
MIGRATIONS(name="0011_coming")(coming_tables)
MIGRATIONS(name="0012_introductions")(introduction_tables)
MIGRATIONS(name="0013_unfit")(unfit_tables)
MIGRATIONS(name="0014_arriving")(arriving_index)


def migrate(
    connection: sqlite3.Connection, path: Path, migrations: Migrations = MIGRATIONS
) -> list[str]:
    """Bring a database to the schema of this program.

    Args:
        connection: the writer's connection, in no transaction.
        path: the database file, for the backup beside it.
        migrations: the steps to bring it to.

    Returns:
        The names of the steps that ran.

    Raises:
        Refused: the database was written by a newer program.
    """
    database = Database(connection)
    refuse_newer(database, path, migrations)
    pending = [step.name for step in migrations.pending(database)]
    if pending and migrations.applied(database):
        _back_up(connection, path.with_name(f"{path.name}.before-{pending[0]}"))
    if pending:
        with database.atomic():  # table and index, or neither
            migrations.ensure_migrations_table(database)
        migrations.apply(database)
    return pending


def refuse_newer(database: Database, path: Path, migrations: Migrations = MIGRATIONS) -> None:
    """Read which steps a database holds.

    Raises:
        Refused: it was written by a newer program.
    """
    applied = {step.name for step in migrations.applied(database)}
    unknown = sorted(applied - {step.name for step in migrations._migrations})
    if unknown:
        raise Refused(
            "database_newer",
            f"{path} was written by a newer regend (it knows “{unknown[-1]}”).",
            hint="Upgrade regend. The database was left as it is.",
        )


def _back_up(connection: sqlite3.Connection, target: Path) -> None:
    """Copy the database to `target`, durably and whole or not at all.

    A copy of that name is replaced: it may be of an earlier upgrade that was taken back.
    """
    partial = target.with_name(target.name + ".partial")
    partial.unlink(missing_ok=True)
    copy = sqlite3.connect(partial)
    try:
        connection.backup(copy)
    finally:
        copy.close()
    partial.chmod(0o600)
    sync_file(partial)
    os.replace(partial, target)
    sync_folder(target.parent)
