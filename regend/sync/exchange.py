"""The loop around a session: what one link brings goes into the store, what is new goes out.

Two tasks to a link. The one reads: a message is acted on before the next is read, so a device that
sends faster than this one can make durable is slowed down by its own link. The other writes: it is
woken by the store's bell, holds what the other side has against what is here, and sends the
difference, live events first. Payloads are fetched in between, piece by piece (`fetching`).

Rules
1. `have` is said only of what is committed.
2. What breaks ends this exchange alone; the next one begins at what both sides really have.
3. Who reads never waits for room on the link: two devices that both did would wait for ever. What
   reading makes due is sent by the one that writes, and is bounded.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Sized
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from regend.errors import Busy, Refused, RegendError
from regend.limits import LINK_CLOSE_S, OWED_TO_DEVICE
from regend.store.bell import Bell
from regend.store.change import LogId
from regend.sync import session as said
from regend.sync.calls import Calls
from regend.sync.fetching import Fetcher
from regend.sync.house import House, in_messages
from regend.sync.link import Link
from regend.sync.presence import Counts
from regend.sync.replica import Received
from regend.sync.session import Broken, Session
from regend.sync.vectors import Vector
from regend.sync.wants import Wants

log = logging.getLogger("regend.sync")

_IDLE_S: Final = 5.0  # between two looks without a ring: a payload may have become fetchable
_BUSY_RETRY_S: Final = 1.0

Serve = Callable[["Exchange", str, dict[str, Any]], Awaitable[Any]]


@dataclass
class Hindered:
    """What is not as it should be between two devices that are linked.

    Attributes:
        clock_ahead_ms: how far the other side's clock is ahead of this one's.
        is_newer: whether the other side says what this program is too old to read.
        refusal: why what came cannot be stored now; None where it can.
        fault: why one of the two ended the exchange; None where neither did.
    """

    clock_ahead_ms: int = 0
    is_newer: bool = False
    refusal: Busy | None = None
    fault: RegendError | None = None


class Exchange:
    """One link to one device, from hello to its end.

    Args:
        house: what this device is and has.
        fetcher: gets payloads, over whichever link.
        serve: does what the other side calls for; its errors go back as they are.
        changed: called when something of it is worth showing.

    Attributes:
        incarnation: of the other device; empty until it has said hello.
        met: set once it has.
        state_hash: of the other side, as it said last.
        reason: why it ended, for people; empty while it has not, or where nobody said.
        began: how far each log was here and there when both said hello.
        counts: what went over the link so far.
        hindered: what is not as it should be.
        wants: what the other side is asked to send again.
    """

    def __init__(
        self,
        link: Link,
        house: House,
        fetcher: Fetcher,
        bell: Bell,
        serve: Serve,
        changed: Callable[[Exchange], None] = lambda _exchange: None,
    ) -> None:
        self.link = link
        self.incarnation = b""
        self.met = asyncio.Event()
        self.state_hash = b""
        self.began: tuple[Vector, Vector] | None = None
        self.counts = Counts()
        self.hindered = Hindered()
        self.wants = Wants()
        self.reason = ""
        self._house = house
        self._fetcher = fetcher
        self._bell = bell
        self._changed = changed
        self._session = Session(house.mesh)
        self._calls = Calls(self._session, link, partial(serve, self))
        self._against: set[LogId] = set()  # logs that the other side has otherwise
        self._held_against: set[LogId] = set()
        self._theirs_first: Vector = {}
        self._their_roster: frozenset[bytes] = frozenset()
        self._due_pieces: deque[said.PieceWanted] = deque()
        self._wake = asyncio.Event()
        self._settled = 0  # messages of frames
        self._said: tuple[Any, ...] = ()

    @property
    def device(self) -> bytes:
        """Whose link it is."""
        return self.link.device

    @property
    def theirs(self) -> Vector:
        """How far each log is on the other side, as it said."""
        return self._session.theirs

    async def run(self) -> None:
        """Exchange until the link ends; does not raise for what the other side or the link did."""
        ring = self._wake.set
        self._bell.listen(ring)
        writing = asyncio.create_task(self._write(), name="exchange-writes")
        try:
            await self._read()
        except RegendError as error:
            self.hindered.fault, self.reason = error, error.message
            log.info("the exchange with %s ends: %s", self.device.hex()[:8], error.message)
            with suppress(RegendError, TimeoutError):
                async with asyncio.timeout(LINK_CLOSE_S):
                    await self.link.send(self._session.bye(error.code, error.message))
        finally:
            self._bell.forget(ring)
            self._fetcher.left(self)
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await self._calls.close()
            await self.link.close(self.reason)

    def wake(self) -> None:
        """Look now whether there is something to send."""
        self._wake.set()

    async def call(self, name: str, **arguments: Any) -> Any:
        """Ask the other side to do something; return what it answers; see `calls.Calls.make`."""
        return await self._calls.make(name, arguments)

    async def send_get(self, digest: bytes, offset: int) -> None:
        """Ask the other side for a piece of a payload."""
        await self.link.send(self._session.get(digest, offset))

    async def _read(self) -> None:
        while (message := await self.link.receive()) is not None:
            event = self._session.receive(message)
            match event:
                case said.Met():
                    self._on_met(event)
                case said.FramesCame(frames):
                    await self._on_frames(frames)
                    self._settled += 1
                case said.RosterCame(entries):
                    await self._house.take_roster(entries)
                case said.Acknowledged(state_hash):
                    self.state_hash = state_hash
                    self._changed(self)
                case said.PieceWanted():
                    _require_room(self._due_pieces)
                    self._due_pieces.append(event)
                case said.PieceCame():
                    self.counts.received_bytes += len(event.content)
                    await self._fetcher.took(self, event)
                case said.Called():
                    _require_room(self._calls.serving)
                    self._calls.serve(event)
                case said.Answered():
                    self._calls.take(event)
                case said.Left(code, text):
                    self.reason = text or code
                    self.hindered.fault = Refused(code, self.reason)
                    return
            self._wake.set()  # only now: who writes looks at what was made of it

    def _on_met(self, hello: said.Met) -> None:
        self.incarnation, self.state_hash = hello.incarnation, hello.state_hash
        self._their_roster = hello.roster
        if hello.at_ms is not None:
            self.hindered.clock_ahead_ms = hello.at_ms - self._house.wall_ms()
        self._fetcher.joined(self)
        self._theirs_first = dict(self.theirs)
        self.met.set()

    async def _on_frames(self, frames: list[bytes]) -> None:
        received = await _stored(self._house, frames, self.hindered)
        size = sum(map(len, frames))
        self.counts.changes += received.changes
        self.counts.change_bytes += size
        self.counts.received_bytes += size
        for log_id, locked in received.locked.items():
            self.wants.lock(log_id, locked)
        for log_id, seq in received.missing.items():
            if log_id not in self.wants.locked:  # or it would come to be locked again
                self.wants.add(log_id, seq)
        own = self._house.identity.id
        for fork in received.forks:
            if fork.log.device != own:
                self._against.add(fork.log)
            elif fork.common is None:
                self.wants.add(fork.log, 0)  # all of it: to see from where on it is another
        self._fetcher.wake()

    async def _hold_against(self, log_id: LogId) -> None:
        """Send what is here of a log, though the other side has as much: it has it otherwise.

        Only the device whose log it is can begin anew; any other keeps both histories until then.
        """
        last, seq = (await self._house.vector())[log_id].seq, 0
        while seq < last:
            seq, frames = await self._house.frames(log_id, seq)
            if not frames:
                return
            await self._send_frames(log_id, seq, frames)

    async def _write(self) -> None:
        """Say hello, then send whatever the other side lacks, whenever something changed."""
        try:
            house = self._house
            vector = await house.vector()
            state_hash = house.state_hash.of(vector)
            own = (house.incarnation, house.roster_ids, vector, state_hash, house.wall_ms())
            await self.link.send(self._session.hello(*own))
            self._calls.greeted.set()
            await self.met.wait()
            self.began = vector, self._theirs_first
            self._changed(self)
            while True:
                self._wake.clear()
                await self._send_roster()
                await self._send_due()
                await self._send_news()
                await self._fetcher.ask(self)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_IDLE_S):
                        await self._wake.wait()
        except (RegendError, sqlite3.Error) as error:
            self.reason = str(error)
            log.info("the exchange with %s ends: %s", self.device.hex()[:8], error)
            await self.link.close(self.reason)
        except Exception:  # the outermost loop of this half: the other must not go on alone
            log.exception("the exchange with %s broke", self.device.hex()[:8])
            await self.link.close("it broke")

    async def _send_roster(self) -> None:
        lacking = self._house.roster_ids - self._their_roster
        self._their_roster |= lacking
        for entries in in_messages(self._house.entries(lacking) if lacking else []):
            await self.link.send(self._session.roster(entries))

    async def _send_frames(self, log_id: LogId, last: int, frames: list[bytes]) -> None:
        """Send frames of a log up to a change, behind the entry that brings the key of them."""
        await self._send_roster()
        await self.link.send(self._session.frames(log_id, last, frames))

    async def _send_due(self) -> None:
        """Send what the other side asked for, and ask for what is missing of its logs."""
        for log_id, seq in self.wants.take(self._house.keys).items():
            await self.link.send(self._session.want(log_id, seq))
        for log_id in self._against - self._held_against:
            self._held_against.add(log_id)
            await self._hold_against(log_id)
        while self._due_pieces:
            wanted = self._due_pieces.popleft()
            digest = wanted.digest.hex()
            piece = await self._fetcher.sender.read_piece(self.device, digest, wanted.offset)
            await self.link.send(self._session.piece(wanted.digest, wanted.offset, *piece))
            self.counts.sent_bytes += len(piece[1])

    async def _send_news(self) -> None:
        """Send the frames that the other side lacks, and say what is here.

        A log that cannot be supplied now is looked at again when something changed.
        """
        unsupplied: set[LogId] = set()
        while True:
            settled = self._settled  # before the vector: what was taken of them is in it
            vector = await self._house.vector()
            wanted = self._session.next_log(vector, unsupplied)
            if wanted is None:
                break
            log_id, seq = wanted
            last, frames = await self._house.frames(log_id, seq)
            if not frames:
                unsupplied.add(log_id)
                continue
            await self._send_frames(log_id, last, frames)
            self.counts.sent_bytes += sum(map(len, frames))
            await self._send_due()
        state_hash = self._house.state_hash.of(vector)
        if (now := (vector, state_hash, settled)) != self._said:
            await self.link.send(self._session.have(*now))
            self._said = now
            self._changed(self)


def _require_room(owed: Sized) -> None:
    """Check that the other side may ask for one thing more."""
    if len(owed) >= OWED_TO_DEVICE:
        raise Broken("asks for more than can be under way")


async def _stored(house: House, frames: list[bytes], hindered: Hindered) -> Received:
    """Make frames durable; while the disk refuses, the other side waits."""
    while True:
        try:
            received = await house.take(frames)
            break
        except Busy as error:
            if hindered.refusal is None:
                log.warning("what came cannot be stored: %s", error.message)
            hindered.refusal = error
            await asyncio.sleep(_BUSY_RETRY_S)
    hindered.refusal = None
    hindered.is_newer |= received.newer > 0
    return received
