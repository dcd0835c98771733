"""Finds the person's other devices on the network, and lets them find this one.

What is announced is made so that only the mesh knows it (`beacon`). What is heard is a hint: who
answers at an address is proved by the certificate, and nothing here is believed before.

The network comes and goes while the daemon runs: every few seconds one function (`_look`) compares
what is with what should be (interfaces, the day, the announcement) and brings them together. It
never fails: no network, no multicast and a port that is taken are states, told by `report`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from regend.clock import Clock
from regend.limits import INTERFACES_LOOK_S, MDNS_ASK_S, SIGHTINGS
from regend.sync.beacon import day_of, recognise, recognise_wrong_clock, tag
from regend.sync.interfaces import Interface
from regend.sync.mdns import Announcement, Mdns
from regend.sync.reachreport import Reaches, ReachReport

log = logging.getLogger("regend.sync")

VERSION: Final = "1"
_TAG = re.compile(r"[0-9a-f]{16}")
_INVITE = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True)
class Sighting:
    """A device that announces itself on the network.

    Attributes:
        instance: its random name of today.
        addresses: where it may be called; likely ones first, link-local ones with their zone.
        port: of its one port.
        device: whose tag it shows; None where no known device would show it.
        invite: the number of the invite that is open there, or None.
        last_seen_ms: wall time at which it was heard last.
        days_ahead: by how many days its clock is ahead of this one's, where that is more than one.
    """

    instance: str
    addresses: tuple[str, ...]
    port: int
    device: bytes | None
    invite: int | None
    last_seen_ms: int
    days_ahead: int = 0


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is to be announced; `device` is None where there is no tag to show."""

    port: int
    device: bytes | None
    invite: int | None


