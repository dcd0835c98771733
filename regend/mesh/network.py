"""The mesh while it runs: who is met, over which links, and what follows from what they bring.

Without a second device or an open invite nothing listens. The roster decides who is met: it is
asked again whenever it grows. What they bring goes to `taking`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Collection, Coroutine, Iterator
from typing import Any, Final

from regend.clock import Clock
from regend.config import MeshConfig
from regend.errors import RegendError
from regend.home import Home
from regend.jobs import arrivals
from regend.jobs.supervisor import Supervisor
from regend.mesh import documents
from regend.mesh.events import DeviceEvents
from regend.mesh.founding import Standing
from regend.mesh.library import SharedLibrary
from regend.mesh.links import Links, Target, addresses_of
from regend.mesh.moving import Moves
from regend.mesh.packing import Packing
from regend.mesh.peers import Peers
from regend.mesh.statehash import state_hash
from regend.mesh.taking import Taking
from regend.store import Store
from regend.sync import authoring
from regend.sync.beacon import discovery_key
from regend.sync.discovery import Discovery
from regend.sync.exchange import Exchange
from regend.sync.fetching import Fetcher, Wanted
from regend.sync.house import House
from regend.sync.identity import tls_file
from regend.sync.lanserver import LanServer, PairingHandler
from regend.sync.link import Link
from regend.sync.roster import Roster
from regend.sync.tls import Credentials

log = logging.getLogger("regend.sync")

_REKEY_PAUSE_S: Final = 0.3  # in which links come up and rosters are exchanged


def credentials_of(standing: Standing, home: Home) -> Credentials:
    """Return who this device is on a connection."""
    pem = tls_file(home)
    return Credentials(standing.identity.id, standing.identity.certificate, pem, pem)


def fetcher_of(
    store: Store, clock: Clock, home: Home, library: SharedLibrary, moves: Moves
) -> Fetcher:
    """Return what gets the payloads of jobs and documents."""
    return Fetcher(
        store,
        clock,
        home.incoming_dir,
        wanted=wanted_payloads,
        writers=arrivals.writers,
        came=arrivals.blob_came,
        gone=arrivals.blob_gone,
        elsewhere=library.exported,
        done=lambda _digest: moves.let_go_soon(),
    )


class Network:
    """This device among the others of its mesh.

    Attributes:
        house: its keys, the roster and its replica.
        links: to the other devices.
        fetcher: gets payloads over them.
        packing: of what this device wrote.
        port: on which it listens; None while it does not.
        fault: why it cannot listen; None where it can, or need not.
        log_was_cut: called when the log ended that this device writes, though it is of the mesh.
    """

    def __init__(
        self,
        store: Store,
        home: Home,
        config: MeshConfig,
        clock: Clock,
        standing: Standing,
        roster: Roster,
        discovery: Discovery,
        supervisor: Supervisor,
        moves: Moves,
        library: SharedLibrary,
    ) -> None:
        self._store = store
        self._config = config
        self._clock = clock
        self._own = standing.identity.id
        self._discovery = discovery
        self._moves = moves
        self._library = library
        self._invite: tuple[int, PairingHandler] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._rekeying: asyncio.Task[None] | None = None
        credentials = credentials_of(standing, home)
        self._server = LanServer(credentials, self._take_link)
        self.fetcher = fetcher_of(store, clock, home, library, moves)
        arrived = moves.let_go_soon
        self._taking = Taking(store, clock, supervisor, documents.FOLDERS, arrived, self._spawn)
        self.port: int | None = None
        self.log_was_cut: Callable[[], None] = lambda: None
        self.fault: RegendError | None = None
        self.house = House(
            store,
            clock,
            standing.identity,
            standing.life.id,
            roster,
            take_in=self._taking.take_in,
            state_hash=state_hash,
            entropy=os.urandom,
        )
        self._peers = Peers(store, clock, self.house)
        self.packing = Packing(store, self.house)
        self.house.roster_changed = self._on_roster
        self.links = Links(
            self._own,
            credentials,
            clock,
            targets=self._targets,
            exchange=self._exchange,
            changed=self._on_left,
        )
        self._events = DeviceEvents(store, clock, lambda: self.links.exchanges, self.name_of)

    async def start(self) -> None:
        """Begin to meet the others; where the port is taken, by calling them alone."""
        await self._peers.remember()
        await self._taking.take_up_kept()
        await self.fetcher.sweep()
        await self._discovery.start()
        try:
            await self.listen()
        except RegendError as error:
            self.fault = error
            log.error("other devices cannot call this one: %s", error.message)
        self._on_roster()
        self.links.start()
        await self._events.start()
        self._library.start()
        self.packing.start()
        self._moves.let_go_soon()

    async def stop(self) -> None:
        """End every link, and listen no more."""
        self._discovery.withdraw()
        await self._events.stop()
        await self.packing.stop()
        await self.links.stop()
        await self._server.stop()
        await self._library.stop()
        await self.house.state_hash.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.fetcher.sender.close()

    async def invite(self, number: int | None, handler: PairingHandler) -> None:
        """Let newcomers pair by the invite of this number, until the next call; None: no more.

        Raises:
            BadInput: this device cannot listen.
        """
        self._invite = None if number is None else (number, handler)
        await self.listen()

    async def listen(self) -> None:
        """Listen where there is somebody to listen for, and announce it.

        Raises:
            BadInput: the port is taken, or cannot be listened on.
        """
        in_company = len(self.house.roster.living) > 1
        if not in_company and self._invite is None:
            self._discovery.withdraw()
            self._server.set_pairing(None)
            return
        if self.port is None:
            self.port = await self._server.start(self._config.port)
            self.fault = None
        number, handler = self._invite or (None, None)
        self._server.set_pairing(handler)
        self._discovery.advertise(self.port, self._own if in_company else None, number)

    def look(self) -> None:
        """Dial whoever is not linked: somebody was heard."""
        self.links.look()

    def name_of(self, device: bytes) -> str | None:
        """Return what a device of the mesh is called, or was."""
        member = self.house.roster.members.get(device)
        return member.name if member else None

    # What the parts tell

    def _take_link(self, link: Link) -> None:
        self.links.take(link)

    def _exchange(self, link: Link) -> Exchange:
        serve = self._moves.serve
        return Exchange(link, self.house, self.fetcher, self._store.bell, serve, self._on_met)

    def _on_left(self) -> None:
        self._events.look()
        self._see_to_keys()
        self._spawn(self._peers.remember())

    def _on_met(self, exchange: Exchange) -> None:
        self._events.look()
        self._see_to_keys()
        self._spawn(self._peers.note(exchange, self.links.dialled(exchange)))

    def _on_roster(self) -> None:
        """Go by the roster as it is now."""
        house, living = self.house, self.house.roster.living
        others = {one: member for one, member in living.items() if one != self._own}
        self._server.set_members(member.device.certificate for member in others.values())
        self._discovery.know(tuple(others), [discovery_key(key) for key in house.keys.values()])
        self._part_with_others(others)
        if any(one.is_revoked or one.cuts for one in house.roster.members.values()):
            self._spawn(self._taking.take_back(house))
        if self._own in living and house.roster.cut(self._own, house.incarnation) is not None:
            self.log_was_cut()
        self._spawn(self.listen())
        self.links.look()
        self._see_to_keys()

    def _see_to_keys(self) -> None:
        """Let every member have a key that all have, where it is for this device to give it."""
        if self.house.roster.is_rekey_due and (self._rekeying is None or self._rekeying.done()):
            self._rekeying = self._spawn(self._rekey())

    async def _rekey(self) -> None:
        house = self.house
        while True:
            await asyncio.sleep(_REKEY_PAUSE_S)
            linked = [one.device for one in self.links.exchanges if one.met.is_set()]
            if not house.roster.owes_rekey(self._own, house.keys, linked):
                return
            at_ms = self._clock.wall_ms()
            entry = authoring.rekey(house.roster, house.identity, at_ms, os.urandom)
            await house.add_entries([entry])

    def _part_with_others(self, members: Collection[bytes]) -> None:
        """End the links to who is not of the mesh any more; tell the others what is new."""
        for exchange in self.links.exchanges:
            if exchange.device not in members:
                reason = "it is not of the mesh any more"
                self._spawn(self.links.drop(exchange.device, reason))
            exchange.wake()

    def _targets(self) -> Iterator[Target]:
        """Yield who is to be reached, and where."""
        for device, member in self.house.roster.living.items():
            if device != self._own:
                peer = self._peers.peer(device)
                known = [one for one in (peer.address, peer.manual) if one]
                at = addresses_of(device, self._discovery.found, known)
                yield Target(device, member.device.certificate, at)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None:
            return
        if isinstance(error, RegendError):
            log.warning("the mesh: %s", error.message)
        else:
            log.error("a part of the mesh failed", exc_info=error)


def wanted_payloads(connection: sqlite3.Connection) -> Iterator[Wanted]:
    """Yield what payloads are to come: those of jobs that wait for them first, newest first."""
    rows = connection.execute(
        "SELECT w.digest, w.device FROM wanted_blobs w LEFT JOIN jobs j ON j.number = w.job "
        "ORDER BY coalesce(j.held AND j.remote = 0, 0) DESC, w.at DESC"
    )
    return (Wanted(*row) for row in rows)
