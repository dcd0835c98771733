"""Multicast DNS (RFC 6762, 6763) on a fixed set of interfaces: what `zeroconf` does for us.

One `Mdns` is one life of it. When the interfaces change, `discovery` ends it and begins another:
that is sure to work on every system, asks the new network at once, and forgets what the old one
said.

The records name nothing: the instance and the host are random, and the addresses are the near ones.

Anybody on the network may say anything, and as much as they like. So a name that nobody explains
keeps no other from being heard, and nobody is called on this machine because a stranger said so.
What a browser of zeroconf has heard of grows, and it asks who is there at its start alone: each
`ask` makes a new one.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from zeroconf import (
    IPVersion,
    RecordUpdate,
    RecordUpdateListener,
    ServiceInfo,
    ServiceStateChange,
    Zeroconf,
)
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from regend.limits import MDNS_RECORDS, SIGHTING_ADDRESSES
from regend.sync.interfaces import MDNS_PORT, Interface
from regend.sync.near import is_link_local, is_loopback, is_near

SERVICE_TYPE: Final = "_regend._tcp.local."
_INSTANCE = re.compile(r"[0-9a-f]{16}")
_TAKEN = f"another program has port {MDNS_PORT} and shares it with nobody"
_HOST_TTL_S = 120
_OTHER_TTL_S = 1125  # the least for which zeroconf asks again; so long a device that left is shown
_RESOLVE_MS = 3000
_RESOLVING = 8  # what is announced as devices do needs no asking, and forged names make few ask


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is said about a device.

    Attributes:
        instance: the random name, 16 hexadecimal digits.
        addresses: near IP addresses; link-local ones of IPv6 with the zone where they were heard.
        port: of its one port.
        texts: the TXT record.
    """

    instance: str
    addresses: tuple[str, ...]
    port: int
    texts: Mapping[str, str]


