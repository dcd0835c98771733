"""A roster of many entries: what was judged before is not judged again, and nobody waits for it."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from regend.sync import authoring
from regend.sync.entries import Entry, sign
from regend.sync.payloads import Payload
from regend.sync.roster import Roster
from regend.sync.standing import Standing
from tests.sync.houses import Household
from tests.sync.persons import AT_MS, entropy, identity, mesh

START = mesh("one", "two", "three")
COUNT = 200


def chain() -> list[Entry]:
    """Return entries of one device that puts out another and lets it in, again and again."""
    own, other = identity("two"), identity("three")
    out = authoring.revoke(START, own, other.id, {}, AT_MS, entropy("out"))
    back = authoring.add(START.merged([out]), own, other.device, "three", AT_MS, entropy("back"))
    assert back is not None
    payloads: tuple[Payload, Payload] = (out.payload, back.payload)
    found: list[Entry] = []
    parents = START.heads
    for number in range(COUNT):
        found.append(sign(own.signing_key, START.mesh, parents, AT_MS, payloads[number % 2]))
        parents = (found[-1].id,)
    return found


class Counted:
    """Counts the calls of a method of `Standing`."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str) -> None:
        self.calls = 0
        self.threads: set[int] = set()
        real = getattr(Standing, name)

        def count(standing: Standing, *of: Any) -> Any:
            self.calls += 1
            self.threads.add(threading.get_ident())
            return real(standing, *of)

        patch.setattr(Standing, name, count)


def test_an_entry_is_judged_by_what_held_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Counted(monkeypatch, "_judged")
    roster = Roster.of([*START.entries.values(), *chain()])
    assert not roster.rejected and not roster.waiting
    assert whole.calls <= 2
    assert roster.is_living(identity("three").id)


def test_an_entry_that_comes_behind_all_others_is_judged_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    *known, last = chain()
    roster = START.merged(known)
    judged = Counted(monkeypatch, "_take")
    assert roster.merged([last]).is_living(identity("three").id)
    assert judged.calls == 1


async def test_the_loop_does_not_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = await Household(tmp_path, START, "one").join()
    blobs = [entry.blob for entry in chain()]
    judged = Counted(monkeypatch, "_take")
    lots = [blobs[start : start + 50] for start in range(0, COUNT, 50)]
    await asyncio.gather(*map(device.house.take_roster, lots[::-1]))
    assert len(device.house.roster.entries) == COUNT + len(START.entries)
    assert not device.house.roster.waiting
    assert threading.get_ident() not in judged.threads
    stored = await device.store.query(lambda c: c.execute("SELECT count(*) FROM roster").fetchone())
    assert stored == (COUNT,)
    await device.close()
