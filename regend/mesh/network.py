"""The mesh while it runs: who is met, over which links, and what follows from what they bring.

Without a second device or an open invite nothing listens. Rules
1. The roster decides who is met: it is asked again whenever it grows.
2. What a device brings is told to the other parts of the daemon only after its commit.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable, Collection, Coroutine, Iterator
from typing import Any

from regend.clock import Clock
from regend.config import MeshConfig
from regend.errors import RegendError
from regend.home import Home
from regend.jobs import places
from regend.jobs.supervisor import Supervisor
from regend.mesh import peers
from regend.mesh.events import DeviceEvents
from regend.mesh.founding import Standing
from regend.mesh.jobs import Consequences, state_hash, take_in, take_up_kept
from regend.mesh.library import SharedLibrary
from regend.mesh.links import Links, Target
from regend.mesh.moving import Moves
from regend.mesh.unfolding import unfold
from regend.store import Store
from regend.store.change import LogId, first_head
from regend.sync import authoring
from regend.sync.beacon import discovery_key
from regend.sync.discovery import Discovery
from regend.sync.exchange import Exchange
from regend.sync.fetching import Fetcher, Wanted
from regend.sync.house import House
from regend.sync.identity import tls_file
from regend.sync.lanserver import LanServer, PairingHandler
from regend.sync.link import Link
from regend.sync.payloads import Cut
from regend.sync.replica import Opened, Received
from regend.sync.roster import Roster
from regend.sync.tls import Credentials

log = logging.getLogger("regend.sync")


def credentials_of(standing: Standing, home: Home) -> Credentials:
    """Return who this device is on a connection."""
    pem = tls_file(home)
    return Credentials(standing.identity.id, standing.identity.certificate, pem, pem)


class Network:
    """This device among the others of its mesh.

    Attributes:
        house: its keys, the roster and its replica.
        links: to the other devices.
        fetcher: gets payloads over them.
        port: on which it listens; None while it does not.
        fault: why it cannot listen; None where it can, or need not.
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
        self._supervisor = supervisor
        self._moves = moves
        self._library = library
        self._folders = library.folders()
        self._loop = asyncio.get_running_loop()
        self._known: dict[bytes, peers.Peer] = {}
        self._invite: tuple[int, PairingHandler] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        credentials = credentials_of(standing, home)
        self._server = LanServer(credentials, self._take_link)
        self.fetcher = Fetcher(
            store,
            clock,
            home.incoming_dir,
            wanted=wanted_payloads,
            came=places.blob_came,
            gone=places.blob_gone,
            elsewhere=library.exported,
            done=lambda _digest: moves.let_go_soon(),
        )
        self.port: int | None = None
        self.fault: RegendError | None = None
        self.house = House(
            store,
            clock,
            standing.identity,
            standing.life.id,
            roster,
            take_in=self._take_in,
            state_hash=state_hash,
            entropy=os.urandom,
        )
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
        await self._remember()
        await self._take_up_kept()
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
        self._moves.let_go_soon()

    async def stop(self) -> None:
        """End every link, and listen no more."""
        self._discovery.withdraw()
        await self._events.stop()
        await self.links.stop()
        await self._server.stop()
        await self._library.stop()
        await self.house.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

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

    def _take_in(
        self,
        connection: sqlite3.Connection,
        opened: list[Opened],
        cut: Callable[[LogId], int | None],
    ) -> Received:
        at_ms = self._clock.wall_ms()
        reopened = self.house.read_stored
        received, done = take_in(connection, opened, self._folders, cut, reopened, at_ms)
        if received.changes:
            # In the writer's thread, before the commit: the loop turns to it after.
            self._loop.call_soon_threadsafe(self._on_taken, done)
        return received

    async def _take_up_kept(self) -> None:
        """Fold what the program before this one could not, in pages."""
        while True:
            at_ms = self._clock.wall_ms()
            received, done = await self._store.write(
                lambda c, at_ms=at_ms: take_up_kept(c, self._folders, at_ms)  # type: ignore[misc]
            )
            if not received.changes:
                return
            self._on_taken(done)

    def _on_taken(self, done: Consequences) -> None:
        for job, desired in done.wished:
            self._supervisor.tell(job, desired)
        self._supervisor.end_lost()
        if done.arrived:
            self._moves.let_go_soon()
        if done.unneeded:
            self._spawn(asyncio.to_thread(self._store.blobs.discard, done.unneeded))

    def _take_link(self, link: Link) -> None:
        self.links.take(link)

    def _exchange(self, link: Link) -> Exchange:
        serve = self._moves.serve
        return Exchange(link, self.house, self.fetcher, self._store.bell, serve, self._on_met)

    def _on_left(self) -> None:
        self._events.look()
        self._spawn(self._remember())

    def _on_met(self, exchange: Exchange) -> None:
        self._events.look()
        at_ms = self._clock.wall_ms()
        theirs, state = dict(exchange.theirs), exchange.state_hash
        address = self.links.dialled(exchange)

        def note(connection: sqlite3.Connection) -> None:
            peers.note(connection, exchange.device, theirs, state, at_ms, address)

        self._spawn(self._note(note))

    async def _note(self, note: Callable[[sqlite3.Connection], None]) -> None:
        await self._store.write(note)

    async def _remember(self) -> None:
        self._known = await self._store.query(peers.peers)

    def _on_roster(self) -> None:
        """Go by the roster as it is now."""
        house, living = self.house, self.house.roster.living
        others = {one: member for one, member in living.items() if one != self._own}
        self._server.set_members(member.device.certificate for member in others.values())
        self._discovery.know(tuple(others), [discovery_key(key) for key in house.keys.values()])
        self._part_with_others(others)
        if len(others) + 1 < len(house.roster.members):
            self._spawn(self._unfold())
        self._spawn(self.listen())
        self.links.look()
        if house.roster.owes_rekey(self._own, house.keys):
            at_ms = self._clock.wall_ms()
            entry = authoring.rekey(house.roster, house.identity, at_ms, os.urandom)
            self._spawn(house.add_entries([entry]))

    async def _unfold(self) -> None:
        """Take back what revoked devices wrote past their cuts, where it was taken in before."""
        at_ms, opened = self._clock.wall_ms(), self.house.read_stored
        for log_id, place in (await self.house.vector()).items():
            cut = self.house.roster.cut(*log_id)
            if cut is None or place.seq <= cut.seq or log_id.device == self._own:
                continue
            end = cut if cut.seq else Cut(0, first_head(log_id))
            taken = await self._store.write(
                lambda c, log_id=log_id, end=end: unfold(c, log_id, end, opened, at_ms)  # type: ignore[misc]
            )
            log.info("%d changes of a revoked device do not count", taken)
        self._supervisor.end_lost()

    def _part_with_others(self, members: Collection[bytes]) -> None:
        """End the links to who is not of the mesh any more; tell the others what is new."""
        for exchange in self.links.exchanges:
            if exchange.device not in members:
                reason = "it is not of the mesh any more"
                self._spawn(self.links.drop(exchange.device, reason))
            exchange.wake()

    def _targets(self) -> Iterator[Target]:
        """Yield who is to be reached, and where: as it is announced, was reached, or was said."""
        for device, member in self.house.roster.living.items():
            if device == self._own:
                continue
            at = [
                (address, one.port)
                for one in self._discovery.found
                if one.device == device
                for address in one.addresses
            ]
            peer = self._known.get(device, peers.NOBODY)
            at += [_place(known) for known in (peer.address, peer.manual) if known]
            yield Target(device, member.device.certificate, tuple(dict.fromkeys(at)))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

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


def _place(known: str) -> tuple[str, int]:
    host, _, port = known.rpartition(" ")
    return host, int(port)