class Mdns:
    """One life of multicast DNS.

    Args:
        interfaces: on which a query can leave; at least one.
        on_heard: is told of an instance that was heard of, or changed; None when it is gone.
        on_alive: is told of an instance whenever one of its records is heard.
    """

    def __init__(
        self,
        interfaces: Sequence[Interface],
        on_heard: Callable[[str, Announcement | None], None],
        on_alive: Callable[[str], None],
    ) -> None:
        self._interfaces = tuple(interfaces)
        self._loopback = any(is_loopback(one.address) for one in interfaces)
        self._on_heard = on_heard
        self._ear = _Ear(on_alive)
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._info: ServiceInfo | None = None
        self._resolving: dict[str, asyncio.Task[None]] = {}
        self._changed_meanwhile: set[str] = set()

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the system does not let it.
        """
        # Its complaints about interfaces are told by `Discovery.report`, in plain words.
        logging.getLogger("zeroconf").setLevel(logging.CRITICAL)
        try:
            self._zeroconf = AsyncZeroconf(interfaces=_choice(self._interfaces))
            await self._zeroconf.zeroconf.async_wait_for_start()
        except RuntimeError as error:
            raise OSError(str(error)) from error
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise OSError(error.errno, _TAKEN) from error
            raise
        self._zeroconf.zeroconf.async_add_listener(self._ear, None)

    @property
    def is_due(self) -> bool:
        """Whether so much was heard since the last `ask` that it is time for the next."""
        return self._ear.heard >= MDNS_RECORDS

    async def ask(self) -> None:
        """Ask who is there, a few times within seconds."""
        assert self._zeroconf is not None
        if self._browser is not None:
            await self._browser.async_cancel()
        self._ear.heard = 0
        self._browser = AsyncServiceBrowser(
            self._zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._on_change]
        )

    async def announce(self, said: Announcement) -> None:
        """Say this from now on, instead of what was said before."""
        assert self._zeroconf is not None
        info = ServiceInfo(
            SERVICE_TYPE,
            f"{said.instance}.{SERVICE_TYPE}",
            port=said.port,
            parsed_addresses=list(said.addresses),
            properties=dict(said.texts),
            server=f"{said.instance}.local.",
            host_ttl=_HOST_TTL_S,
            other_ttl=_OTHER_TTL_S,
        )
        if self._info is not None and self._info.name == info.name:
            self._info = info
            await (await self._zeroconf.async_update_service(info))
            return
        await self.withdraw()
        self._info = info
        # A random name of 64 bits needs no asking whether somebody has it.
        await (await self._zeroconf.async_register_service(info, cooperating_responders=True))

    async def withdraw(self) -> None:
        """Say goodbye, if something was announced."""
        if self._info is not None and self._zeroconf is not None:
            info, self._info = self._info, None
            await (await self._zeroconf.async_unregister_service(info))

    async def close(self) -> None:
        """End, without a goodbye where `withdraw` did not say one. Twice is once."""
        for task in self._resolving.values():
            task.cancel()
        await asyncio.gather(*self._resolving.values(), return_exceptions=True)
        if self._browser is not None:
            await self._browser.async_cancel()
            self._browser = None
        if self._zeroconf is not None:
            if self._info is not None:
                self._zeroconf.zeroconf.registry.async_remove(self._info)
            await self._zeroconf.async_close()
            self._zeroconf = None

    def _on_change(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        instance = _instance(name)
        if instance is None:
            return
        if state_change is ServiceStateChange.Removed:
            if instance in self._resolving:
                self._resolving[instance].cancel()
            self._on_heard(instance, None)
            return
        info = _info(instance)
        if info.load_from_cache(zeroconf):
            self._on_heard(instance, self._announcement(instance, info))
        elif instance in self._resolving:
            self._changed_meanwhile.add(instance)
        elif len(self._resolving) < _RESOLVING:
            self._resolving[instance] = asyncio.create_task(self._resolve(zeroconf, instance))

    async def _resolve(self, zeroconf: Zeroconf, instance: str) -> None:
        """Ask for the rest of what an instance says, and tell it."""
        try:
            again = True
            while again:
                self._changed_meanwhile.discard(instance)
                info = _info(instance)
                if info.load_from_cache(zeroconf) or await info.async_request(
                    zeroconf, _RESOLVE_MS
                ):
                    self._on_heard(instance, self._announcement(instance, info))
                again = instance in self._changed_meanwhile
        finally:
            del self._resolving[instance]

    def _announcement(self, instance: str, info: ServiceInfo) -> Announcement:
        heard = info.parsed_scoped_addresses(IPVersion.All)
        near = [one for one in heard if is_near(one) and is_loopback(one) == self._loopback]
        addresses = [one for address in near for one in self._zoned(address)]
        addresses.sort(key=lambda address: (is_link_local(address), ":" in address))
        texts = {
            key.decode("ascii", "replace"): (value or b"").decode("ascii", "replace")
            for key, value in info.properties.items()
        }
        found = tuple(dict.fromkeys(addresses))[:SIGHTING_ADDRESSES]
        return Announcement(instance, found, info.port or 0, texts)

    def _zoned(self, address: str) -> list[str]:
        """Return a link-local address that was heard without its zone with each that it may be."""
        if not is_link_local(address) or "%" in address:
            return [address]
        indexes = {one.index for one in self._interfaces if one.family == "IPv6"}
        return [f"{address}%{index}" for index in sorted(indexes)]


class _Ear(RecordUpdateListener):
    """Hears every record, also those that say nothing new.

    Attributes:
        heard: how many were of devices, since the last `ask`.
    """

    def __init__(self, on_alive: Callable[[str], None]) -> None:
        self.heard = 0
        self._on_alive = on_alive

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        for update in records:
            name = getattr(update.new, "alias", update.new.name)
            self.heard += name.lower().endswith(SERVICE_TYPE)
            instance = _instance(name)
            if instance is not None and not update.new.is_expired(now):
                self._on_alive(instance)


def _info(instance: str) -> AsyncServiceInfo:
    return AsyncServiceInfo(SERVICE_TYPE, f"{instance}.{SERVICE_TYPE}")


def _instance(name: str) -> str | None:
    """Return the instance of a service's full name; None where it is not one of ours."""
    instance = name.removesuffix(f".{SERVICE_TYPE}")
    return instance if _INSTANCE.fullmatch(instance) else None


def _choice(interfaces: Sequence[Interface]) -> list[str | int]:
    """Return the interfaces as zeroconf wants them named.

    It finds an interface by its IPv6 address, and takes the first where two have the same (as an
    interface and its VLANs do); by its number it finds the interface, but perhaps not the
    link-local address, from which answers would tell their zone.
    """
    ipv6 = [one.address for one in interfaces if one.family == "IPv6"]
    return [
        one.index if one.family == "IPv6" and ipv6.count(one.address) > 1 else one.address
        for one in interfaces
    ]
