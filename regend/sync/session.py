"""What two devices say to one another: a state machine without sockets, clock or store.

Bytes come in and events come out; what is to be said is asked for and bytes come out. The loop
around it (`exchange`) moves them over a link, reads and writes the store, and asks `next_log` what
to send. One session is one connection: whatever it had sent and was not acknowledged is found
missing by the hellos of the next.

Messages are msgpack arrays, the first element names them:

    hello    protocols, mesh, incarnation, roster ids, {log: [seq, head]}, state hash, {at: …}, …
    roster   [entry, …]                        what the other lacks of it
    frames   [frame, …]                        in the order of their logs
    have     {log: [seq, head]}, state hash, settled, …
                                               durable here; also what this device wrote since
    want     log, seq                          frames of a log after `seq`, again
    get      digest, offset                    a piece of a payload
    piece    digest, offset, size, bytes       size 0: it is not here (any more)
    call     number, name, arguments
    answer   number, ok, value
    bye      code, text

Invariants
1. The first message of either side is a hello; a newer program may say more in it. What a side
   sends depends on the other's alone from then on: one round trip.
2. What this side holds to be there, the other side said it has, or it was sent in this session.
3. What is sent and not settled is bounded (`window`): what one side does not take, nothing waits
   for.
4. What does not fit the table ends the session with `Broken`; nothing of it was acted on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from regend.errors import Refused
from regend.limits import BLOB_CHUNK_BYTES
from regend.store.change import DEVICE_BYTES, HEAD_BYTES, INCARNATION_BYTES, LogId, Position
from regend.sync.frame import MESH_BYTES
from regend.sync.payloads import as_bytes, as_number
from regend.sync.vectors import Vector, packed, unpacked
from regend.sync.window import Window

PROTOCOLS: Final = (1, 1)  # oldest and newest that this program speaks


class Broken(Refused):
    """The other side said what the protocol does not allow; the session is over."""

    def __init__(self, what: str) -> None:
        super().__init__("session_broken", f"The other device {what}.")


@dataclass(frozen=True, slots=True)
class Met:
    """The other side's hello: from here on it is known what either lacks.

    Attributes:
        at_ms: wall time there; None where it did not say.
    """

    incarnation: bytes
    roster: frozenset[bytes]
    state_hash: bytes
    at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class RosterCame:
    """Entries of the roster."""

    entries: list[bytes]


@dataclass(frozen=True, slots=True)
class FramesCame:
    """Frames of any logs; to be acknowledged by `have` once they are durable."""

    frames: list[bytes]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The other side has more than before, or its state is another."""

    state_hash: bytes


@dataclass(frozen=True, slots=True)
class PieceWanted:
    """The other side asks for a piece of a payload."""

    digest: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class PieceCame:
    """A piece of a payload; `size` is that of the whole, 0 where the other side has it not."""

    digest: bytes
    offset: int
    size: int
    content: bytes


