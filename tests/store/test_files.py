"""Private files that are written in one piece."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from regend.store import files


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    files.replace(file, b"old")

    def power_cut(descriptor: int) -> None:
        raise OSError("the disk is gone")

    with monkeypatch.context() as patched, pytest.raises(OSError):
        patched.setattr(os, "fsync", power_cut)
        files.replace(file, b"new")
    assert file.read_bytes() == b"old"
    files.replace(file, b"newer")
    assert file.read_bytes() == b"newer" and os.listdir(tmp_path) == ["token"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such modes")
def test_only_its_owner_may_read_it_also_where_a_draft_was_left_that_others_could(
    tmp_path: Path,
) -> None:
    draft = tmp_path / "token.new"
    draft.write_bytes(b"left")
    draft.chmod(0o666)
    files.replace(tmp_path / "token", b"secret")
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600
