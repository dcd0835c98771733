"""The network interfaces of this machine, and whether a query can leave them.

An empty network and one that cannot be asked look alike from inside. So each interface is tried
with a packet of its own, and the system's answer is kept in its own words.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import ifaddr

from regend.sync.near import is_link_local, is_loopback, is_near, plain

MDNS_PORT: Final = 5353  # RFC 6762
MDNS_IPV4: Final = "224.0.0.251"
MDNS_IPV6: Final = "ff02::fb"

# A response without records: every responder drops it, and nobody learns anything from it.
_EMPTY_RESPONSE = struct.pack("!6H", 0, 0x8400, 0, 0, 0, 0)

Family = Literal["IPv4", "IPv6"]


@dataclass(frozen=True, slots=True, order=True)
class Interface:
    """A way out for queries: one interface, by IPv4 from one address or by IPv6.

    Attributes:
        name: as the system calls it for people.
        family: of the queries.
        address: from which they leave; without a zone.
        index: the system's number for the interface; 0 where it has none.
        others: its further near addresses of this family.
    """

    name: str
    family: Family
    address: str
    index: int
    others: tuple[str, ...] = ()


def interfaces(*, loopback: bool = False) -> tuple[Interface, ...]:
    """Return the ways out; interfaces without a near address have none.

    Args:
        loopback: whether to return the loopback interface (IPv4) instead of all others.
    """
    with contextlib.suppress(OSError):
        return tuple(sorted(_interfaces(loopback)))
    return ()


def _interfaces(loopback: bool) -> Iterator[Interface]:
    for adapter in ifaddr.get_adapters():
        index = adapter.index or 0
        texts = [one.ip if isinstance(one.ip, str) else one.ip[0] for one in adapter.ips]
        near = [plain(text) for text in texts if is_near(text)]
        for address in near:
            if ":" not in address and loopback == is_loopback(address):
                yield Interface(adapter.nice_name, "IPv4", address, index)
        ipv6 = [address for address in near if ":" in address and address != "::1"]
        ipv6.sort(key=lambda address: not is_link_local(address))
        if ipv6 and index and not loopback:
            yield Interface(adapter.nice_name, "IPv6", ipv6[0], index, tuple(sorted(ipv6[1:])))


def fault_of(interface: Interface) -> str | None:
    """Try whether a query could leave; return None if so, else the system's words for why not."""
    try:
        if interface.family == "IPv4":
            _send_ipv4(interface.address)
        else:
            _send_ipv6(interface.address, interface.index)
    except OSError as error:
        return error.strerror or str(error)
    return None


def _send_ipv4(address: str) -> None:
    here = socket.inet_aton(address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        # What receiving answers needs is tried as well: the address, and to join the group.
        sender.bind((address, 0))
        sender.setsockopt(
            socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(MDNS_IPV4) + here
        )
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, here)
        sender.sendto(_EMPTY_RESPONSE, (MDNS_IPV4, MDNS_PORT))


def _send_ipv6(address: str, index: int) -> None:
    group = socket.inet_pton(socket.AF_INET6, MDNS_IPV6) + struct.pack("@I", index)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.bind((address, 0, 0, index))  # fails while the system looks for duplicates of it
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        sender.sendto(_EMPTY_RESPONSE, (MDNS_IPV6, MDNS_PORT, 0, index))
