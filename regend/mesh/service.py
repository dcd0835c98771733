"""What people do with their devices, and what they see of them.

Without a mesh nothing listens and nothing is written; the first invite or join begins one.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from regend.clock import Clock
from regend.config import Config
from regend.errors import Conflict
from regend.home import Home
from regend.jobs.supervisor import Supervisor
from regend.library.importer import Importer
from regend.mesh import founding, peers
from regend.mesh.founding import Standing
from regend.mesh.library import SharedLibrary
from regend.mesh.members import called, machine_name, put_out, rename
from regend.mesh.moving import Moves, RequireAble
from regend.mesh.network import Network
from regend.mesh.pairings import Pairings
from regend.mesh.view import devices_shown, invite_shown, report_shown
from regend.store import Store
from regend.sync import authoring
from regend.sync.discovery import Discovery
from regend.sync.entries import Entry
from regend.sync.forks import Fork, split_devices
from regend.sync.house import House
from regend.sync.invites import INVITE_S
from regend.sync.roster import Roster

log = logging.getLogger("regend.sync")


_BEGIN_OR_JOIN: Final = "Begin one: regend devices invite. Or join one: regend devices join CODE"


class Mesh:
    """The mesh of this daemon.

    Args:
        standing: what this home is to its mesh at the start.
        require_able: raises where this device cannot run a job of this type with this model.

    Attributes:
        network: the mesh while it runs; None where this device is in none.
        moves: takes jobs over.
    """

    def __init__(
        self,
        store: Store,
        home: Home,
        config: Config,
        clock: Clock,
        supervisor: Supervisor,
        importer: Importer,
        standing: Standing,
        require_able: RequireAble,
    ) -> None:
        self._store = store
        self._home = home
        self._config = config.mesh
        self._name = config.mesh.name or machine_name()
        self._clock = clock
        self._supervisor = supervisor
        self._library = SharedLibrary(store, clock, importer, home.incoming_dir)
        self._standing = standing
        self._discovery = Discovery(clock, self._on_heard, loopback=self._config.loopback)
        self._pairings = Pairings(standing.identity, clock, self._welcome, os.urandom)
        self._closing: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._reborn: asyncio.Task[None] | None = None
        self.network: Network | None = None
        self.moves = Moves(
            store,
            clock,
            supervisor,
            standing.log,
            lambda device: self.network.links.to(device) if self.network else None,
            lambda: self.network.fetcher if self.network else None,
            self._called,
            require_able,
        )

    async def start(self) -> None:
        """Take up the mesh that this home is of, if it is of one."""
        if self._standing.is_member:
            of_home = (self._store, self._home, self._standing, self._clock)
            self._standing = await founding.resumed(*of_home)
            self.moves.own = self._standing.log
            assert self._standing.roster is not None
            await self._open(self._standing.roster)

    async def stop(self) -> None:
        """End every link, and listen no more."""
        if self._closing is not None:
            self._closing.cancel()
        await asyncio.gather(*filter(None, [self._reborn]), return_exceptions=True)
        await self._close()
        await self._discovery.stop()
        await self.moves.stop()

    async def devices(self) -> dict[str, Any]:
        """Return the devices of the mesh; this one alone where there is none."""
        known = await self._store.query(peers.peers)
        split = await self._store.query(split_devices)
        vector = await self.network.house.vector() if self.network else {}
        return devices_shown(self._standing, self.network, known, split, vector, self._name)

    def report(self) -> dict[str, Any]:
        """Return what was tried to reach the others, and what hindered it."""
        return report_shown(self._standing, self.network, self._discovery, self._store)

    async def invite(self, name: str | None) -> dict[str, Any]:
        """Open an invite, beginning a mesh where there is none; return its code.

        Args:
            name: of this device in the mesh.

        Raises:
            BadInput: the name is none, or this device cannot listen.
            RateLimited: many invites are open.
        """
        if self.network is None:
            at_ms = self._clock.wall_ms()
            identity = self._standing.identity
            entry = authoring.genesis(identity, name or self._name, at_ms, os.urandom)
            await self._enter([entry])
        elif name is not None:
            await self.rename(self._standing.identity.id.hex(), name)
        network = self._require()
        own = network.house.roster.members[self._standing.identity.id]
        shown = self._pairings.open(own.name, network.house.mesh)
        await network.invite(self._pairings.number, self._pairings.invite)
        self._close_later()
        return invite_shown(shown, network, loopback=self._config.loopback)

    async def join(
        self, code: str, address: str | None, name: str | None, leave: bool
    ) -> dict[str, Any]:
        """Join the mesh of the device that shows a code.

        Args:
            address: `host` or `host:port`, where the device is not found by itself.
            name: of this device in the mesh; None for what it was called before.
            leave: whether it leaves the mesh that it is in with others.

        Raises:
            BadInput: the code is none.
            RegendError: what the pairing came to; nothing was changed.
        """
        await self._discovery.start()
        own = self._standing.identity.id
        name = name or (self.network and self.network.name_of(own)) or self._name
        roster = self.network.house.roster if self.network and not leave else None
        welcome, address = await self._pairings.join(code, address, name, roster, self._discovery)
        entries = await founding.joined(self._store, own, welcome.device, welcome.entries)
        await self._close()
        # The networks on which an address is given are those on which nobody is found by itself.
        await self._store.write(lambda c: peers.note_address(c, welcome.device, address))
        await self._enter(entries)
        return await self.devices()

    async def revoke(self, device: str) -> dict[str, Any]:
        """Put a device out of the mesh; what it did up to now stays.

        Raises:
            NotFound: there is no such device.
            BadInput: it is this one.
            Conflict: there is no mesh, or it is out already.
        """
        await put_out(self._require().house, device)
        return await self.devices()

    async def rename(self, device: str, name: str) -> dict[str, Any]:
        """Give a device another name.

        Raises:
            NotFound: there is no such device.
            BadInput: the name is none.
            Conflict: there is no mesh, or another device has the name.
        """
        await rename(self._require().house, device, name)
        return await self.devices()

    async def takeover(self, user: str, job_id: str, force: bool) -> dict[str, Any]:
        """Let a job that another device runs go on here; see `moving.Moves.take`."""
        return await self.moves.take(user, job_id, force=force)

    async def _enter(self, entries: list[Entry]) -> None:
        """Be of the mesh that these entries describe, and run it."""
        roster = await asyncio.to_thread(Roster.of, entries)
        self._standing = await founding.renewed(self._store, self._home, self._standing, roster)
        self.moves.own = self._standing.log
        await self._open(await founding.enter(self._store, self._standing, entries, self._clock))

    async def _open(self, roster: Roster) -> None:
        self.network = Network(
            self._store,
            self._home,
            self._config,
            self._clock,
            self._standing,
            roster,
            self._discovery,
            self._supervisor,
            self.moves,
            self._library,
        )
        self.network.house.forked = partial(self._on_fork, self.network.house)
        self.network.log_was_cut = self._on_cut
        await self.network.start()

    def _on_fork(self, house: House, fork: Fork) -> None:
        """Begin a new life where it is this device's own log that has two histories."""
        if fork.log != self._standing.log or self._reborn is not None:
            log.warning("%s was copied, and both went on", self._called(fork.log.device))
            return
        log.warning(
            "this home was copied, or is an older state of itself: another has gone on with its "
            "log. It begins anew here, and keeps what it did."
        )
        self._reborn = asyncio.create_task(self._begin_anew(fork, house))

    def _on_cut(self) -> None:
        """Begin a new life: nobody hears any more what this one writes."""
        if self._reborn is None:
            log.warning("this device was put out and came back; this home begins anew")
            self._reborn = asyncio.create_task(self._begin_anew(None, self._require().house))

    async def _begin_anew(self, fork: Fork | None, house: House) -> None:
        """Go on in a new life: where its log went two ways, or as `start` does where it was cut."""
        await self._close()
        if fork is not None:
            await founding.begin_anew(self._store, self._home, fork, house.read_stored, self._clock)
        self._supervisor.end_lost()
        self._standing = await founding.look(self._store, self._home)
        self.moves.own = self._standing.log
        self._reborn = None
        await self.start()

    async def _close(self) -> None:
        if self.network is not None:
            network, self.network = self.network, None
            await network.stop()

    def _require(self) -> Network:
        if self.network is None:
            raise Conflict("no_mesh", "This device is in no mesh.", hint=_BEGIN_OR_JOIN)
        return self.network

    async def _welcome(self, add: Callable[[Roster], Entry | None]) -> list[bytes]:
        """Let a newcomer in durably; return the roster with it."""
        house: House = self._require().house
        entry = add(house.roster)
        if entry is not None:
            await house.add_entries([entry])
        await self._end_invite()
        return house.roster.blobs()

    def _close_later(self) -> None:
        """Stop showing an invite once it has run out."""
        if self._closing is not None:
            self._closing.cancel()
        loop = asyncio.get_running_loop()

        def close() -> None:
            task = loop.create_task(self._end_invite())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

        self._closing = loop.call_later(INVITE_S, close)

    async def _end_invite(self) -> None:
        if self.network is not None:
            await self.network.invite(self._pairings.number, self._pairings.invite)

    def _on_heard(self) -> None:
        if self.network is not None:
            self.network.look()

    def _called(self, device: bytes) -> str:
        roster = self.network.house.roster if self.network else None
        return called(roster, self._standing.identity.id, device)
