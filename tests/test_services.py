"""What workers may call, and how the library is made ready behind it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from regend.clock import SystemClock
from regend.config import Config, ModelsConfig
from regend.home import Home
from regend.jobs.attempt import Attempt
from regend.library.importer import Importer
from regend.services import Services
from regend.store import Store
from tests.embedded_model import MODEL, embedded_model_home


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = Store(Home.at(tmp_path / "home"))
    yield opened
    opened.close()


@pytest.fixture
def model_home(tmp_path: Path) -> Home:
    return embedded_model_home(Home.at(tmp_path / "home"))


async def is_ready(store: Store) -> bool:
    def rows(connection: sqlite3.Connection) -> bool:
        return bool(connection.execute("SELECT * FROM library_index").fetchall())

    return await store.query(rows)


def services_of(store: Store, tmp_path: Path) -> Services:
    return Services(store, Home.at(tmp_path / "home"), Config(), SystemClock())


async def test_the_library_is_made_ready_once_the_store_no_longer_refuses(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("regend.services._LIBRARY_WAITS_S", (0.01,))
    await store.write(
        lambda c: c.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON library_index"
            " BEGIN SELECT RAISE(ABORT, 'not now'); END"
        )
    )
    services = services_of(store, tmp_path)
    services.start()
    try:
        while caplog.text.count("not now") < 3:
            await asyncio.sleep(0.01)
        assert not await is_ready(store)
        await store.write(lambda c: c.execute("DROP TRIGGER refuse"))
        while not await is_ready(store):
            await asyncio.sleep(0.01)
    finally:
        await services.stop()


async def test_what_goes_wrong_in_making_the_library_ready_is_in_the_log(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    services = services_of(store, tmp_path)

    async def broken() -> None:
        raise ZeroDivisionError("a fault of the program")

    services.importer.start = broken  # type: ignore[method-assign]
    services.start()
    try:
        while "a fault of the program" not in caplog.text:
            await asyncio.sleep(0.01)
    finally:
        await services.stop()


async def test_a_job_that_names_its_sources_searches_in_these_alone(
    store: Store, tmp_path: Path
) -> None:
    services = services_of(store, tmp_path)
    importer = Importer(store, SystemClock(), Config().library)
    added = [await importer.import_file(b"Shared words %d." % i, f"{i}.md", "asha") for i in (1, 2)]
    asked = type("Asked", (), {"claim": SimpleNamespace(job=1, user="asha")})
    attempt = cast(Attempt, asked())
    find = services.table()["library.search"]
    for sources in ([added[1].document.id], None):
        arguments: dict[str, Any] = {"question": "shared words", "sources": sources}
        found = {hit["document_id"] for hit in await find(attempt, arguments)}
        assert found == (set(sources) if sources else {one.document.id for one in added})
    await services.stop()


class _Attempt:
    """As much of an attempt as a lease of a model is given to."""

    claim = SimpleNamespace(id="job", priority=0)
    cancelled = False


async def test_an_attempt_that_asks_for_its_model_again_does_not_wait_for_itself(
    model_home: Home, store: Store
) -> None:
    config = Config(models=ModelsConfig(slots=1, threads=1, discover=False))
    services = Services(store, model_home, config, SystemClock())
    attempt = cast(Attempt, _Attempt())
    acquire = services.table()["model.acquire"]
    try:
        first = await acquire(attempt, {"model": MODEL})
        async with asyncio.timeout(30):
            again = await acquire(attempt, {"model": MODEL})
        assert again["id"] != first["id"]
        services.attempt_ended(attempt)
        async with asyncio.timeout(30):
            await acquire(cast(Attempt, _Attempt()), {"model": MODEL})
    finally:
        await services.stop()
