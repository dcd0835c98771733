"""Devices find one another by real mDNS on networks of several hosts; strangers learn nothing."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from regend.sync.beacon import discovery_key
from tests.sync.hosts import ROOT, Host, Net, require_namespaces

KEY = discovery_key(b"k" * 32)
PORT = 7868


def device(number: int) -> bytes:
    return hashlib.sha256(bytes([number])).digest()[:16]


@dataclass
class Finder:
    """A running `tests.sync.finder` on a host."""

    host: Host
    process: asyncio.subprocess.Process
    found: list[dict[str, Any]] = field(default_factory=list)
    reports: list[dict[str, Any]] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def devices(self) -> set[str | None]:
        return {one["device"] for one in self.found}

    def of(self, number: int) -> dict[str, Any]:
        return next(one for one in self.found if one["device"] == device(number).hex())

    def say(self, command: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command).encode() + b"\n")

    def know(self, *numbers: int, keys: tuple[bytes, ...] = (KEY,)) -> None:
        told = {"devices": [device(one).hex() for one in numbers], "keys": [k.hex() for k in keys]}
        self.say({"know": told})

    def advertise(self, number: int | None, invite: int | None = None) -> None:
        shown = None if number is None else device(number).hex()
        self.say({"advertise": {"port": PORT, "device": shown, "invite": invite}})

    async def until(self, true: Callable[[Finder], bool]) -> None:
        async with asyncio.timeout(15):
            while not true(self):
                self.told.clear()
                await self.told.wait()

    async def until_report(self, true: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        async with asyncio.timeout(15):
            while True:
                self.reports.clear()
                self.say("report")
                await self.until(lambda finder: bool(finder.reports))
                if true(self.reports[-1]):
                    return self.reports[-1]
                await asyncio.sleep(0.1)

    async def listen(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            told = json.loads(line)
            self.found = told.get("found", self.found)
            self.reports += [told["report"]] if "report" in told else []
            self.told.set()


@contextlib.asynccontextmanager
async def finders(*hosts: Host) -> AsyncIterator[list[Finder]]:
    async with contextlib.AsyncExitStack() as ends:
        yield [await ends.enter_async_context(finder(host)) for host in hosts]


@contextlib.asynccontextmanager
async def finder(host: Host) -> AsyncIterator[Finder]:
    process = await asyncio.create_subprocess_exec(
        *host.python("tests.sync.finder"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    one = Finder(host, process)
    listening = asyncio.create_task(one.listen())
    try:
        yield one
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(10):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await listening


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    require_namespaces()


def members(all_of: list[Finder]) -> None:
    """Make the finders one mesh: each announces itself and knows all."""
    numbers = range(1, len(all_of) + 1)
    for number, one in zip(numbers, all_of, strict=True):
        one.know(*(other for other in numbers if other != number))
        one.advertise(number)


def others(count: int, number: int) -> set[str | None]:
    return {device(one).hex() for one in range(1, count + 1) if one != number}


async def test_three_hosts_see_one_another_and_the_network_learns_nothing(tmp_path: Path) -> None:
    capture = tmp_path / "packets"
    with Net() as net, net.captured(capture):
        hosts = [net.add(), net.add(), net.add()]
        stranger = net.stranger()
        async with finders(*hosts, stranger) as [*mesh, outsider]:
            members(mesh)
            for number, one in enumerate(mesh, 1):
                await one.until(lambda one, number=number: one.devices == others(3, number))  # type: ignore[misc]
            addresses = mesh[0].of(2)["addresses"]
            assert addresses[0] == hosts[1].address
            assert any(one.startswith(hosts[1].link_local() + "%") for one in addresses)
            assert mesh[0].of(2)["port"] == PORT
            await outsider.until(lambda one: len(one.found) == 3)
            assert outsider.devices == {None}
    packets = capture.read_bytes()
    assert b"_regend" in packets
    machine = os.uname().nodename.encode()
    for number in (1, 2, 3):
        assert device(number) not in packets and device(number).hex().encode() not in packets
    assert KEY not in packets and machine not in packets


async def test_ipv6_alone_and_ipv4_alone_are_enough() -> None:
    await asyncio.gather(see_one_another_by("IPv4"), see_one_another_by("IPv6"))


async def see_one_another_by(family: str) -> None:
    ipv6 = family == "IPv6"
    with Net(searches_duplicates=True) as net:
        hosts = [net.add(ipv4=not ipv6, ipv6=ipv6) for _ in range(2)]
        async with finders(*hosts) as mesh:
            members(mesh)
            await mesh[0].until(lambda one: one.devices == others(2, 1))
            addresses = mesh[0].of(2)["addresses"]
            assert addresses and all((":" in one) == ipv6 for one in addresses)


async def test_a_host_that_loses_its_network_and_gets_it_back_is_found_again() -> None:
    with Net() as net:
        hosts = [net.add(), net.add()]
        async with finders(*hosts) as mesh:
            members(mesh)
            for number, one in enumerate(mesh, 1):
                await one.until(lambda one, number=number: one.devices == others(2, number))  # type: ignore[misc]
            hosts[0].cut()
            await mesh[0].until(lambda one: not one.found)
            report = await mesh[0].until_report(lambda report: not report["works"])
            assert report["lines"][0] == (
                "No query could leave interface eth0 over IPv4: Network is unreachable."
            )
            hosts[0].heal()
            await mesh[0].until(lambda one: one.devices == others(2, 1))
            await mesh[0].until_report(lambda report: bool(report["works"]))


async def test_a_host_without_any_network_starts_and_finds_the_first_that_comes() -> None:
    with Net() as net:
        hosts = [net.add(), net.add()]
        hosts[0].ip("addr", "flush", "dev", "eth0")
        hosts[0].cut()
        async with finders(*hosts) as mesh:
            members(mesh)
            report = await mesh[0].until_report(lambda report: bool(report["looking"]))
            assert report["lines"][0].startswith("No network interface has a local address")
            hosts[0].heal()
            hosts[0].ip("addr", "add", f"{hosts[0].address}/24", "dev", "eth0")
            await mesh[0].until(lambda one: one.devices == others(2, 1))


async def test_a_host_on_two_networks_is_found_on_both_with_what_can_be_called_there() -> None:
    with Net(networks=2) as net:
        between, left, right = net.add(0, 1), net.add(0), net.add(1)
        async with finders(between, left, right) as mesh:
            members(mesh)
            await mesh[0].until(lambda one: one.devices == others(3, 1))
            await mesh[1].until(lambda one: device(1).hex() in one.devices)
            await mesh[2].until(lambda one: device(1).hex() in one.devices)
            assert "10.77.0.1" in mesh[1].of(1)["addresses"]
            assert "10.77.1.1" in mesh[2].of(1)["addresses"]
            assert device(3).hex() not in mesh[1].devices
            right_zone = between.ip("-o", "link", "show", "eth1").split(":")[0]
            await mesh[0].until(lambda one: zones(one.of(3)) == {right_zone})


def zones(sighting: dict[str, Any]) -> set[str]:
    return {one.partition("%")[2] for one in sighting["addresses"] if "%" in one}


async def test_a_forged_tag_is_nobodys_and_an_invite_is_anybodys() -> None:
    with Net() as net:
        hosts = [net.add(), net.stranger()]
        async with finders(*hosts) as [member, forger]:
            member.know(2)
            member.advertise(None, invite=4711)
            forger.know(1, keys=(discovery_key(b"another" * 5),))
            forger.advertise(2)
            await member.until(lambda one: bool(one.found))
            await forger.until(lambda one: bool(one.found))
            assert member.devices == {None}
            assert forger.found[0]["invite"] == 4711
            member.advertise(1)
            await forger.until(lambda one: bool(one.found) and one.found[0]["invite"] is None)
            member.say("withdraw")
            await forger.until(lambda one: not one.found)
