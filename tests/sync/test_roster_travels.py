"""A roster that grows while devices talk: nobody is sent what it cannot open, nothing is lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nacl.public import PrivateKey

from regend.store import cells
from regend.sync import supply
from regend.sync.authoring import rename, revoke
from regend.sync.entries import Entry
from regend.sync.roster import Roster
from tests.sync.houses import Household, joined, level
from tests.sync.persons import AT_MS, entropy, identity, mesh
from tests.sync.replicas import CLOCK

NAMES = ("one", "two", "three")


@pytest.fixture
async def houses(tmp_path: Path) -> AsyncIterator[list[Household]]:
    roster = mesh(*NAMES)
    made = [await Household(tmp_path, roster, name).join() for name in NAMES]
    yield made
    for one in made:
        await one.close()


async def put(device: Household, value: str) -> None:
    changes = [(device.identity.id.hex(), {"said": value})]
    await device.store.write(lambda c: cells.write(c, changes, CLOCK.wall_ms()))


def renamed(roster: Roster, of: str, name: str) -> Entry:
    entry = rename(roster, identity("one"), identity(of).id, name, AT_MS)
    assert entry is not None
    return entry


async def test_news_under_a_new_key_come_behind_the_entry_that_brings_it(
    houses: list[Household],
) -> None:
    one, two, _ = houses
    exchanges = joined(one, two)
    await put(one, "before")
    await level(one, two)
    frames, revoked = one.house.frames, False

    async def frames_after_a_revocation(*of: Any) -> tuple[int, list[bytes]]:
        nonlocal revoked
        if not revoked:  # the exchange has just looked whether the roster has grown
            revoked = True
            roster = one.house.roster
            out = revoke(roster, identity("one"), identity("three").id, {}, AT_MS, entropy("out"))
            await one.house.add_entries([out])
        return await frames(*of)

    one.house.frames = frames_after_a_revocation  # type: ignore[method-assign, assignment]
    await put(one, "after")
    await level(one, two)
    assert revoked and two.house.roster.digest == one.house.roster.digest
    assert [one.hindered.fault for one in exchanges] == [None, None]
    assert not any(one.link.closed.is_set() for one in exchanges)


async def test_what_is_sealed_while_the_roster_grows_is_sealed(
    houses: list[Household], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames are sealed in a thread, while the event loop opens the keys of the new roster."""
    one, *_ = houses
    await put(one, "something")
    own = await one.store.query(lambda c: supply.own_after(c, one.log, 0, 1000))
    open_keys, sealed = Roster.epoch_keys, list[bytes]()

    def epoch_keys(roster: Roster, sealing_key: PrivateKey) -> dict[bytes, bytes]:
        sealing = threading.Thread(target=lambda: sealed.extend(asyncio.run(one.house.seal(own))))
        sealing.start()
        sealing.join()
        return open_keys(roster, sealing_key)

    roster = one.house.roster
    out = revoke(roster, identity("one"), identity("three").id, {}, AT_MS, entropy("out"))
    monkeypatch.setattr(Roster, "epoch_keys", epoch_keys)
    await one.house.add_entries([out])
    (blob,) = sealed
    assert one.house.read_stored(blob)[1] == own[0].bodies


async def test_entries_that_come_at_once_all_count(houses: list[Household]) -> None:
    one, *_ = houses
    before = one.house.roster
    entries = renamed(before, "two", "Phone"), renamed(before, "three", "Laptop")
    await asyncio.gather(*(one.house.add_entries([entry]) for entry in entries))
    names = [member.name for member in one.house.roster.members.values()]
    assert names == ["one", "Phone", "Laptop"]
    assert {entry.id for entry in entries} <= one.house.roster_ids
