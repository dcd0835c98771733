"""A device that was put out while it had news: it has no key for them any more."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regend.errors import Refused
from regend.sync import authoring, supply
from tests.sync.houses import Household, joined, level, until
from tests.sync.persons import AT_MS, mesh
from tests.sync.test_exchange import put

NAMES = ("one", "two", "three")


@pytest.fixture
async def houses(tmp_path: Path) -> AsyncIterator[list[Household]]:
    roster = mesh(*NAMES)
    made = [await Household(tmp_path, roster, name).join() for name in NAMES]
    yield made
    for one in made:
        await one.close()


async def put_out(one: Household, out: Household) -> None:
    """Let one device put another out, and the other hear of it."""
    entry = authoring.revoke(one.house.roster, one.identity, out.identity.id, {}, AT_MS, os.urandom)
    for device in (one, out):
        await device.house.add_entries([entry])


async def test_a_device_that_was_put_out_keeps_its_news_and_hands_on_the_rest(
    houses: list[Household], caplog: pytest.LogCaptureFixture
) -> None:
    one, two, three = houses
    await put(one, 3)
    joined(one, two)
    await level(one, two)
    for task in two.running:
        task.cancel()
    await put_out(one, two)
    await put(two, 2)
    with caplog.at_level(logging.INFO, "regend.sync"):
        _, exchange = joined(three, two)

        async def told() -> bool:
            return one.log in await three.house.vector()

        await until(told)
    assert not three.house.roster.is_living(two.identity.id), "it tells that it was put out"
    assert two.log not in await three.house.vector()
    assert not exchange.link.closed.is_set() and not exchange.reason
    assert not [one for one in caplog.records if one.levelno > logging.INFO]


async def test_what_has_no_key_is_refused_in_words(houses: list[Household]) -> None:
    one, two, _ = houses
    await put(two, 2)
    own = await two.store.query(lambda c: supply.own_after(c, two.log, 0, 1 << 20))
    await put_out(one, two)
    with pytest.raises(Refused, match="was put out"):
        await two.house.seal(own)
