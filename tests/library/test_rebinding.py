"""Names that lead inside, as the system's own resolver tells them: on a network made for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
APART = ("unshare", "--user", "--map-root-user", "--net", "--mount")


def may_be_apart() -> bool:
    """Tell whether this system lends a process a network of its own."""
    if sys.platform != "linux" or shutil.which(APART[0]) is None:
        return False
    return subprocess.run([*APART, "true"], capture_output=True).returncode == 0


if may_be_apart():

    @pytest.fixture(scope="module")
    def came() -> dict[str, Any]:
        """What came of each case."""
        child = subprocess.run(
            [*APART, sys.executable, "-m", "tests.library.elsewhere"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert child.returncode == 0, child.stderr
        found: dict[str, Any] = json.loads(child.stdout)
        return found

    def test_a_public_page_is_fetched_by_its_name(came: dict[str, Any]) -> None:
        assert came["a public page"] == "from 93.184.216.34"

    @pytest.mark.parametrize(
        "case",
        [
            "a name of this machine",
            "a name with a foot inside",
            "a redirect to a name of this machine",
            "a redirect to a name with a foot inside",
            "a redirect to a name that has turned inside",
        ],
    )
    def test_a_name_that_leads_inside_is_refused(came: dict[str, Any], case: str) -> None:
        assert came[case] == "address_not_public"

    def test_a_name_that_turns_inside_is_asked_for_once_and_taken_at_its_word(
        came: dict[str, Any],
    ) -> None:
        assert came["a name that turns inside after it was checked"] == "from 93.184.216.34"
        assert came["asked"]["turning.example"] == 2, "once for each of the two fetches"

    def test_nothing_ever_reached_the_private_server(came: dict[str, Any]) -> None:
        assert came["private"] == []
