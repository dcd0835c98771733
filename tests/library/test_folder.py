"""What is found in a folder, and what is passed over with a reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regend.errors import BadInput, NotFound
from regend.library.folder import Unreadable, find_files, printable


def test_files_are_found_at_every_depth_and_what_is_passed_over_has_its_reason(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "docs"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "one.md").write_text("One", encoding="utf-8")
    (folder / "deep" / "er" / "two.txt").write_text("Two", encoding="utf-8")
    (folder / "picture.png").write_bytes(b"\x89PNG\0\0")
    (folder / ".hidden.md").write_text("hidden", encoding="utf-8")
    (folder / "inside.md").symlink_to(folder / "one.md")
    (folder / "circle").symlink_to(folder)
    (folder / "outside.md").symlink_to("/etc/hostname")
    (folder / "nowhere.md").symlink_to(folder / "missing")
    found = list(find_files(folder))
    files = [one.relative_to(folder.resolve()) for one in found if isinstance(one, Path)]
    assert [str(file) for file in files] == [
        *("inside.md", "one.md", "picture.png", os.path.join("deep", "er", "two.txt"))
    ]
    refused = [one for one in found if isinstance(one, Unreadable)]
    assert all(one.reason for one in refused)
    assert {Path(one.source).name: one.code for one in refused} == {
        ".hidden.md": "hidden",
        "circle": "link_not_followed",
        "outside.md": "link_leads_out",
        "nowhere.md": "link_broken",
    }


def test_a_name_in_no_encoding_can_be_shown(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"bad\xffname.md")).write_text("x", encoding="utf-8")
    (file,) = find_files(tmp_path)
    assert isinstance(file, Path)
    assert file.read_text(encoding="utf-8") == "x"
    assert printable(file).endswith("bad\ufffdname.md")


def test_a_folder_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        list(find_files(tmp_path / "missing"))
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        list(find_files(tmp_path / "file"))
    assert caught.value.code == "not_a_folder"
