"""How whole messages share one connection: cut into pieces, and never more than the other can hold.

A WebSocket message is one piece; its first byte tells the kind:

    MORE   bytes of a message that goes on in the next piece
    LAST   the rest of a message, or all of it
    TAKEN  8 bytes: how much of what came was taken by the program, since the connection began
    BEAT   nothing: I live

Whoever reads the connection reads always, and what the program has not taken waits here. If it
stopped reading instead (as TCP would have it), a slow program could not be told from a dead one,
because its beats would wait behind what it does not read.

Invariants
1. Messages arrive whole, in the order in which they were offered, or not at all.
2. At most `LINK_WINDOW_BYTES` are under way or wait at the other side, pieces' own cost included;
   a peer that sends more breaks the link. Nothing here grows beyond it.
3. Both sides count the same cost for a piece, whatever its kind of content.
4. A message of the largest size always fits in the end, if the program takes what came before.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from regend.errors import Refused
from regend.limits import LINK_MESSAGE_BYTES, LINK_PIECE_BYTES, LINK_WINDOW_BYTES

MORE: Final = 0
LAST: Final = 1
TAKEN: Final = 2
BEAT: Final = 3

PIECE_COST_BYTES: Final = 512  # beside its bytes: a flood of empty messages fills the window too
BEAT_PIECE: Final = bytes([BEAT])
_TELL_BYTES = LINK_WINDOW_BYTES // 4


class PiecesBroken(Refused):
    """The other side sent what this one cannot read or hold; the link must end."""

    def __init__(self, what: str) -> None:
        super().__init__("link_broken", f"The other device {what}.")


class Outgoing:
    """Cuts messages into pieces and lets them go while the other side can hold them."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._offset = 0
        self._sent = 0
        self._taken = 0

    @property
    def idle(self) -> bool:
        """Whether all that was offered has left."""
        return not self._messages

    def has_room(self, size_bytes: int) -> bool:
        """Tell whether a message may be offered: it is the only one, or they are small together."""
        return not self._messages or self._waiting_bytes + size_bytes <= LINK_MESSAGE_BYTES

    def offer(self, message: bytes) -> None:
        """Take a message of at most `LINK_MESSAGE_BYTES`, to go after those before it."""
        self._messages.append(message)
        self._waiting_bytes += len(message) + PIECE_COST_BYTES

    def next_piece(self) -> bytes | None:
        """Return what goes out next; None while there is nothing, or no room over there."""
        if not self._messages:
            return None
        message = self._messages[0]
        end = min(self._offset + LINK_PIECE_BYTES, len(message))
        cost = end - self._offset + PIECE_COST_BYTES
        if self._sent - self._taken + cost > LINK_WINDOW_BYTES:
            return None
        body = memoryview(message)[self._offset : end]
        self._sent += cost
        self._offset = end
        if end < len(message):
            return b"".join((bytes([MORE]), body))
        self._messages.popleft()
        self._waiting_bytes -= len(message) + PIECE_COST_BYTES
        self._offset = 0
        return b"".join((bytes([LAST]), body))

    def taken(self, total: int) -> None:
        """Note how much the other side has taken.

        Raises:
            PiecesBroken: less than before, or more than was sent.
        """
        if not self._taken <= total <= self._sent:
            raise PiecesBroken("claims to have taken what was never sent to it")
        self._taken = total


class Incoming:
    """Puts pieces together and keeps whole messages until the program takes them."""

    def __init__(self) -> None:
        self._messages: deque[tuple[bytes, int]] = deque()
        self._parts: list[memoryview] = []
        self._parts_bytes = 0
        self._parts_cost = 0
        self._held = 0
        self._taken = 0
        self._told = 0

    def feed(self, piece: bytes) -> int | None:
        """Take a piece from the wire; return the other side's count where it is a TAKEN.

        Raises:
            PiecesBroken: it is none, its message is too large, or the window is exceeded.
        """
        kind = piece[0] if piece else None
        if kind == BEAT and len(piece) == 1:
            return None
        if kind == TAKEN and len(piece) == 9:
            return int.from_bytes(piece[1:], "big")
        if kind not in (MORE, LAST) or len(piece) > LINK_PIECE_BYTES + 1:
            raise PiecesBroken("sent something that is no piece of a message")
        self._parts.append(memoryview(piece)[1:])
        self._parts_bytes += len(piece) - 1
        self._parts_cost += len(piece) - 1 + PIECE_COST_BYTES
        self._held += len(piece) - 1 + PIECE_COST_BYTES
        if self._parts_bytes > LINK_MESSAGE_BYTES:
            raise PiecesBroken("sent a message that is too large")
        if self._held > LINK_WINDOW_BYTES:
            raise PiecesBroken("sent more than this one had room for")
        if kind == LAST:
            self._messages.append((b"".join(self._parts), self._parts_cost))
            self._parts, self._parts_bytes, self._parts_cost = [], 0, 0
        return None

    def take(self) -> bytes | None:
        """Return the next whole message, None while there is none."""
        if not self._messages:
            return None
        message, cost = self._messages.popleft()
        self._held -= cost
        self._taken += cost
        return message

    def next_piece(self) -> bytes | None:
        """Return the TAKEN that is due, None while the other side need not hear of it yet."""
        if self._taken - self._told < _TELL_BYTES:
            return None
        self._told = self._taken
        return bytes([TAKEN]) + self._taken.to_bytes(8, "big")
