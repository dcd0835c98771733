"""A member that fills the roster: the others go on, and can put it out."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regend.limits import LINK_MESSAGE_BYTES, ROSTER_ENTRIES
from regend.sync import authoring, entries
from regend.sync.entries import Entry
from regend.sync.payloads import Payload, Rekey, Rename
from regend.sync.roster import Roster
from tests.sync.houses import Household, joined, level, until
from tests.sync.persons import AT_MS, entropy, identity, mesh
from tests.sync.test_exchange import put


@pytest.fixture
async def houses(tmp_path: Path) -> AsyncIterator[list[Household]]:
    roster = mesh("one", "two", "thief")
    made = [await Household(tmp_path, roster, name).join() for name in ("one", "two")]
    yield made
    for one in made:
        await one.close()


def by_thief(roster: Roster, *payloads: Payload) -> list[Entry]:
    """Return entries of the thief, each on the one before."""
    found: list[Entry] = []
    parents = roster.heads
    for payload in payloads:
        key = identity("thief").signing_key
        found.append(entries.sign(key, roster.mesh, parents, AT_MS, payload))
        parents = (found[-1].id,)
    return found


async def test_who_filled_the_roster_is_put_out_on_all_devices(houses: list[Household]) -> None:
    one, two = houses
    thief, roster = identity("thief").id, one.house.roster
    names = [Rename(thief, f"n{number}", number) for number in range(1, ROSTER_ENTRIES + 100)]
    flood = by_thief(roster, *names)
    for device in houses:
        await device.house.take_roster([entry.blob for entry in flood])
        assert len(device.house.roster.entries) == ROSTER_ENTRIES
    entry = authoring.revoke(one.house.roster, one.identity, thief, {}, AT_MS, os.urandom)
    await one.house.add_entries([entry])
    exchanges = joined(one, two)

    async def is_out() -> bool:
        return not any(device.house.roster.is_living(thief) for device in houses)

    await until(is_out)
    assert not any(exchange.link.closed.is_set() for exchange in exchanges)


async def test_devices_of_which_each_has_another_full_roster_talk(houses: list[Household]) -> None:
    one, two = houses
    for device, start in ((one, "a"), (two, "b")):
        names = [
            Rename(identity("thief").id, f"{start}{number}", number)
            for number in range(1, ROSTER_ENTRIES)
        ]
        flood = by_thief(device.house.roster, *names)
        await device.house.take_roster([entry.blob for entry in flood])
    exchanges = joined(one, two)
    await put(one, 2)
    await put(two, 3)
    await level(one, two)
    assert not any(exchange.link.closed.is_set() for exchange in exchanges)


async def test_a_roster_that_fits_no_message_arrives(houses: list[Household]) -> None:
    one, two = houses
    draw, roster = entropy("bulk"), one.house.roster
    rekey = authoring.rekey(roster, identity("thief"), AT_MS, draw).payload
    assert isinstance(rekey, Rekey)
    ballast = rekey.introduction._replace(sealed_older=bytes(60_000))
    flood = by_thief(roster, *[Rekey(ballast)] * (LINK_MESSAGE_BYTES // 60_000 + 2))
    await one.house.take_roster([entry.blob for entry in flood])
    joined(one, two)

    async def arrived() -> bool:
        return two.house.roster_ids == one.house.roster_ids

    await until(arrived)
