"""A link carries whole messages between two devices that have proved to one another who they are.

What runs over it (the session) does not know by which way: over the local network (`weblink`), in
memory (here), by the relay. `tests/sync/test_links.py` holds all ways to the same contract:

1. Messages arrive in the order in which `send` was called, each whole and once, or not at all: what
   arrives is a beginning of what was sent.
2. `send` waits while the other side does not take; what waits on either side is bounded.
3. The end of a link shows on both sides: `closed` is set, `receive` gives what had arrived whole
   and then None, `send` raises.
4. `close` lets go what was accepted, as far as the other side takes it soon; `cut` ends at once.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from typing import Literal

from regend.errors import Retryable, TooLarge
from regend.limits import LINK_MESSAGE_BYTES, LINK_WINDOW_BYTES
from regend.sync.pieces import PIECE_COST_BYTES

Way = Literal["lan", "memory", "relay"]

_BROKE = "the connection broke"
_CLOSED_THERE = "the other device closed it"


class Link(ABC):
    """One connection to one device; see the numbered contract above.

    Attributes:
        device: id of the device at the other end (16 bytes), proved by its certificate.
        way: how it goes.
        address: where the other device is, for people.
        closed: set once the link has ended.
        reason: why it ended, for people; empty before.
    """

    def __init__(self, device: bytes, way: Way, address: str) -> None:
        self.device = device
        self.way = way
        self.address = address
        self.closed = asyncio.Event()
        self.reason = ""

    @abstractmethod
    async def send(self, message: bytes) -> None:
        """Take a message to be carried; wait while there is no room for it.

        Cancelled, it was not sent.

        Raises:
            TooLarge: `message_too_large`; over `LINK_MESSAGE_BYTES`.
            Retryable: `link_ended`.
        """

    @abstractmethod
    async def receive(self) -> bytes | None:
        """Return the next message, None once the link ended. For one caller at a time."""

    @abstractmethod
    async def close(self, reason: str = "") -> None:
        """End the link, telling the other side why; twice is once."""

    @abstractmethod
    async def cut(self) -> None:
        """End the link at once and without a word."""

    def _require_open(self) -> None:
        if self.closed.is_set():
            raise Retryable("link_ended", f"The link to {self.address} has ended: {self.reason}.")


def require_small(message: bytes) -> None:
    """Check that a link may carry a message.

    Raises:
        TooLarge: `message_too_large`.
    """
    if len(message) > LINK_MESSAGE_BYTES:
        raise TooLarge(
            "message_too_large",
            f"A message between devices has at most {LINK_MESSAGE_BYTES} bytes, "
            f"and this one {len(message)}.",
        )


def closed_there(text: str) -> str:
    """Return the reason of a link that the other side closed, with what it said about it."""
    said = "".join(character for character in text if character.isprintable()).strip()
    return f"{_CLOSED_THERE}: {said}" if said else _CLOSED_THERE


def memory_pair(device_a: bytes, device_b: bytes) -> tuple[Link, Link]:
    """Return two joined links within this process: the first is `device_a`'s end."""
    end_a = _MemoryLink(device_b, "memory", f"memory:{device_b.hex()[:8]}")
    end_b = _MemoryLink(device_a, "memory", f"memory:{device_a.hex()[:8]}")
    end_a.other, end_b.other = end_b, end_a
    return end_a, end_b


class _MemoryLink(Link):
    """One end of a pair; what it was sent and has not received waits in it."""

    other: _MemoryLink

    def __init__(self, device: bytes, way: Way, address: str) -> None:
        super().__init__(device, way, address)
        self._messages: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._turn = asyncio.Lock()

    async def send(self, message: bytes) -> None:
        require_small(message)
        async with self._turn:
            while not self.closed.is_set() and not self.other._has_room(len(message)):
                self.other._room.clear()
                await self.other._room.wait()
            self._require_open()
            self.other._put(message)

    async def receive(self) -> bytes | None:
        while not self._messages:
            if self.closed.is_set():
                return None
            self._arrived.clear()
            await self._arrived.wait()
        message = self._messages.popleft()
        self._waiting_bytes -= len(message) + PIECE_COST_BYTES
        self._room.set()
        return message

    async def close(self, reason: str = "") -> None:
        self._end(reason or "it was closed")
        self.other._end(closed_there(reason))

    async def cut(self) -> None:
        for end in (self, self.other):
            if not end.closed.is_set():
                end._messages.clear()  # as a broken connection loses what was under way
            end._end(_BROKE)

    def _has_room(self, size_bytes: int) -> bool:
        return not self._messages or self._waiting_bytes + size_bytes <= LINK_WINDOW_BYTES

    def _put(self, message: bytes) -> None:
        self._messages.append(message)
        self._waiting_bytes += len(message) + PIECE_COST_BYTES
        self._arrived.set()

    def _end(self, reason: str) -> None:
        if not self.closed.is_set():
            self.reason = reason
            self.closed.set()
            self._arrived.set()
            self._room.set()
