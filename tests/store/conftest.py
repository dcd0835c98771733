"""Stores on a private home, closed with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from regend.home import Home
from regend.store import Store
from regend.store.writer import Probe, no_probe

Open = Callable[..., Store]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture
def open_store(home: Home) -> Iterator[Open]:
    """Return a function that opens the home's store; what is open is closed with the test."""
    stores: list[Store] = []

    def run(probe: Probe = no_probe) -> Store:
        store = Store(home, probe)
        stores.append(store)
        return store

    yield run
    for store in stores:
        store.close()
