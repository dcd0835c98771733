"""Which addresses are near."""

from __future__ import annotations

import pytest

from regend.sync.near import is_link_local, is_near, plain, written


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.9.9", "127.0.0.1"),
        *("100.64.0.1", "100.127.255.255", "::1", "fe80::1", "fe80::1%eth0", "fe80::1%3"),
        *("fd12:3456::1", "fc00::1", "::ffff:192.168.1.1", "::ffff:127.0.0.1"),
    ],
)
def test_home_networks_and_this_machine_are_near(address: str) -> None:
    assert is_near(address)


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "172.32.0.1", "100.128.0.1", "100.63.255.255", "0.0.0.0", "255.255.255.255"),
        *("224.0.0.251", "2001:db8::1", "2600::1", "::", "ff02::fb", "fec0::1", "64:ff9b::a00:1"),
        *(
            "::ffff:8.8.8.8",
            "::10.0.0.1",
            "2002:a00:1::",
            "example.org",
            "",
            "10.0.0",
            "10.0.0.1/8",
        ),
    ],
)
def test_everything_else_is_far(address: str) -> None:
    assert not is_near(address)


def test_an_address_in_plain_has_no_zone_and_is_ipv4_where_it_can_be() -> None:
    assert plain("::FFFF:10.0.0.1") == "10.0.0.1"
    assert plain("FE80::0:1%eth0") == "fe80::1"


def test_only_link_local_addresses_need_an_interface() -> None:
    assert is_link_local("fe80::1") and is_link_local("fe80::1%2")
    assert not is_link_local("fd00::1") and not is_link_local("169.254.1.1")
    assert not is_link_local("nonsense")


def test_addresses_are_written_with_their_port() -> None:
    assert written("10.0.0.1", 7868) == "10.0.0.1:7868"
    assert written("fe80::1%2", 7868) == "[fe80::1%2]:7868"
