"""Which addresses are near: those of home and office networks, and of this machine.

Only they are served and dialled, so that a port opened by mistake on the open internet serves
nobody there, and a forged announcement cannot make this device call a stranger far away.
"""

from __future__ import annotations

import ipaddress
from typing import Final

_NEAR: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8",  # RFC 1918
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",  # link-local, RFC 3927
        "100.64.0.0/10",  # shared by providers and overlay networks, RFC 6598
        "127.0.0.0/8",
        "fe80::/10",  # link-local, RFC 4291
        "fc00::/7",  # unique local, RFC 4193
        "::1/128",
    )
)


def plain(address: str) -> str:
    """Return an address without its zone, an IPv4 address mapped into IPv6 as IPv4.

    Raises:
        ValueError: it is no IP address.
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)


def is_near(address: str) -> bool:
    """Tell whether an IP address (with or without a zone) is near; what is none is not."""
    try:
        parsed = ipaddress.ip_address(plain(address))
    except ValueError:
        return False
    return any(parsed.version == network.version and parsed in network for network in _NEAR)


def is_link_local(address: str) -> bool:
    """Tell whether an address means something only together with an interface (IPv6)."""
    try:
        parsed = ipaddress.ip_address(plain(address))
    except ValueError:
        return False
    return parsed.version == 6 and parsed.is_link_local


def is_loopback(address: str) -> bool:
    """Tell whether a near address is one of this machine's own, which no other can mean."""
    return ipaddress.ip_address(plain(address)).is_loopback


def written(address: str, port: int) -> str:
    """Return address and port as people write them."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
