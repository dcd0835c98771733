"""What clients are told of the other devices: who came and went, and how far each sync is.

What was told is what stands in the store: a daemon that died with a link open tells at its next
start that the device is offline, unless it is back by then.

Rules
1. Nothing counts as told before it is committed; what could not be written is told later.
2. There is one look a second at most, however often something happens.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from functools import partial
from typing import Final

from regend import events
from regend.clock import Clock
from regend.errors import RegendError
from regend.jobs import jobless
from regend.jobs.history import Draft
from regend.jsontext import dumps
from regend.store import Store
from regend.store.change import LogId, Position
from regend.sync import replica
from regend.sync.exchange import Exchange
from regend.sync.presence import Presence, Sync

log = logging.getLogger("regend.sync")

_LOOK_S: Final = 1.0

Drafts = list[tuple[Draft, Callable[[], None]]]  # each with whom to tell that it is told


class DeviceEvents:
    """Tells clients of the other devices.

    Args:
        exchanges: returns those under way.
        name_of: returns what a device is called; None where it is not of the mesh any more.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        exchanges: Callable[[], Iterable[Exchange]],
        name_of: Callable[[bytes], str | None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._exchanges = exchanges
        self._name_of = name_of
        self._names: dict[bytes, str] = {}
        self._presences: dict[bytes, Presence] = {}
        self._syncs: dict[bytes, tuple[Exchange, Sync]] = {}
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin where the last run ended."""
        for device, (online, name) in (await self._store.query(jobless.last_presence)).items():
            self._presences[bytes.fromhex(device)] = Presence(online=online)
            self._names[bytes.fromhex(device)] = name
        self._task = asyncio.create_task(self._run(), name="device-events")

    async def stop(self) -> None:
        """End; what is told stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def look(self) -> None:
        """Look soon whether there is something to tell."""
        self._wake.set()

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._tell()
            except (RegendError, sqlite3.Error) as error:
                log.warning("what happens to devices cannot be told yet: %s", error)
            except Exception:  # the outermost loop: what comes next is told again
                log.exception("what happens to devices could not be told")
            await asyncio.sleep(_LOOK_S)
            presences, syncs = self._presences.values(), self._syncs.values()
            if all(one.is_settled for one in presences) and all(one.is_done for _, one in syncs):
                await self._wake.wait()

    async def _tell(self) -> None:
        """Write what there is to tell, in one transaction."""
        met = {one.device: one for one in self._exchanges() if one.began is not None}
        drafts = [*self._of_presence(met), *await self._of_syncs(met)]
        if not drafts:
            return
        at_ms = self._clock.wall_ms()

        def write(connection: sqlite3.Connection) -> None:
            for draft, _ in drafts:
                jobless.append(connection, draft, at_ms)

        await self._store.write(write)
        for _, told in drafts:
            told()

    def _of_presence(self, met: Mapping[bytes, Exchange]) -> Drafts:
        now_s = self._clock.monotonic_s()
        found: Drafts = []
        for device in {**self._presences, **met}:
            presence = self._presences.setdefault(device, Presence(online=False))
            if presence.look(device in met, now_s):
                type_name, data = events.DEVICE_OFFLINE, self._naming(device)
                if device in met:
                    type_name, data["way"] = events.DEVICE_ONLINE, met[device].link.way
                found.append((Draft(type_name, dumps(data)), presence.told))
        return found

    async def _of_syncs(self, met: Mapping[bytes, Exchange]) -> Drafts:
        """Return how far each sync is; a link that is new has one of its own."""
        for device, exchange in met.items():
            is_new = device not in self._syncs or self._syncs[device][0] is not exchange
            if is_new and exchange.began is not None:
                self._syncs[device] = exchange, Sync(*exchange.began)
        for device in [one for one in self._syncs if one not in met]:
            del self._syncs[device]
        if not self._syncs:
            return []
        ours, lacking = await self._store.query(_here)
        found: Drafts = []
        for device, (exchange, sync) in self._syncs.items():
            theirs, payloads = dict(exchange.theirs), lacking.get(device, 0)
            progress = sync.look(ours, theirs, exchange.counts, payloads)
            if progress is not None:
                data = {**self._naming(device), **asdict(progress)}
                draft = Draft(events.SYNC_PROGRESS, dumps(data))
                found.append((draft, partial(sync.told, progress)))
        return found

    def _naming(self, device: bytes) -> dict[str, str]:
        """Return what names a device; one that left the mesh has the name that it had."""
        name = self._name_of(device)
        if name is not None:
            self._names[device] = name
        return {"device": device.hex(), "name": self._names.get(device, device.hex()[:8])}


def _here(connection: sqlite3.Connection) -> tuple[dict[LogId, Position], dict[bytes, int]]:
    """Return how far each log is here, and how many payloads of each device are to come."""
    rows = connection.execute(
        "SELECT device, count(DISTINCT digest) FROM wanted_blobs GROUP BY device"
    )
    return replica.vector(connection), dict(rows.fetchall())
