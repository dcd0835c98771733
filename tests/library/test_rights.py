"""A folder in which not everything may be read: the rest is found, what is closed is named."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from regend.library.folder import Unreadable, find_files

NOBODY = 65534


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody reaches: those of pytest are closed to all but who runs it."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o755)
    (made / "open.md").write_text("Open.", encoding="utf-8")
    (made / "closed.md").write_text("Closed.", encoding="utf-8")
    (made / "closed.md").chmod(0)
    (made / "cellar").mkdir()
    (made / "cellar" / "wine.md").write_text("Wine.", encoding="utf-8")
    (made / "cellar").chmod(0)
    (made / "last.md").write_text("Last.", encoding="utf-8")
    yield made
    (made / "cellar").chmod(0o700)
    shutil.rmtree(made)


@contextlib.contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    """Give up what root may; others have nothing to give up."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_what_may_not_be_read_is_named_and_the_rest_is_found(folder: Path) -> None:
    with as_an_ordinary_user():
        found = list(find_files(folder))
        files = [one for one in found if isinstance(one, Path)]
        assert [file.name for file in files] == ["closed.md", "last.md", "open.md"]
        (refused,) = (one for one in found if isinstance(one, Unreadable))
        assert Path(refused.source).name == "cellar" and refused.reason
        assert refused.code == "file_unreadable"