@dataclass(frozen=True, slots=True)
class Called:
    """The other side asks for something to be done."""

    number: int
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a call of this side."""

    number: int
    ok: bool
    value: Any


@dataclass(frozen=True, slots=True)
class Left:
    """The other side ends the session."""

    code: str
    text: str


Event = (
    Met
    | RosterCame
    | FramesCame
    | Acknowledged
    | PieceWanted
    | PieceCame
    | Called
    | Answered
    | Left
)


class Session:
    """One side of a conversation.

    Args:
        mesh: id of the mesh; another's device is refused.

    Attributes:
        theirs: how far each log is there, as they said.
    """

    def __init__(self, mesh: bytes) -> None:
        self._mesh = mesh
        self._met = False
        self._calls = 0
        self._open_calls: set[int] = set()
        self.theirs: dict[LogId, Position] = {}
        self._sent: dict[LogId, int] = {}
        self._again: dict[LogId, int] = {}  # asked for though it is there: from this change on
        self._shown: set[LogId] = set()
        self._window = Window()

    # What to say

    def hello(
        self,
        incarnation: bytes,
        roster: Iterable[bytes],
        vector: Vector,
        state_hash: bytes,
        at_ms: int | None = None,
    ) -> bytes:
        """Return the first message.

        Args:
            at_ms: wall time, by which the other side sees that one of the two clocks is wrong.
        """
        ids, more = sorted(roster), {} if at_ms is None else {"at": at_ms}
        said = (PROTOCOLS, self._mesh, incarnation, ids, packed(vector), state_hash, more)
        return _pack(("hello", *said))

    def roster(self, entries: Iterable[bytes]) -> bytes:
        """Return the message that carries entries of the roster."""
        return _pack(("roster", list(entries)))

    def have(self, vector: Vector, state_hash: bytes, settled: int = 0) -> bytes:
        """Return the message that says what is durable here.

        Args:
            settled: with how many `frames` messages of the other side this one had come to the end
                before the vector was read.
        """
        return _pack(("have", packed(vector), state_hash, settled))

    def want(self, log: LogId, seq: int) -> bytes:
        """Return the message that asks for a log's changes after `seq` again."""
        return _pack(("want", *log, seq))

    def get(self, digest: bytes, offset: int) -> bytes:
        """Return the message that asks for a piece of a payload."""
        return _pack(("get", digest, offset))

    def piece(self, digest: bytes, offset: int, size: int, content: bytes) -> bytes:
        """Return the message that carries a piece of a payload."""
        return _pack(("piece", digest, offset, size, content))

    def call(self, name: str, arguments: Mapping[str, Any]) -> tuple[int, bytes]:
        """Return the number of a call, and the message that makes it."""
        self._calls += 1
        self._open_calls.add(self._calls)
        return self._calls, _pack(("call", self._calls, name, dict(arguments)))

    def answer(self, number: int, ok: bool, value: Any) -> bytes:
        """Return the message that answers a call."""
        return _pack(("answer", number, ok, value))

    def bye(self, code: str, text: str) -> bytes:
        """Return the message that ends the session."""
        return _pack(("bye", code, text))

    # What to send

    def next_log(self, vector: Vector, without: Collection[LogId] = ()) -> tuple[LogId, int] | None:
        """Return a log of which the other side lacks changes, and from where on; None where it
        lacks none, or too much is under way. The log of which least is missing comes first, so that
        what happens now does not wait behind what happened long ago. Where a log is as long there
        and is another, its end is sent once, so that the other side sees it.

        Args:
            without: logs that are left out.
        """
        if not self._met or self._window.is_full:
            return None
        for log, position in vector.items():
            other = self.theirs.get(log, _NOTHING)
            if other.seq == position.seq and other.head != position.head and log not in self._shown:
                self._shown.add(log)  # that the two histories differ
                self._again[log] = position.seq - 1
        lacking = [
            (position.seq - known, log, known)
            for log, position in vector.items()
            if (known := self._known(log)) < position.seq
            and log not in without
            and log not in self._window.untaken
        ]
        if not lacking:
            return None
        _, log, known = min(lacking)
        return log, known

    def frames(self, log: LogId, last: int, frames: list[bytes]) -> bytes:
        """Return the message that carries a log's next frames, up to the change `last`."""
        message = _pack(("frames", frames))
        self._sent[log] = max(last, self._sent.get(log, 0))
        if log in self._again:
            self._again[log] = last
            if last >= self._acknowledged(log):
                del self._again[log]
        self._window.sent(log, last, len(message))
        return message

    def _known(self, log: LogId) -> int:
        if log in self._again:
            return self._again[log]
        return max(self._acknowledged(log), self._sent.get(log, 0))

    # What was said

    def receive(self, message: bytes) -> Event | None:
        """Return what a message says; None where there is nothing to do about it.

        Raises:
            Broken: it is not of this protocol.
            Refused: the other side is of another mesh, or speaks no common version.
        """
        try:
            name, *fields = msgpack.unpackb(message, strict_map_key=False)
            taker = _TAKERS[name]
        except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
            raise Broken("sent what is no message") from error
        if not self._met and name not in ("hello", "bye"):
            raise Broken("spoke before it said hello")
        try:
            event: Event | None = taker(self, *fields)
            return event
        except (TypeError, ValueError, AttributeError) as error:
            raise Broken(f"sent a message “{name}” that cannot be read") from error

    def _take_hello(
        self,
        protocols: Any,
        mesh: Any,
        incarnation: Any,
        roster: Any,
        vector: Any,
        state_hash: Any,
        more: Any = None,
        *_newer: Any,
    ) -> Event:
        if self._met:
            raise Broken("said hello twice")
        oldest, newest = (as_number(one, 0) for one in protocols)
        if newest < PROTOCOLS[0] or oldest > PROTOCOLS[1]:
            older = "this" if oldest > PROTOCOLS[1] else "the other"
            raise Refused(
                "protocol_unknown",
                "The two devices speak no common version of the protocol.",
                hint=f"Upgrade regend on {older} device.",
            )
        if as_bytes(mesh, MESH_BYTES) != self._mesh:
            raise Refused("mesh_foreign", "The other device belongs to another mesh.")
        theirs = unpacked(vector)
        ids = frozenset(as_bytes(one, MESH_BYTES) for one in roster)
        at_ms = more.get("at") if isinstance(more, dict) else None  # older programs say nothing
        at_ms = at_ms if type(at_ms) is int else None
        met = Met(as_bytes(incarnation, INCARNATION_BYTES), ids, as_bytes(state_hash), at_ms)
        self.theirs = theirs
        self._met = True
        return met

    def _take_roster(self, entries: Any) -> Event:
        return RosterCame([as_bytes(one) for one in entries])

    def _take_frames(self, frames: Any) -> Event:
        return FramesCame([as_bytes(one) for one in frames])

    def _take_have(self, vector: Any, state_hash: Any, settled: Any = 0, *_newer: Any) -> Event:
        event, number = Acknowledged(as_bytes(state_hash)), as_number(settled, 0)
        # All of it, not what grew alone: what a revoked device wrote past its cut is taken back.
        before, self.theirs = self.theirs, unpacked(vector)
        for log, position in before.items():
            if self._acknowledged(log) < position.seq:  # taken back there, and may come again
                self._sent.pop(log, None)
        self._window.settle(number, before, self.theirs)
        return event

    def _acknowledged(self, log: LogId) -> int:
        return self.theirs.get(log, _NOTHING).seq

    def _take_want(self, device: Any, incarnation: Any, seq: Any) -> None:
        log = LogId(as_bytes(device, DEVICE_BYTES), as_bytes(incarnation, INCARNATION_BYTES))
        known = as_number(seq, 0)
        if log in self._sent:
            self._sent[log] = min(known, self._sent[log])
        if known < self._acknowledged(log):
            self._again[log] = known
        self._window.forget(log)

    def _take_get(self, digest: Any, offset: Any) -> Event:
        return PieceWanted(as_bytes(digest, 32), as_number(offset, 0))

    def _take_piece(self, digest: Any, offset: Any, size: Any, content: Any) -> Event:
        if len(as_bytes(content)) > BLOB_CHUNK_BYTES:
            raise Broken("sent a piece that is too large")
        return PieceCame(as_bytes(digest, 32), as_number(offset, 0), as_number(size, 0), content)

    def _take_call(self, number: Any, name: Any, arguments: Any) -> Event:
        if not isinstance(name, str) or not isinstance(arguments, dict):
            raise Broken("called without a name")
        return Called(as_number(number, 0), name, arguments)

    def _take_answer(self, number: Any, ok: Any, value: Any) -> Event | None:
        if as_number(number, 0) not in self._open_calls:
            return None  # whoever asked has given up
        self._open_calls.remove(number)
        return Answered(number, ok is True, value)

    def _take_bye(self, code: Any, text: Any) -> Event:
        if not isinstance(code, str) or not isinstance(text, str):
            raise Broken("left without saying why")
        return Left(code[:100], text[:1000])


_NOTHING: Final = Position(0, bytes(HEAD_BYTES))

_TAKERS: Final[dict[str, Any]] = {
    "hello": Session._take_hello,
    "roster": Session._take_roster,
    "frames": Session._take_frames,
    "have": Session._take_have,
    "want": Session._take_want,
    "get": Session._take_get,
    "piece": Session._take_piece,
    "call": Session._take_call,
    "answer": Session._take_answer,
    "bye": Session._take_bye,
}


def _pack(message: tuple[Any, ...]) -> bytes:
    packed: bytes = msgpack.packb(message)
    return packed
