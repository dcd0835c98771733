"""Frames whose key a device was not given yet: they wait where they are, and hold up nothing."""

from __future__ import annotations

from pathlib import Path

from regend.store import cells
from regend.sync import authoring
from tests.sync.houses import Household, joined, level, until
from tests.sync.persons import AT_MS, added, entropy, identity, mesh
from tests.sync.replicas import CLOCK


async def put(device: Household, name: str) -> None:
    await device.store.write(lambda c: cells.write(c, [(name, {"f": 1})], CLOCK.wall_ms()))


async def test_they_are_left_out_and_come_once_the_key_does(tmp_path: Path) -> None:
    before = mesh("one", "two", "four")
    out = identity("four").id
    revoked = authoring.revoke(before, identity("one"), out, {}, AT_MS, entropy("new key"))
    roster = before.merged([revoked, added(before, "two", "three")])
    one = await Household(tmp_path, roster, "one").join()
    three = await Household(tmp_path, roster, "three").join()
    assert roster.current in one.house.keys and roster.current not in three.house.keys
    ends = joined(one, three)
    try:
        await put(one, "of one")
        (there,) = [end for end in ends if end.device == one.identity.id]

        async def is_locked() -> bool:
            return bool(there.wants.locked)

        await until(is_locked)
        await put(three, "of three")  # stays, until it can be sealed with what "four" has not
        assert one.log not in await three.house.vector()
        key = authoring.rekey(one.house.roster, identity("one"), AT_MS, entropy("newer key"))
        await one.house.add_entries([key])
        for end in ends:
            end.wake()
        await level(one, three)
        assert not there.wants.locked and not any(end.hindered.fault for end in ends)
        assert len(await one.house.vector()) == 2
    finally:
        await one.close()
        await three.close()
