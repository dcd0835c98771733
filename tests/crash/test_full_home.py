"""A home whose disk is full while a model writes: nothing is lost, and it heals by itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.crash.house import Down, House
from tests.crash.test_model_kills import Writer
from tests.store.disk import SmallDisk

if os.geteuid() == 0 and sys.platform == "linux":

    @pytest.fixture
    def writer(tmp_path: Path) -> Iterator[Writer]:
        """A house on a disk of 48 MB; the model lies on another."""
        disk, models = tmp_path / "disk", tmp_path / "models"
        disk.mkdir()
        models.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", disk], check=True)
        try:
            (disk / "home").mkdir()
            (disk / "home" / "models").symlink_to(models)
            writer = Writer(disk)
            yield writer
            writer.house.stop()
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)

    def checkpoints(house: House, job: str) -> list[dict[str, Any]]:
        places: list[dict[str, Any]] = house.call("GET", f"/jobs/{job}/checkpoints")["checkpoints"]
        return places

    def test_a_place_to_go_on_from_that_cannot_be_saved_costs_no_token(writer: Writer) -> None:
        house = writer.house
        disk = SmallDisk(house.home.data_dir.parent)
        job = writer.submit()
        while not checkpoints(house, job):
            time.sleep(0.01)
        disk.fill(room_bytes=8192)
        time.sleep(3.0)  # the disk stays full for longer than the text takes
        shown = house.call("GET", f"/jobs/{job}")
        assert shown["state"] == "running", "reads go on, and nothing is acknowledged"
        with pytest.raises(Down):
            writer.submit()
        disk.free()
        writer.assert_undisturbed(job)
        writer.assert_undisturbed(writer.submit())
        assert not list(house.home.slots_dir.iterdir()), "no half of a saved place is left"

    def test_a_daemon_killed_on_a_full_disk_goes_on_at_the_same_token(writer: Writer) -> None:
        house = writer.house
        disk = SmallDisk(house.home.data_dir.parent)
        job = writer.submit()
        while not checkpoints(house, job):
            time.sleep(0.01)
        disk.fill(room_bytes=0)
        time.sleep(0.5)
        house.kill()
        disk.free()
        house.start()
        writer.assert_undisturbed(job)

    def test_a_start_that_not_even_its_log_has_room_for_says_that_the_disk_is_full(
        writer: Writer,
    ) -> None:
        home = writer.house.home
        writer.house.kill()
        (home.data_dir / "daemon.log").unlink(missing_ok=True)
        disk = SmallDisk(home.data_dir.parent)
        disk.fill(room_bytes=0)
        command = [sys.executable, "-m", "regend", "serve", "--background", "--port", "0"]
        environment = {**os.environ, "REGEND_HOME": str(home.data_dir)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 1 and "the disk is full" in done.stderr
        assert "Free some space" in done.stderr and "Traceback" not in done.stderr
        disk.free()
        writer.house.start()
