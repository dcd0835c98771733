"""Where a home is, whatever the environment says."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import platformdirs
import pytest

from regend.errors import BadInput
from regend.home import Home


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The /tmp that all users share."""
    monkeypatch.delenv("REGEND_HOME", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_no_runtime_folder_in_the_shared_one_is_used(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As platformdirs answers where there is no /run/user, without a warning from the second time.
    named = shared / "runtime-1000" / "regend"
    monkeypatch.setattr(platformdirs, "user_runtime_dir", lambda *_, **__: str(named))
    home = Home.find()
    assert home.runtime_dir == home.data_dir / "run"


def test_a_runtime_folder_that_another_user_made_is_not_in_the_way(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError("runtime directory is owned by another")

    monkeypatch.setattr(platformdirs, "user_runtime_dir", refuse)
    home = Home.find()
    assert home.runtime_dir == home.data_dir / "run"


@pytest.mark.skipif(sys.platform == "win32", reason="symlinks there need a right")
def test_a_home_that_leads_nowhere_is_named_with_the_remedy(tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    for place in (str(circle), "~nobody-of-this-name/home"):
        with pytest.raises(BadInput) as refused:
            Home.find({"REGEND_HOME": place}).make()
        assert place in refused.value.message and "REGEND_HOME" in refused.value.hint
