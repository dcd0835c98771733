"""Fans events out to stream clients, from the store, each event encoded once.

The hub reads what was committed since its cursor whenever the store's bell rings. Clients at the
live end all get the same bytes; one that falls behind leaves the live end, is caught up from the
store at its own pace, and comes back. Others never wait for it.

Invariants
1. A client is sent events in the order of `seq`, each once, without gap, after its start.
2. Only what is committed is sent.
3. What a client has not read is bounded by `CLIENT_BUFFER_BYTES`; beyond that, or when nothing
   moved for `CLIENT_STALL_S`, it is closed with 4008 and its resume point.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from regend.api.metrics import Metrics
from regend.clock import Clock, parse_rfc3339
from regend.jobs import history
from regend.jobs.history import StoredEvent
from regend.limits import (
    CATCH_UP_PAGE_LENGTH,
    CLIENT_BUFFER_BYTES,
    CLIENT_STALL_S,
    EVENTS_PER_FRAME,
    KIB,
    MIB,
)
from regend.store import Store

CLOSE_SLOW = 4008

_LAGGING_BYTES = 256 * KIB  # unread by a client at the live end: it is caught up from here on
_FRAME_BYTES = 1 * MIB  # events are cut into frames about this large
_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Filter:
    """Which events a client gets: its user's, of all jobs or of some."""

    user: str
    jobs: frozenset[str] | None

    def lets(self, stored: StoredEvent) -> bool:
        """Tell whether the client gets this event."""
        if stored.user != self.user:
            return False
        return self.jobs is None or stored.event.job_id in self.jobs


class Connection:
    """One stream client, as the hub sees it.

    Args:
        transport: to which whole WebSocket frames are written.
        close: closes the connection with a code and a reason.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        wanted: Filter,
        cursor: int,
        close: Callable[[int, str], None],
    ) -> None:
        self.transport = transport
        self.filter = wanted
        self.cursor = cursor
        self.close = close

    @property
    def unread(self) -> int:
        """Bytes that wait for the client."""
        return self.transport.get_write_buffer_size()


class Hub:
    """The live end of the event stream."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics) -> None:
        self._store = store
        self._clock = clock
        self._metrics = metrics
        self._live: dict[Filter, set[Connection]] = {}
        self._catching_up: dict[Connection, asyncio.Task[None]] = {}
        self._scheduled = False
        with store.reading() as connection:
            self.seq = history.newest_seq(connection)
        store.bell.listen(self._on_bell)

    def __len__(self) -> int:
        live = sum(len(connections) for connections in self._live.values())
        return live + len(self._catching_up)

    def add(self, connection: Connection) -> None:
        """Take a client in; it gets every event after its cursor."""
        self._pump()
        if connection.cursor >= self.seq:
            self._live.setdefault(connection.filter, set()).add(connection)
        else:
            self._begin_catching_up(connection)

    def refilter(self, connection: Connection, wanted: Filter) -> None:
        """Change which events a client gets, from the next one on."""
        self._pump()
        if connection in self._live.get(connection.filter, ()):
            self._leave_live(connection)
            self._live.setdefault(wanted, set()).add(connection)
        connection.filter = wanted

    def remove(self, connection: Connection) -> None:
        """Forget a client."""
        self._leave_live(connection)
        task = self._catching_up.pop(connection, None)
        if task is not None:
            task.cancel()

    def _on_bell(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Read what is new and send it to everyone at the live end."""
        self._scheduled = False
        while True:
            with self._store.reading() as connection:
                batch = history.after(connection, self.seq, EVENTS_PER_FRAME)
            if not batch:
                return
            self.seq = batch[-1].event.seq
            self._send_live(batch)
            self._measure(batch)
            if len(batch) < EVENTS_PER_FRAME:
                return

    def _measure(self, batch: Sequence[StoredEvent]) -> None:
        late_ms = self._clock.wall_ms() - parse_rfc3339(batch[-1].event.at)
        self._metrics.event_latency.observe(max(0, late_ms) / 1000)
        for stored in batch:
            self._metrics.count(stored)

    def _send_live(self, batch: Sequence[StoredEvent]) -> None:
        lagging = []
        for wanted, connections in self._live.items():
            frames = events_frames(stored for stored in batch if wanted.lets(stored))
            for frame in frames:
                for connection in connections:
                    connection.transport.write(frame)
            if frames:
                lagging += [c for c in connections if c.unread > _LAGGING_BYTES]
        for connection in lagging:
            self._leave_live(connection)
            connection.cursor = self.seq
            self._begin_catching_up(connection)

    def _leave_live(self, connection: Connection) -> None:
        connections = self._live.get(connection.filter)
        if connections is not None:
            connections.discard(connection)
            if not connections:
                del self._live[connection.filter]

    def _begin_catching_up(self, connection: Connection) -> None:
        task = asyncio.create_task(self._catch_up(connection))
        self._catching_up[connection] = task

    async def _catch_up(self, connection: Connection) -> None:
        """Send a client what it missed, as fast as it reads, until it is at the live end."""
        while await self._drained(connection):
            start = connection.cursor
            page = await self._store.query(
                lambda c, start=start: history.after(c, start, CATCH_UP_PAGE_LENGTH)  # type: ignore[misc]
            )
            wanted = connection.filter
            for frame in events_frames(stored for stored in page if wanted.lets(stored)):
                connection.transport.write(frame)
            if page:
                connection.cursor = page[-1].event.seq
            if connection.cursor >= self.seq:
                del self._catching_up[connection]
                self._live.setdefault(connection.filter, set()).add(connection)
                return
        self._catching_up.pop(connection, None)

    async def _drained(self, connection: Connection) -> bool:
        """Wait until the client has read most of what waits; False if it was closed instead."""
        unread, since_s = connection.unread, self._clock.monotonic_s()
        while unread > _LAGGING_BYTES // 2:
            if connection.transport.is_closing():
                return False
            stalled = self._clock.monotonic_s() - since_s > CLIENT_STALL_S
            if stalled or unread > CLIENT_BUFFER_BYTES:
                connection.close(CLOSE_SLOW, f'{{"after_seq":{connection.cursor}}}')
                return False
            await asyncio.sleep(_POLL_S)
            if connection.unread < unread:
                unread, since_s = connection.unread, self._clock.monotonic_s()
        return not connection.transport.is_closing()


def events_frames(events: Iterable[StoredEvent]) -> list[bytes]:
    """Return the WebSocket frames that carry these events, each about `_FRAME_BYTES` at most."""
    frames: list[bytes] = []
    texts: list[str] = []
    size = 0
    for stored in events:
        text = stored.event.to_json()
        if texts and size + len(text) > _FRAME_BYTES:
            frames.append(_events_frame(texts))
            texts, size = [], 0
        texts.append(text)
        size += len(text)
    if texts:
        frames.append(_events_frame(texts))
    return frames


def _events_frame(texts: Sequence[str]) -> bytes:
    return text_frame(f'{{"op":"events","events":[{",".join(texts)}]}}'.encode())


def text_frame(payload: bytes) -> bytes:
    """Return one unmasked, unfragmented WebSocket text frame (RFC 6455, section 5.2)."""
    length = len(payload)
    if length < 126:
        return bytes((0x81, length)) + payload
    if length < 65536:
        return struct.pack("!BBH", 0x81, 126, length) + payload
    return struct.pack("!BBQ", 0x81, 127, length) + payload
