"""The disk of a device is full while others tell it things: it says so, and loses none of them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from regend.limits import MIB
from tests.crash.household import Household
from tests.store.disk import SmallDisk

if os.geteuid() == 0 and sys.platform == "linux":

    @pytest.fixture
    def household(tmp_path: Path) -> Iterator[Household]:
        """Two homes; that of the second is on a disk of 24 MB."""
        disk = tmp_path / "two"
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], check=True)
        try:
            made = Household(tmp_path)
            made.pair().until_level()
            yield made
            made.close()
        finally:
            subprocess.run(["umount", "--lazy", disk], check=True)

    def submit(household: Household, seed: int, *, large: bool) -> str:
        """Let the first device do a job; a large one has an input that goes as a payload."""
        text = random.Random(seed).randbytes(MIB if large else 4000).hex()
        given = {"steps": 2, "ballast": text}
        created = household.one.call("POST", "/jobs", {"type": "count", "input": given})
        return str(created["id"])

    def seen(household: Household, job: str) -> Any:
        status, shown = household.two.ask("GET", f"/jobs/{job}")
        return status == 200 and shown["state"] == "completed"

    def says_that_it_is_full(household: Household) -> bool:
        words = household.two.last_words()
        return "cannot be stored" in words and "disk is full" in words

    def all_is_here(household: Household, jobs: list[str]) -> None:
        one, two = household.houses
        for job in jobs:
            household.until(lambda job=job: seen(household, job))  # type: ignore[misc]
            assert household.told(one, job) == household.told(two, job)
        household.until(lambda: two.rows("SELECT count(*) FROM wanted_blobs") == [(0,)])
        household.until_level()
        assert two.rows("PRAGMA integrity_check") == [("ok",)]

    @pytest.mark.parametrize("killed", [False, True])
    def test_a_full_disk_loses_nothing_that_others_tell(household: Household, killed: bool) -> None:
        two = household.two
        disk = SmallDisk(two.home.data_dir)
        before = submit(household, 1, large=False)
        household.until(lambda: seen(household, before))
        disk.fill(room_bytes=64 * 1024)
        jobs = [submit(household, seed, large=seed % 3 == 0) for seed in range(2, 14)]
        household.until(lambda: says_that_it_is_full(household))
        assert seen(household, before), "what is here can be read"
        time.sleep(2.0)  # it stays full for longer than one try
        if killed:
            two.kill()
        disk.free()
        if killed:
            two.start()
        all_is_here(household, [before, *jobs])

    def test_a_payload_that_has_no_room_comes_once_there_is_some(household: Household) -> None:
        two = household.two
        disk = SmallDisk(two.home.data_dir)
        disk.fill(room_bytes=4 * MIB)
        job = submit(household, 3, large=True)
        household.until(lambda: seen(household, job))  # rows have room, the payload has not
        household.until(lambda: "payloads of other devices wait" in two.last_words())
        assert two.rows("SELECT count(*) FROM wanted_blobs") == [(1,)]
        disk.free()
        all_is_here(household, [job])
