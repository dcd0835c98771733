"""Whom a device calls, how often, and that what strangers announce does not make it call them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from regend.clock import Clock, SystemClock
from regend.limits import DIAL_ADDRESSES
from regend.mesh.links import Links, Target, addresses_of
from regend.sync.discovery import Sighting
from regend.sync.exchange import Exchange
from regend.sync.link import Link
from tests.sync.devices import Device, make_device
from tests.sync.lan import until


class StandingClock(SystemClock):
    """A clock that goes on only when it is told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic_s(self) -> float:
        return self.now_s


class Stranger:
    """Answers at a port, hangs up on everybody and counts them."""

    def __init__(self) -> None:
        self.calls = 0
        self.port = 0

    async def answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def stranger() -> AsyncIterator[Stranger]:
    made = Stranger()
    server = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()
    await server.wait_closed()


def nobody(_link: Link) -> Exchange:
    raise AssertionError("no link was made")


def links_of(
    own: Device, clock: Clock, exchange: Callable[[Link], Exchange], *targets: Target
) -> Links:
    """Return the links of a device that may call these."""
    return Links(
        own.id,
        own.credentials,
        clock,
        targets=lambda: targets,
        exchange=exchange,
        changed=lambda: None,
    )


async def test_who_announces_without_end_is_not_called_without_end(
    tmp_path: Path, stranger: Stranger
) -> None:
    own, other = make_device(tmp_path / "own"), make_device(tmp_path / "other")
    clock = StandingClock()
    place = ("127.0.0.1", stranger.port)
    links = links_of(own, clock, nobody, Target(other.id, other.certificate, (place,)))
    links.start()
    try:
        for calls in (1, 2):
            await until(lambda calls=calls: stranger.calls == calls)  # type: ignore[misc]
            await until(lambda: other.id in links.troubles)
            for _ in range(30):
                links.look()
                await asyncio.sleep(0.01)
            assert stranger.calls == calls
            clock.now_s += 1.0  # but soon, when something changed
    finally:
        await links.stop()


def sighting(*addresses: str, port: int = 7868, device: bytes = b"d", ahead: int = 0) -> Sighting:
    return Sighting(addresses[0], addresses, port, device, None, 0, ahead)


def test_where_a_device_was_reached_is_tried_before_all_but_what_it_announces_first() -> None:
    found = [
        sighting("10.0.0.1", "10.0.0.2"),
        sighting("10.0.0.9", device=b"e"),
        sighting("fe80::1%2", port=7000),
    ]
    assert addresses_of(b"d", found, ["10.0.0.7 7868", "10.0.0.2 7868"]) == (
        ("10.0.0.1", 7868),
        ("10.0.0.7", 7868),
        ("10.0.0.2", 7868),
        ("fe80::1%2", 7000),
    )
    assert addresses_of(b"d", [], ["10.0.0.7 7868"]) == (("10.0.0.7", 7868),)


def test_announcements_of_other_days_that_anybody_can_repeat_come_last_and_are_few() -> None:
    repeated = [sighting(f"10.9.{n}.1", f"10.9.{n}.2", ahead=-n) for n in range(2, 200)]
    tried = addresses_of(b"d", [*repeated, sighting("10.0.0.1", "10.0.0.2")], ["10.0.0.7 7868"])
    assert tried[:3] == (("10.0.0.1", 7868), ("10.0.0.7", 7868), ("10.0.0.2", 7868))
    assert len(tried) == DIAL_ADDRESSES
