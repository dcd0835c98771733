"""Fans events out to stream clients, from the store, each event encoded once.

The hub reads what was committed since its cursor whenever the store's bell rings. Clients at the
live end all get the same bytes; one that falls behind leaves the live end, is caught up from the
newest events in memory or from the store at its own pace, and comes back. Others never wait for
it.

Invariants
1. A client is sent events in the order of `seq`, each once, without gap, after its start.
2. Only what is committed is sent.
3. What a client has not read is bounded by `CLIENT_BUFFER_BYTES`; beyond that, or when nothing
   moved for `CLIENT_STALL_S`, it is closed with 4008 and its resume point.
4. A client that compaction overtook is closed so too: a hello is where it learns of the gap.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import struct
from collections.abc import Callable, Iterable, Sequence

from regend.api.metrics import Metrics
from regend.api.tail import Filter, Line, Tail, encode
from regend.clock import Clock, parse_rfc3339
from regend.errors import RegendError
from regend.jobs import history
from regend.jobs.history import StoredEvent
from regend.limits import (
    CATCH_UP_PAGE_LENGTH,
    CLIENT_BUFFER_BYTES,
    CLIENT_STALL_S,
    EVENTS_PAGE_BYTES,
    EVENTS_PER_FRAME,
    KIB,
)
from regend.store import Store

log = logging.getLogger("regend.api")

CLOSE_SLOW = 4008
CLOSE_FAILED = 1011

_LAGGING_BYTES = 256 * KIB  # unread by a client at the live end: it is caught up from here on
_POLL_S = 0.02


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
        close: Callable[[int, str], object],
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
        self._tail = Tail(self.seq)
        store.bell.listen(self._on_bell)

    def __len__(self) -> int:
        live = sum(len(connections) for connections in self._live.values())
        return live + len(self._catching_up)

    def add(self, connection: Connection) -> None:
        """Take a client in; it gets every event after its cursor."""
        if not self._join_live(connection):
            self._begin_catching_up(connection)

    def refilter(self, connection: Connection, wanted: Filter) -> int:
        """Change which events a client gets; return the `seq` after which it is so."""
        live = connection in self._live.get(connection.filter, ())
        if live:
            self._leave_live(connection)
            self._live.setdefault(wanted, set()).add(connection)
        connection.filter = wanted
        return self.seq if live else connection.cursor

    def remove(self, connection: Connection) -> None:
        """Forget a client."""
        self._leave_live(connection)
        task = self._catching_up.pop(connection, None)
        if task is not None:
            task.cancel()

    def _on_bell(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._on_turn)

    def _on_turn(self) -> None:
        """Send one batch; where there is more, let others have a turn first."""
        self._scheduled = False
        # The last commits of a store ring after its end; who is still here reads them in the next.
        if not self._store.closed and self._pump():
            self._on_bell()

    def _pump(self) -> bool:
        """Read what is new and send it to everyone at the live end; False if nothing was new."""
        with self._store.reading() as connection:
            floor = history.floor(connection)
            batch = history.after(connection, self.seq, EVENTS_PER_FRAME, EVENTS_PAGE_BYTES)
        if not batch:
            return False
        if floor > self.seq:
            self._start_anew_after(floor)
            batch = [stored for stored in batch if stored.event.seq > self.seq]
        if batch:
            lines = encode(batch)
            self._tail.add(lines)
            self.seq = lines[-1].seq
            self._send_live(lines)
            self._measure(batch)
        return True

    def _start_anew_after(self, floor: int) -> None:
        """Part with everyone at the live end: history was compacted before they were sent it."""
        for connection in [one for several in self._live.values() for one in several]:
            self._leave_live(connection)
            connection.close(CLOSE_SLOW, _resume_point(self.seq))
        self.seq = floor
        self._tail = Tail(floor)

    def _measure(self, batch: Sequence[StoredEvent]) -> None:
        late_ms = self._clock.wall_ms() - parse_rfc3339(batch[-1].event.at)
        self._metrics.event_latency.observe(max(0, late_ms) / 1000)
        for stored in batch:
            self._metrics.count(stored)

    def _send_live(self, lines: Sequence[Line]) -> None:
        lagging = []
        for wanted, connections in self._live.items():
            frames = events_frames(line for line in lines if wanted.lets(line))
            for frame in frames:
                for connection in connections:
                    connection.transport.write(frame)
            if frames:
                lagging += [c for c in connections if c.unread > _LAGGING_BYTES]
        for connection in lagging:
            self._leave_live(connection)
            connection.cursor = self.seq
            self._begin_catching_up(connection)

    def _join_live(self, connection: Connection) -> bool:
        """Put a client that has everything up to now at the live end; False if it has not.

        Its cursor comes from the store and may be ahead of the live end, which must not send
        again what lies between.
        """
        while self.seq < connection.cursor and self._pump():
            pass
        if self.seq > connection.cursor:
            return False
        self._live.setdefault(connection.filter, set()).add(connection)
        return True

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
        try:
            while await self._drained(connection):
                lines = await self._next_lines(connection)
                # Read only now: the client may have changed it while the page was read.
                wanted = connection.filter
                for frame in events_frames(line for line in lines if wanted.lets(line)):
                    connection.transport.write(frame)
                if lines:
                    connection.cursor = lines[-1].seq
                if connection.unread <= _LAGGING_BYTES and self._join_live(connection):
                    return
        except _Compacted:
            connection.close(CLOSE_SLOW, _resume_point(connection.cursor))
        except (RegendError, sqlite3.Error) as error:
            log.error("a client cannot be caught up: %s", error)
            connection.close(CLOSE_FAILED, "")
        finally:
            if self._catching_up.get(connection) is asyncio.current_task():
                del self._catching_up[connection]

    async def _next_lines(self, connection: Connection) -> Sequence[Line]:
        """Return the events after a client's cursor, a page at most.

        Raises:
            _Compacted: some of them are kept no more.
        """
        start = connection.cursor
        lines = self._tail.after(start, CATCH_UP_PAGE_LENGTH)
        if lines is not None:
            return lines

        def read(reader: sqlite3.Connection) -> list[Line]:
            if start < history.floor(reader):
                raise _Compacted
            return encode(history.after(reader, start, CATCH_UP_PAGE_LENGTH, EVENTS_PAGE_BYTES))

        return await self._store.query(read)

    async def _drained(self, connection: Connection) -> bool:
        """Wait until the client has read most of what waits; False if it was closed instead."""
        unread, since_s = connection.unread, self._clock.monotonic_s()
        while unread > _LAGGING_BYTES // 2:
            if connection.transport.is_closing():
                return False
            stalled = self._clock.monotonic_s() - since_s > CLIENT_STALL_S
            if stalled or unread > CLIENT_BUFFER_BYTES:
                connection.close(CLOSE_SLOW, _resume_point(connection.cursor))
                return False
            await asyncio.sleep(_POLL_S)
            if connection.unread < unread:
                unread, since_s = connection.unread, self._clock.monotonic_s()
        return not connection.transport.is_closing()


class _Compacted(Exception):
    """A client's next events are kept no more; it must ask again and be told of the gap."""


def _resume_point(seq: int) -> str:
    return f'{{"after_seq":{seq}}}'


def events_frames(lines: Iterable[Line]) -> list[bytes]:
    """Return the WebSocket frames that carry these events, each about a page at most."""
    frames: list[bytes] = []
    texts: list[bytes] = []
    size = 0
    for line in lines:
        if texts and size + len(line.json) > EVENTS_PAGE_BYTES:
            frames.append(_events_frame(texts))
            texts, size = [], 0
        texts.append(line.json)
        size += len(line.json)
    if texts:
        frames.append(_events_frame(texts))
    return frames


def _events_frame(texts: Sequence[bytes]) -> bytes:
    return text_frame(b'{"op":"events","events":[' + b",".join(texts) + b"]}")


def text_frame(payload: bytes) -> bytes:
    """Return one unmasked, unfragmented WebSocket text frame (RFC 6455, section 5.2)."""
    length = len(payload)
    if length < 126:
        return bytes((0x81, length)) + payload
    if length < 65536:
        return struct.pack("!BBH", 0x81, 126, length) + payload
    return struct.pack("!BBQ", 0x81, 127, length) + payload
