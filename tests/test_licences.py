"""The list of licences names what the lock files install, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_every_locked_package_has_its_licence_on_record() -> None:
    locked = {
        match.group(1)
        for name in ("requirements.lock", "requirements-test.lock")
        for match in re.finditer(
            r"^([\w.-]+)==", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    table = (ROOT / "LICENSES.md").read_text(encoding="utf-8")
    listed = {match.group(1) for match in re.finditer(r"^\| ([\w.-]+) \|", table, re.MULTILINE)}
    assert locked <= listed
    assert listed - locked == {"package"}


def test_lock_files_carry_hashes_and_no_addresses() -> None:
    for name in ("requirements.lock", "requirements-test.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert text.count("--hash=sha256:") > text.count("==")
        assert "://" not in text
