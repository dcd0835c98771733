"""A real store and an importer for each test that asks for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils import Database

from regend.clock import SystemClock
from regend.config import LibraryConfig
from regend.home import Home
from regend.library.importer import Importer
from regend.store.migrations.library import library_tables
from regend.store.migrations.places import place_tables
from regend.store.migrations.rebuild import rebuild_tables
from regend.store.store import Store


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    """An empty library in memory."""
    opened = sqlite3.connect(":memory:", isolation_level=None)
    library_tables(Database(opened))
    rebuild_tables(Database(opened))
    place_tables(Database(opened))
    yield opened
    opened.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in a home of its own."""
    opened = Store(Home.at(tmp_path / "home"))
    yield opened
    opened.close()


@pytest.fixture
async def importer(store: Store) -> Importer:
    """An importer that may go to loopback."""
    config = LibraryConfig(max_upload_mb=60, allow_private_addresses=True)
    importer = Importer(store, SystemClock(), config)
    await importer.start()
    return importer
