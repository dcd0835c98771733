"""Devices that look on this machine alone, and packets of strangers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable

from regend.clock import SystemClock
from regend.sync.beacon import DAY_MS, discovery_key
from regend.sync.discovery import Discovery, Sighting
from regend.sync.interfaces import MDNS_IPV4, MDNS_PORT
from regend.sync.mdns import SERVICE_TYPE

KEY = discovery_key(b"k" * 32)
DEVICE_A, DEVICE_B = b"a" * 16, b"b" * 16
PORT = 20_000 + os.getpid() % 10_000  # of these devices, and of no other test's


class TravellingClock(SystemClock):
    """The machine's clock, some days on."""

    def __init__(self) -> None:
        self.days = 0

    def wall_ms(self) -> int:
        return super().wall_ms() + self.days * DAY_MS


class Device:
    """A device that looks on this machine only."""

    def __init__(self) -> None:
        self.clock = TravellingClock()
        self.changed = asyncio.Event()
        self.discovery = Discovery(self.clock, self.changed.set, loopback=True, look_s=0.1)

    async def until(self, true: Callable[[Discovery], bool]) -> None:
        async with asyncio.timeout(15):
            while not true(self.discovery):
                self.changed.clear()
                await self.changed.wait()

    async def hears(self, instance: str, *packets: bytes) -> tuple[str, ...]:
        """Say something to it until it has heard of somebody; return the addresses."""
        async with asyncio.timeout(15):
            while (addresses := addresses_of(self.discovery, instance)) is None:
                for packet in packets:
                    send(packet)
                await asyncio.sleep(0.05)
        return addresses


def ours(discovery: Discovery) -> list[Sighting]:
    """Return which of the devices of this test are found; others may be on this machine too."""
    return [one for one in discovery.found if one.port == PORT]


def addresses_of(discovery: Discovery, instance: str) -> tuple[str, ...] | None:
    """Return where a device is said to be."""
    return next((one.addresses for one in discovery.found if one.instance == instance), None)


@contextlib.asynccontextmanager
async def running(count: int) -> AsyncIterator[list[Device]]:
    devices = [Device() for _ in range(count)]
    for one in devices:
        await one.discovery.start()
    try:
        yield devices
    finally:
        await asyncio.gather(*(one.discovery.stop() for one in devices))


def forged(count: int, first: int = 0) -> list[bytes]:
    """Return packets that announce devices which are nobody's."""
    return [announced(f"{number:016x}", "127.0.0.1") for number in range(first, first + count)]


def announced(instance: str, *addresses: str, texts: bytes = b"") -> bytes:
    """Return a packet that announces a device at IPv4 addresses."""
    # Every worker hears of all hosts, whatever kind of service they are for.
    name, server = f"{instance}.{SERVICE_TYPE}", f"{instance}-{os.getpid()}.local."
    return response(
        pointer(instance),
        record(name, 33, struct.pack("!3H", 0, 0, PORT) + labels(server)),
        record(name, 16, b"\x03v=1\x12t=" + instance.encode() + texts),
        *(record(server, 1, socket.inet_aton(address)) for address in addresses),
    )


def pointer(instance: str, ttl_s: int = 120) -> bytes:
    """Return the record that names a device, and says nothing else of it."""
    return record(SERVICE_TYPE, 12, labels(f"{instance}.{SERVICE_TYPE}"), ttl_s)


def response(*records: bytes) -> bytes:
    return struct.pack("!6H", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def record(name: str, kind: int, value: bytes, ttl_s: int = 120) -> bytes:
    """Return a resource record (RFC 1035)."""
    return labels(name) + struct.pack("!2HIH", kind, 1, ttl_s, len(value)) + value


def labels(name: str) -> bytes:
    return b"".join(bytes([len(one)]) + one.encode() for one in name.split("."))


def send(packet: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sender.sendto(packet, (MDNS_IPV4, MDNS_PORT))
