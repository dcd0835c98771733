"""The real embedded model for tests: pulled once into a cache, then linked into each test's home.

The cache is `$REGEND_TEST_CACHE`, or `scratch/cache` of the checkout. Later runs need no network.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from pathlib import Path

from regend.home import Home
from regend.models import catalogue
from regend.models.pull import pull

MODEL = "smollm2-135m"


def cache_folder() -> Path:
    """Return the folder that survives test runs."""
    named = os.environ.get("REGEND_TEST_CACHE")
    return Path(named) if named else Path(__file__).resolve().parents[1] / "scratch" / "cache"


def cached_model() -> Path:
    """Return the GGUF in the cache, pulled by the product's own means where it is not there."""
    home = Home.at(cache_folder())
    home.make()
    with (home.data_dir / "pull.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test runs at once are one download
        return asyncio.run(pull(catalogue.resolve(MODEL, home), home))


def embedded_model_home(home: Home) -> Home:
    """Install the cached model into a test's home and return that home."""
    home.make()
    source = cached_model()
    for file in (source, catalogue.record_path(source)):
        target = home.models_dir / file.name
        if target.exists():
            continue
        try:
            os.link(file, target)
        except OSError:
            shutil.copy2(file, target)
    return home
