"""A home with the real model, and a running host of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regend.clock import SystemClock
from regend.config import Config, ModelsConfig
from regend.home import Home
from regend.models.pool import ModelPool
from tests.embedded_model import cached_model, embedded_model_home


@pytest.fixture(scope="session")
def model_file() -> Path:
    return cached_model()


@pytest.fixture
def model_home(tmp_path: Path) -> Home:
    return embedded_model_home(Home.at(tmp_path / "home"))


def small_config(**changes: object) -> Config:
    """One thread: two that wait for each other crawl on a machine that others use too."""
    values: dict[str, object] = {"threads": 1, "discover": False, "memory_mb": 1200, **changes}
    return Config(models=ModelsConfig(**values))  # type: ignore[arg-type]


@pytest.fixture
async def pool(model_home: Home) -> AsyncIterator[ModelPool]:
    pool = ModelPool(model_home, small_config(), SystemClock())
    yield pool
    await pool.close()
    assert not asyncio.all_tasks() - {asyncio.current_task()}
