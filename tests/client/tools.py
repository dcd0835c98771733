"""The programs that these tests need: node and Chromium.

Where one is missing the test is skipped and says so; with `REGEND_NO_SKIPS=1` it fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

HERE = Path(__file__).parent
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def run_node(*arguments: str, stdin: str = "") -> str:
    """Run node in the folder of these tests and return what it prints."""
    node = shutil.which("node")
    if node is None:
        missing("node is not installed: the JavaScript client is not tested")
    done = subprocess.run(
        [node, *arguments], input=stdin, capture_output=True, text=True, cwd=HERE, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def chromium() -> str:
    """Return the path of Chromium."""
    found = shutil.which("chromium")
    if found is None:
        missing("chromium is not installed: the client is not tested in a browser")
    return found


def missing(reason: str) -> NoReturn:
    """Skip the test, or fail where skips are forbidden."""
    if os.environ.get("REGEND_NO_SKIPS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
