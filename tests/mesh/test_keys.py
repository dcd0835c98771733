"""A member that lacks a key is given it by whoever has it and is there."""

from __future__ import annotations

import os

import pytest

from regend.mesh import network as meshwork
from regend.mesh.network import Network
from regend.sync import authoring
from tests.mesh.conftest import Device, Start, join
from tests.mesh.test_notes import noted, quiet
from tests.sync.persons import AT_MS, identity


def network_of(device: Device) -> Network:
    network = device.daemon._mesh.network
    assert network is not None
    return network


async def test_who_joins_while_another_is_put_out_elsewhere_waits_for_nobody_who_is_away(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    laptop, phone = await start("Laptop"), await start("Phone")
    await join(laptop, phone)
    old, house = identity("Old phone").device, network_of(laptop).house
    added = authoring.add(house.roster, house.identity, old, "Old phone", AT_MS, os.urandom)
    assert added is not None
    await house.add_entries([added])
    await phone.until(lambda shown: len(shown["devices"]) == 3, "/devices")
    revoked = authoring.revoke(house.roster, house.identity, old.id, {}, AT_MS, os.urandom)
    await laptop.away()
    tablet = await start("Tablet")
    await join(phone, tablet)
    await tablet.linked("Phone")
    (exchange,) = network_of(phone).links.exchanges

    monkeypatch.setattr(meshwork, "_REKEY_PAUSE_S", 1.0)
    await network_of(phone).house.add_entries([revoked])
    assert network_of(phone).house.roster.current not in network_of(tablet).house.keys
    job = (await phone.client.jobs.create("count", {"steps": 1}))["id"]
    note = await noted(tablet, "key_missing")
    assert "“Phone”" in note["text"] and "“Laptop” or “Phone”" in note["hint"]
    await tablet.until(lambda shown: shown["state"] == "completed", f"/jobs/{job}")
    await quiet(tablet)
    assert network_of(phone).links.exchanges == [exchange]
