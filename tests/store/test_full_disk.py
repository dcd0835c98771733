"""A full disk: no false acknowledgement, reads go on, and it heals without a restart."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regend.config import Config, ModelsConfig, ServerConfig
from regend.daemon import Daemon
from regend.errors import Busy
from regend.home import Home
from regend.maintenance import Maintenance
from regend.store import files
from tests.store.disk import CASES, FileSizeLimit, SmallDisk

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


def test_a_file_that_finds_no_room_is_named_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    files.replace(tmp_path / "token", b"old")
    disk = FileSizeLimit(tmp_path)
    disk.fill(0)
    try:
        with pytest.raises(OSError) as refused:
            files.replace(tmp_path / "token", b"much longer than the old one")
    finally:
        disk.free()
    assert refused.value.filename == str(tmp_path / "token")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("token", b"old")]


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

    def test_a_start_that_finds_no_room_says_where_and_what_to_do_and_leaves_nothing(
        small_disk: Path,
    ) -> None:
        home = Home.at(small_disk / "home")
        home.make()
        SmallDisk(small_disk).fill(0)
        child = subprocess.run(
            [sys.executable, "-P", "-m", "regend", "serve", "--port=0"],
            cwd=ROOT,
            env={**os.environ, "REGEND_HOME": str(home.data_dir)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert child.returncode == 1
        assert str(home.data_dir) in child.stderr and "Free some space" in child.stderr
        assert not list(home.data_dir.rglob("*.new"))

    async def test_a_daemon_that_cannot_say_where_it_serves_names_the_file_and_leaves_nothing(
        small_disk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        home = Home.at(small_disk / "home")
        home.make()
        disk, last_step = SmallDisk(small_disk), Maintenance.start

        def start(maintenance: Maintenance, *arguments: Any) -> None:
            last_step(maintenance, *arguments)
            disk.fill(0)

        monkeypatch.setattr(Maintenance, "start", start)
        config = Config(server=ServerConfig(port=0), models=ModelsConfig(discover=False))
        with pytest.raises(Busy) as refused:
            await Daemon(home, config).start()
        assert refused.value.code == "disk_full"
        assert str(home.daemon_file) in refused.value.message
        assert str(home.runtime_dir) in refused.value.hint
        assert not list(home.runtime_dir.glob("daemon.json*"))