class Discovery:
    """Announces this device and keeps the list of those that announce themselves.

    Invariants: `start` raises nothing, whatever the network; `changed` is called after each change
    of `found` other than of a time, in the loop's thread.

    Args:
        changed: called when `found` changed.
        loopback: whether to look on this machine instead of the network.
        look_s: between two looks at the interfaces.
    """

    def __init__(
        self,
        clock: Clock,
        changed: Callable[[], None] = lambda: None,
        *,
        loopback: bool = False,
        look_s: float = INTERFACES_LOOK_S,
    ) -> None:
        self._look_s = look_s
        self._clock = clock
        self._changed = changed
        self._devices: tuple[bytes, ...] = ()
        self._keys: tuple[bytes, ...] = ()
        self._wanted: _Wanted | None = None
        self._heard: dict[str, Announcement] = {}
        self._sightings: dict[str, Sighting] = {}
        self._searched: dict[str, tuple[bytes, int] | None] = {}  # device and day, by instance
        self._reaches = Reaches(loopback=loopback)
        self._ask_s = 0.0
        self._fault: str | None = None
        self._mdns: Mdns | None = None
        self._mdns_interfaces: tuple[Interface, ...] = ()
        self._instance = ""
        self._day = -1
        self._announced: Announcement | None = None
        self._poke = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    @property
    def found(self) -> tuple[Sighting, ...]:
        """Who announces itself now, this device left out."""
        return tuple(self._sightings.values())

    async def start(self) -> None:
        """Begin to look and, once something is to be announced, to announce."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Say goodbye to the network and end. Twice is once."""
        if self._task is not None:
            self._stopping = True
            self._poke.set()
            await asyncio.wait([self._task])
            self._task, self._stopping = None, False
        try:
            if self._mdns is not None:
                await self._mdns.withdraw()
        finally:
            await self._end_mdns()
        self._fault = None
        self._reaches.forget()

    def know(self, devices: Collection[bytes], keys: Sequence[bytes]) -> None:
        """Say which devices are to be recognised.

        Args:
            devices: ids of the other members.
            keys: of `beacon.discovery_key`, the newest last: the one that is announced.
        """
        if (self._devices, self._keys) != (tuple(devices), tuple(keys)):
            self._searched.clear()
        self._devices, self._keys = tuple(devices), tuple(keys)
        for heard in list(self._heard.values()):
            self._see(heard)
        self._poke.set()

    def advertise(self, port: int, device: bytes | None = None, invite: int | None = None) -> None:
        """Announce this device from now on.

        Args:
            port: of its one port.
            device: its own id, for the tag; None while it is in no mesh.
            invite: the number of the open invite; None while there is none.
        """
        self._wanted = _Wanted(port, device, invite)
        self._poke.set()

    def withdraw(self) -> None:
        """Announce nothing from now on, and go on looking."""
        self._wanted = None
        self._poke.set()

    def report(self) -> ReachReport:
        """Return where queries could leave, and in plain words where and why not."""
        return ReachReport(self._reaches.tried, self._fault, self._task is not None)

    async def _run(self) -> None:
        while not self._stopping:
            self._poke.clear()
            try:
                await self._look()
            except OSError as error:
                self._fault = error.strerror or str(error)
                await self._end_mdns()
            except Exception:  # the outermost loop: looking must go on
                log.exception("looking for devices failed")
                await self._end_mdns()
            try:
                async with asyncio.timeout(self._look_s):
                    await self._poke.wait()
            except TimeoutError:
                pass

    async def _look(self) -> None:
        """Bring what is announced and where together with what should be."""
        usable = self._reaches.look(self._clock.monotonic_s())
        if self._mdns is None or usable != self._mdns_interfaces:
            await self._end_mdns()
            self._fault = None
            if usable:
                await self._begin_mdns(usable)
        await self._ask()
        day = day_of(self._clock.wall_ms())
        if day != self._day:
            self._day, self._instance = day, os.urandom(8).hex()
        wanted = self._announcement(usable)
        if self._mdns is not None and wanted != self._announced:
            if wanted is None:
                await self._mdns.withdraw()
            else:
                await self._mdns.announce(wanted)
            self._announced = wanted
        await self._search_wrong_clock()

    async def _ask(self) -> None:
        """Ask who is there, from time to time and where somebody is said to have gone."""
        now_s = self._clock.monotonic_s()
        if self._mdns is not None and (self._mdns.is_due or now_s >= self._ask_s):
            self._ask_s = now_s + MDNS_ASK_S
            await self._mdns.ask()

    async def _search_wrong_clock(self) -> None:
        """Look whether somebody unknown is a device whose clock is wrong: one to each look."""
        for one in list(self._sightings.values()):
            heard, keys = self._heard[one.instance], self._keys
            shown = heard.texts.get("t", "")
            if one.device or one.instance in self._searched or not _TAG.fullmatch(shown):
                continue
            if not keys or not self._devices:
                return
            day = day_of(self._clock.wall_ms())
            found = await asyncio.to_thread(
                recognise_wrong_clock, shown, one.instance, day, self._devices, keys[-1]
            )
            if keys == self._keys and one.instance in self._heard:
                self._searched[one.instance] = found
                self._see(self._heard[one.instance])
            return

    async def _begin_mdns(self, usable: tuple[Interface, ...]) -> None:
        self._mdns = Mdns(usable, self._on_heard, self._on_alive)
        self._mdns_interfaces = usable
        await self._mdns.start()
        self._ask_s = 0.0

    async def _end_mdns(self) -> None:
        mdns, self._mdns, self._announced = self._mdns, None, None
        if self._heard:
            self._heard.clear()
            self._sightings.clear()
            self._searched.clear()
            self._changed()
        if mdns is not None:
            await mdns.close()

    def _announcement(self, usable: tuple[Interface, ...]) -> Announcement | None:
        wanted = self._wanted
        if wanted is None:
            return None
        texts = {"v": VERSION}
        if wanted.device is not None and self._keys:
            texts["t"] = tag(self._keys[-1], wanted.device, self._instance, self._day)
        if wanted.invite is not None:
            texts["i"] = str(wanted.invite)
        if len(texts) == 1:
            return None  # nobody could make use of it
        addresses = [address for one in usable for address in (one.address, *one.others)]
        return Announcement(self._instance, tuple(addresses), wanted.port, texts)

    def _on_alive(self, instance: str) -> None:
        sighting = self._sightings.get(instance)
        if sighting is not None:
            now_ms = self._clock.wall_ms()
            self._sightings[instance] = replace(sighting, last_seen_ms=now_ms)

    def _on_heard(self, instance: str, heard: Announcement | None) -> None:
        if heard is None or heard.texts.get("v") != VERSION or not heard.addresses:
            if self._heard.pop(instance, None) is not None:
                del self._sightings[instance]
                self._searched.pop(instance, None)
                self._ask_s = 0.0  # anybody may say goodbye for it
                self._changed()
        elif instance != self._instance and self._has_room_for(instance):
            self._heard[instance] = heard
            self._see(heard)

    def _has_room_for(self, instance: str) -> bool:
        """Tell whether one more may be kept; forged ones go before those of the mesh."""
        if instance in self._heard or len(self._heard) < SIGHTINGS:
            return True
        for other, sighting in self._sightings.items():
            if sighting.device is None:
                del self._heard[other], self._sightings[other]
                self._searched.pop(other, None)
                return True
        return False

    def _see(self, heard: Announcement) -> None:
        shown, invite = heard.texts.get("t", ""), heard.texts.get("i", "")
        now_ms = self._clock.wall_ms()
        today, days_ahead = day_of(now_ms), 0
        before = self._sightings.get(heard.instance)
        device = None
        if _TAG.fullmatch(shown):
            device = recognise(shown, heard.instance, today, self._devices, self._keys)
        if device is None and (found := self._searched.get(heard.instance)) is not None:
            device, day = found
            days_ahead = day - today
        after = Sighting(
            heard.instance,
            heard.addresses,
            heard.port,
            device,
            int(invite) if _INVITE.fullmatch(invite) else None,
            now_ms,
            days_ahead,
        )
        self._sightings[heard.instance] = after
        if before is None or replace(before, last_seen_ms=now_ms) != after:
            self._changed()
