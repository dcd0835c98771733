"""What hinders the devices is said where it is seen, with what to do, until it is mended."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import msgpack
import pytest

from regend.cli.checks import check_devices
from regend.sync import fetching, session
from regend.sync.discovery import Discovery
from regend.sync.exchange import Exchange
from regend.sync.interfaces import Interface
from regend.sync.lanserver import LanServer
from regend.sync.link import Link
from regend.sync.reachreport import Reach, ReachReport
from tests.mesh.conftest import Device, Start, join, pair
from tests.mesh.test_clocks import YEAR_MS, WrongClock


async def noted(device: Device, code: str) -> dict[str, Any]:
    """Return the note of a code once it is there."""

    def of(shown: Any) -> list[dict[str, Any]]:
        return [one for one in shown["notes"] if one["code"] == code]

    found = of(await device.until(lambda shown: bool(of(shown)), "/mesh"))
    assert len(found) == 1
    return found[0]


async def quiet(device: Device) -> None:
    await device.until(lambda shown: not shown["notes"], "/mesh")


async def test_clocks_that_differ_are_told_on_both_sides_and_keep_nobody_from_being_found(
    start: Start,
) -> None:
    right, wrong = await start("Laptop"), await start("Phone", clock=WrongClock(YEAR_MS))
    await join(right, wrong)
    for one, other in ((right, wrong), (wrong, right)):
        await one.linked(other.name)
        note = await noted(one, "clock_differs")
        which = "ahead of" if one is right else "behind"
        assert note["text"] == f"The clock of “{other.name}” is 365 days {which} this one's."
        assert "Set the clock" in note["hint"] and "--address" in note["hint"]
        other_id = (await other.call("GET", "/mesh"))["device"]
        assert note["device"] == other_id

        def sees(shown: Any, id: str = other_id) -> bool:
            return id in {one["device"] for one in shown["found"]}

        await one.until(sees, "/mesh")  # on the network, by its tag of another year


async def test_a_disk_that_is_nearly_full_is_told_until_there_is_room(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    await quiet(two)
    monkeypatch.setattr(fetching, "PAYLOADS_LEAVE_BYTES", 1 << 62)
    text = {"title": "Rent", "text": "The rent is due on the 5th.", "source": "note:Rent"}
    await one.call("POST", "/library", text)
    note = await noted(two, "disk_nearly_full")
    assert "wait" in note["text"] and str(two.home.incoming_dir) in note["hint"]
    job = (await one.client.jobs.create("count", {"steps": 1}))["id"]
    await two.until(lambda _: True, f"/jobs/{job}")
    assert not (await two.call("GET", "/library"))["documents"]
    monkeypatch.undo()
    await two.until(lambda shown: len(shown["documents"]) == 1, "/library")
    await quiet(two)


async def test_frames_of_a_newer_protocol_are_left_out_and_the_link_stays(
    start: Start, tmp_path: Path
) -> None:
    old, new = await start("Old"), await start("New")
    await pair(old, new)
    network = new.daemon._mesh.network
    assert network is not None
    frames, sent = network.house.frames, 0
    unreadable = msgpack.packb((msgpack.packb((2, "in another way")), b"", b""))

    async def newer(*of: Any) -> tuple[int, list[bytes]]:
        nonlocal sent
        last, found = await frames(*of)
        sent += 1
        return last, [unreadable, *found]

    network.house.frames = newer  # type: ignore[method-assign, assignment]
    (link,) = network.links.exchanges
    job = (await new.client.jobs.create("count", {"steps": 1}))["id"]
    await old.until(lambda _: True, f"/jobs/{job}")
    note = await noted(old, "device_newer")
    assert "“New” has a newer regend" in note["text"] and "Upgrade regend" in note["hint"]
    assert sent and network.links.exchanges == [link] and not link.link.closed.is_set()


async def test_versions_that_do_not_fit_are_told_and_tried_seldom(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = await start("Old"), await start("New")
    await pair(old, new)
    await new.away()
    network = new.daemon._mesh.network
    assert network is not None
    make, made = network.links._make, 0

    def newer(link: Link) -> Exchange:
        nonlocal made
        made += 1
        exchange = make(link)
        hello = exchange._session.hello

        def say(*of: Any) -> bytes:
            name, _, *rest = msgpack.unpackb(hello(*of), strict_map_key=False)
            packed: bytes = msgpack.packb((name, (7, 9), *rest))
            return packed

        exchange._session.hello = say  # type: ignore[method-assign, assignment]
        return exchange

    network.links._make = newer
    await new.back()
    note = await noted(old, "protocol_unknown")
    assert "“New”" in note["text"] and note["hint"] == "Upgrade regend on this device."
    before = made
    await asyncio.sleep(2)
    assert made - before <= 8, "not at once again and again"
    assert session.PROTOCOLS[1] < 7


async def test_a_device_that_was_put_out_says_so_until_it_is_in_again(start: Start) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    out = (await two.call("GET", "/mesh"))["device"]
    await one.call("DELETE", f"/devices/{out}")
    note = await noted(two, "device_revoked")
    assert note["device"] == out and "regend devices invite" in note["hint"]
    assert not (await one.call("GET", "/mesh"))["notes"]
    await join(one, two)
    await two.linked("Laptop")
    await quiet(two)


async def test_a_port_that_is_taken_is_told_until_this_device_can_be_called(start: Start) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    await one.stop()
    listen = LanServer.start
    with socket.create_server(("0.0.0.0", 0)) as other, pytest.MonkeyPatch.context() as patch:
        port = other.getsockname()[1]
        patch.setattr(LanServer, "start", lambda server, _port: listen(server, port))
        one = await start("Laptop")
        note = await noted(one, "port_in_use")
        assert f"cannot call this one: Port {port}" in note["text"] and "[mesh]" in note["hint"]
        found = await asyncio.to_thread(check_devices, one.home)
        assert (found.level, found.message, found.remedy) == ("warn", note["text"], note["hint"])
    await one.call("POST", "/devices/invite", {})
    await quiet(one)


async def test_a_network_on_which_nobody_can_be_asked_is_told(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await start("Laptop"), await start("Phone")
    await pair(one, two)
    await quiet(one)
    wlan = Interface("wlan0", "IPv4", "192.168.1.20", 3)
    shut = ReachReport((Reach(wlan, "Network is unreachable"),), None, True)
    monkeypatch.setattr(Discovery, "report", lambda _discovery: shut)
    note = await noted(one, "nobody_found")
    assert note["text"] == "No query could leave interface wlan0 over IPv4: Network is unreachable."
    assert "--address" in note["hint"]
