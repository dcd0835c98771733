"""A full disk: no false acknowledgement, reads go on, and it heals without a restart."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.disk import CASES

ROOT = Path(__file__).parents[2]


def try_case(case: str, folder: Path, kind: str) -> None:
    child = subprocess.run(
        [sys.executable, "-m", "tests.store.disk", case, str(folder), kind],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert child.stdout.strip().endswith("ok"), child.stderr


@pytest.mark.parametrize("case", CASES)
def test_files_that_may_not_grow_lose_nothing_that_was_acknowledged(
    case: str, tmp_path: Path
) -> None:
    try_case(case, tmp_path, "limited")


if os.geteuid() == 0 and sys.platform == "linux":

    @pytest.fixture
    def small_disk(tmp_path: Path) -> Iterator[Path]:
        folder = tmp_path / "disk"
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=True)
        yield folder
        subprocess.run(["umount", folder], check=True)

    @pytest.mark.parametrize("case", CASES)
    def test_a_real_disk_that_is_full_loses_nothing_that_was_acknowledged(
        case: str, small_disk: Path
    ) -> None:
        try_case(case, small_disk, "small")
