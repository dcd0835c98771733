"""SIGKILL in mid-pairing: whoever died, the person invites again and joins, and all is known.

A device that was let in and did not hear of it is seen where it was let in, and can be put out.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.crash.house import Down, House
from tests.crash.household import Household

# Of the inviter: it receives twice and sends twice. Of the joiner the same, the other way round.
STAGES = [
    (point, hit)
    for point in ("pairing:after-receive", "pairing:before-send", "pairing:after-send")
    for hit in (1, 2)
]
COMMITS = [(f"commit:{side}", hit) for hit in (1, 2, 3) for side in ("before", "after")]


@pytest.fixture
def household(tmp_path: Path) -> Iterator[Household]:
    made = Household(tmp_path)
    yield made
    made.close()


def devices(house: House) -> dict[str, dict[str, Any]]:
    """Return the devices that count as members where they are asked of, by name."""
    shown = house.call("GET", "/devices")["devices"]
    assert len({one["name"] for one in shown}) == len(shown)
    return {one["name"]: one for one in shown if not one["revoked"]}


def live_through(household: Household, who: str, point: str, hit: int, *, revoke: bool) -> None:
    """Let one die while they pair; then let them pair, and part again.

    Args:
        revoke: whether the half member is put out before it joins again, where there is one.
    """
    one, two = household.houses
    victim = one if who == "inviter" else two
    one.call("POST", "/devices/invite", {})  # the mesh is there: what is counted is the pairing
    victim.arm(point, hit)
    with suppress(Down):
        household.join()
    died = victim.revive()
    here, there = devices(one), devices(two)
    assert set(there) in ({"two"}, {"one", "two"}), there
    assert "two" in here or "one" not in there, "the joiner counts itself in: the inviter knows it"
    if "one" not in there:
        if "two" in here and revoke:
            one.call("DELETE", "/devices/two")
            assert set(devices(one)) == {"one"}
        status, answer = household.join()
        assert status < 400, answer
    for house in household.houses:
        assert set(devices(house)) == {"one", "two"}
    household.until_level()
    job = two.call("POST", "/jobs", {"type": "count", "input": {"steps": 1}})["id"]
    household.until(lambda: one.ask("GET", f"/jobs/{job}")[0] == 200)
    household.until(lambda: one.call("GET", f"/jobs/{job}")["state"] == "completed")
    assert died or point.startswith("commit"), f"{who} did not come to {point} {hit}"


@pytest.mark.parametrize(
    ("who", "point", "hit", "revoke"),
    [
        ("inviter", "pairing:after-receive", 2, False),
        ("inviter", "pairing:before-send", 2, False),
        ("joiner", "pairing:after-receive", 2, True),
    ],
)
def test_who_dies_in_mid_pairing_pairs_again(
    household: Household, who: str, point: str, hit: int, revoke: bool
) -> None:
    live_through(household, who, point, hit, revoke=revoke)


@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize("revoke", [False, True])
@pytest.mark.parametrize(
    ("who", "stage"), list(itertools.product(("inviter", "joiner"), STAGES + COMMITS))
)
def test_who_dies_at_any_stage_of_a_pairing_pairs_again(
    household: Household, who: str, stage: tuple[str, int], revoke: bool
) -> None:
    live_through(household, who, *stage, revoke=revoke)
