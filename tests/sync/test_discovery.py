"""Discovery on this machine alone: real mDNS over the loopback interface."""

from __future__ import annotations

import asyncio

from regend.sync.interfaces import Interface, interfaces
from regend.sync.reachreport import Reach, ReachReport
from tests.sync.announcing import DEVICE_A, DEVICE_B, KEY, PORT, Device, ours, running

ETH = Interface("eth0", "IPv4", "10.0.0.1", 2)
WLAN = Interface("wlan0", "IPv6", "fe80::1", 3)


async def test_a_device_takes_another_name_every_day_and_is_recognised_all_the_same() -> None:
    async with running(2) as [a, b]:
        b.discovery.know([DEVICE_A], [KEY])
        a.discovery.know([DEVICE_B], [KEY])
        a.discovery.advertise(PORT, DEVICE_A)
        await b.until(lambda found: [one.device for one in ours(found)] == [DEVICE_A])
        [first] = ours(b.discovery)
        assert first.port == PORT and first.invite is None and first.last_seen_ms > 0
        a.clock.days = 1
        await b.until(lambda found: first.instance not in {one.instance for one in ours(found)})
        await b.until(lambda found: [one.device for one in ours(found)] == [DEVICE_A])
        await a.until(lambda found: not ours(found))  # its own old name may be heard for a moment


async def test_who_is_learnt_to_know_later_is_recognised_then() -> None:
    async with running(2) as [a, b]:
        a.discovery.know([], [KEY])
        a.discovery.advertise(PORT, DEVICE_A, invite=12)
        await b.until(lambda found: bool(ours(found)))
        assert [(one.device, one.invite) for one in ours(b.discovery)] == [(None, 12)]
        b.discovery.know([DEVICE_A], [KEY])
        assert [one.device for one in ours(b.discovery)] == [DEVICE_A]
        a.discovery.advertise(PORT, DEVICE_A)
        await b.until(lambda found: [one.invite for one in ours(found)] == [None])


async def test_a_device_whose_clock_is_wrong_is_recognised_and_by_how_much_is_known() -> None:
    async with running(2) as [a, b]:
        a.clock.days = -40
        a.discovery.know([DEVICE_B], [KEY])
        b.discovery.know([DEVICE_A], [KEY])
        a.discovery.advertise(PORT, DEVICE_A)
        await b.until(lambda found: [one.device for one in ours(found)] == [DEVICE_A])
        assert [one.days_ahead for one in ours(b.discovery)] == [-40]
        a.clock.days = 0
        await b.until(
            lambda found: [(one.device, one.days_ahead) for one in ours(found)] == [(DEVICE_A, 0)]
        )


async def test_who_has_neither_mesh_nor_invite_announces_nothing() -> None:
    async with running(2) as [a, b]:
        a.discovery.advertise(PORT)
        await asyncio.sleep(0.5)
        assert not ours(b.discovery)
        a.discovery.advertise(PORT, invite=3)
        await b.until(lambda found: bool(ours(found)))


async def test_start_and_stop_may_follow_one_another_and_come_twice() -> None:
    one = Device()
    await one.discovery.stop()
    for _ in range(2):
        await one.discovery.start()
        await one.discovery.start()
        await one.discovery.stop()
        await one.discovery.stop()
    assert one.discovery.report().lines == ("Devices on the network are not looked for.",)


def test_loopback_is_instead_of_the_network_and_never_beside_it() -> None:
    assert not any(one.address.startswith("127.") for one in interfaces())
    assert {one.address.split(".")[0] for one in interfaces(loopback=True)} == {"127"}


def test_the_report_says_where_no_query_could_leave() -> None:
    report = ReachReport((Reach(ETH, None), Reach(WLAN, "Network is unreachable")), None, True)
    assert report.works
    assert report.lines == (
        "Devices are looked for on eth0 over IPv4, from 10.0.0.1.",
        "No query could leave interface wlan0 over IPv6: Network is unreachable.",
    )


def test_the_report_says_when_nobody_can_be_heard_and_what_to_do() -> None:
    fault = "another program has port 5353"
    report = ReachReport((Reach(ETH, None),), fault, True)
    assert not report.works and report.to_dict()["works"] is False
    assert report.lines[0] == f"No query could leave interface eth0 over IPv4: {fault}."
    assert "--address" in report.lines[-1]
    assert "No network interface" in ReachReport((), None, True).lines[0]
