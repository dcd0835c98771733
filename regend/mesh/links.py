"""The links to the other devices: dialled, taken, and one kept of each.

Whoever can reach the other dials: networks let some in and not out. Where both did, both keep the
one that the device with the lower id dialled. Who calls later, though its link stands, has lost
that and does not know it here yet, or is a copy of that device's home: the newer link takes the
place of the older. So copies that run at once take turns, and each of them is met.

Invariants
1. There is one exchange with a device at a time, but for a moment.
2. A device that is not reached, or that this one cannot talk with, is tried again, at longer and
   longer intervals, soon when the network changes.
3. No device is dialled more than once a second: anybody can say that the network changed, and where
   a device is, and whoever carries what they exchange can cut each link as soon as it is made.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from regend.clock import Clock
from regend.errors import RegendError
from regend.limits import DIAL_ADDRESSES
from regend.sync.discovery import Sighting
from regend.sync.exchange import Exchange
from regend.sync.lanclient import connect
from regend.sync.link import Link
from regend.sync.tls import Credentials

log = logging.getLogger("regend.sync")

_FIRST_S: Final = 1.0
_DIAL: Final = "mesh-dial"
_LONGEST_S: Final = 60.0
_TURN_S: Final = 5.0  # that a link stands at least; both dial at once within far less
_LOOK_S: Final = 5.0


class Target(NamedTuple):
    """A device to be reached.

    Attributes:
        certificate: DER.
        addresses: and ports, likely ones first.
    """

    device: bytes
    certificate: bytes
    addresses: tuple[tuple[str, int], ...]


class Trouble(NamedTuple):
    """Why a device is not reached.

    Attributes:
        tried: addresses.
        reason: of the last of them, for people.
    """

    tried: tuple[str, ...]
    reason: str


class _Live(NamedTuple):
    """An exchange under way, whether this device dialled, and since when it stands."""

    exchange: Exchange
    dialled: bool
    since_s: float


class Links:
    """All exchanges of this device.

    Args:
        own: id of this device.
        targets: returns who is to be reached, and where.
        exchange: makes the exchange of a link.
        changed: called when an exchange ended.

    Attributes:
        troubles: why devices are not reached.
        refusals: why this device and another that was reached cannot talk.
    """

    def __init__(
        self,
        own: bytes,
        credentials: Credentials,
        clock: Clock,
        *,
        targets: Callable[[], Iterable[Target]],
        exchange: Callable[[Link], Exchange],
        changed: Callable[[], None],
    ) -> None:
        self._own = own
        self._credentials = credentials
        self._clock = clock
        self._targets = targets
        self._make = exchange
        self._changed = changed
        self._live: dict[bytes, _Live] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._dialling: set[bytes] = set()
        self._dialled_s: dict[bytes, float] = {}
        self._next_s: dict[bytes, float] = {}
        self._wait_s: dict[bytes, float] = {}
        self._poke = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._places: dict[bytes, str] = {}
        self.troubles: dict[bytes, Trouble] = {}
        self.refusals: dict[bytes, RegendError] = {}

    @property
    def exchanges(self) -> list[Exchange]:
        """Those under way."""
        return [live.exchange for live in self._live.values()]

    def to(self, device: bytes) -> Exchange | None:
        """Return the exchange with a device, once it has said hello."""
        found = self._live.get(device)
        return found.exchange if found and found.exchange.met.is_set() else None

    def dialled(self, exchange: Exchange) -> str | None:
        """Return where this device reached another, `host port`; None where it was called."""
        found = self._live.get(exchange.device)
        if found is None or found.exchange is not exchange or not found.dialled:
            return None
        return self._places.get(exchange.device)

    def start(self) -> None:
        """Begin to dial."""
        self._loop = asyncio.create_task(self._run(), name="mesh-links")

    async def stop(self) -> None:
        """End every exchange."""
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        for exchange in self.exchanges:
            await exchange.link.close("it stopped")
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def cut(self) -> None:
        """Dial nobody any more, and end every exchange without a word, as a cut cable does."""
        dials = [task for task in self._tasks if task.get_name() == _DIAL]
        for task in (*dials, *([self._loop] if self._loop else [])):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for exchange in self.exchanges:
            await exchange.link.cut()

    def look(self) -> None:
        """Dial soon whoever is not linked: the network changed, or who is of the mesh.

        Who was reached and would not talk is tried again in its time: neither mends that.
        """
        for device in self._next_s.keys() - self.refusals.keys():
            del self._next_s[device]
        for device in self._wait_s.keys() - self.refusals.keys():
            del self._wait_s[device]
        self._poke.set()

    def take(self, link: Link) -> None:
        """Take a link that another device opened."""
        self._begin(link, dialled=False)

    async def drop(self, device: bytes, reason: str) -> None:
        """End the exchange with a device."""
        found = self._live.get(device)
        if found is not None:
            await found.exchange.link.close(reason)

    async def _run(self) -> None:
        while True:
            self._poke.clear()
            pause_s = self._dial_due()
            try:
                async with asyncio.timeout(pause_s):
                    await self._poke.wait()
            except TimeoutError:
                continue

    def _dial_due(self) -> float:
        """Dial whoever is due, and return for how long nobody else is."""
        now_s, pause_s = self._clock.monotonic_s(), _LOOK_S
        for target in self._targets():
            device = target.device
            if device in self._live or device in self._dialling or not target.addresses:
                continue
            due_s = self._dialled_s.get(device, -_FIRST_S) + _FIRST_S
            due_s = max(due_s, self._next_s.get(device, 0.0))
            if due_s <= now_s:
                self._dialled_s[device] = now_s
                self._dialling.add(device)
                self._spawn(self._dial(target), _DIAL)
            else:
                pause_s = min(pause_s, due_s - now_s)
        return min(pause_s, _FIRST_S) if self._dialling else pause_s

    async def _dial(self, target: Target) -> None:
        tried, reason = [], ""
        try:
            for address, port in target.addresses:
                try:
                    link = await connect(self._credentials, address, port, target.certificate)
                except RegendError as error:
                    tried.append(f"{address} port {port}")
                    reason = error.message
                    continue
                self._places[target.device] = f"{address} {port}"
                self._begin(link, dialled=True)
                return
            self.troubles[target.device] = Trouble(tuple(tried), reason)
            self._put_off(target.device)
        finally:
            self._dialling.discard(target.device)

    def _put_off(self, device: bytes) -> None:
        wait_s = min(2 * self._wait_s.get(device, _FIRST_S / 2), _LONGEST_S)
        self._wait_s[device] = wait_s
        self._next_s[device] = self._clock.monotonic_s() + wait_s * random.uniform(0.5, 1)

    def _begin(self, link: Link, *, dialled: bool) -> None:
        known = self._live.get(link.device)
        preferred = dialled == (self._own < link.device)
        now_s = self._clock.monotonic_s()
        if known is not None and not known.exchange.link.closed.is_set():
            is_rival = known.dialled == dialled or not preferred
            if is_rival and now_s - known.since_s < _TURN_S:
                self._spawn(link.close("there is another link"), "mesh-close")
                return
            self._spawn(known.exchange.link.close("there is a newer link"), "mesh-close")
        exchange = self._make(link)
        self._live[link.device] = _Live(exchange, dialled, now_s)
        self.troubles.pop(link.device, None)
        self._spawn(self._exchange(exchange), "mesh-exchange")

    async def _exchange(self, exchange: Exchange) -> None:
        try:
            await exchange.run()
        except Exception:  # the outermost loop of a link: the others go on
            log.exception("an exchange broke")
        finally:
            found = self._live.get(exchange.device)
            if found is not None and found.exchange is exchange:
                del self._live[exchange.device]
            self._note_end(exchange)
            self._changed()
            self._poke.set()

    def _note_end(self, exchange: Exchange) -> None:
        device, fault = exchange.device, exchange.hindered.fault
        self.refusals.pop(device, None)
        if exchange.met.is_set() and fault is None:
            self._wait_s.pop(device, None)
            return
        self._put_off(device)
        if fault is not None:
            self.refusals[device] = fault
            self.troubles[device] = Trouble((exchange.link.address,), fault.message)

    def _spawn(self, work: object, name: str) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)  # type: ignore[call-overload]
        task.set_name(name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def addresses_of(
    device: bytes, found: Iterable[Sighting], known: Iterable[str]
) -> tuple[tuple[str, int], ...]:
    """Return where a device may be reached, likely addresses first.

    What is announced is the newest, but anybody can announce what they like: where it was reached
    before, or was said to be, comes next. An announcement of another day may be an old one that
    somebody repeats.

    Args:
        known: addresses as they are stored.
    """
    seen = sorted((one for one in found if one.device == device), key=lambda o: abs(o.days_ahead))
    at = [(address, one.port) for one in seen for address in one.addresses]
    in_turn = [*at[:1], *(_address(one) for one in known), *at[1:]]
    return tuple(dict.fromkeys(in_turn))[:DIAL_ADDRESSES]


def _address(known: str) -> tuple[str, int]:
    host, _, port = known.rpartition(" ")
    return host, int(port)
