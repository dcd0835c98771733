"""The conversation of two devices, without links, clock and store: any order, and any nonsense."""

from __future__ import annotations

import contextlib
import random
from collections import deque
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regend.errors import Refused
from regend.limits import BLOB_CHUNK_BYTES, EXCHANGE_WINDOW_BYTES, MAX_MESH_LOGS
from regend.store.change import LogId, Position
from regend.sync import session as said
from regend.sync.session import Broken, Session
from tests.sync.replicas import anything

MESH = b"m" * 16
LIFE = b"i" * 8
LOGS = [LogId(bytes([number]) * 16, bytes([number]) * 8) for number in range(4)]


def place(seq: int) -> Position:
    return Position(seq, seq.to_bytes(32, "big"))


def hello(vector: dict[LogId, Position] | None = None, mesh: bytes = MESH) -> bytes:
    return Session(mesh).hello(LIFE, [], vector or {}, b"hash")


def met(vector: dict[LogId, Position] | None = None) -> Session:
    """Return a session that has heard the other's hello."""
    session = Session(MESH)
    session.receive(hello(vector))
    return session


class Side:
    """A device that does what the loop of an exchange does, one small thing at a time.

    A frame is `log number, first, last` as bytes; `has` tells how far each log is here.
    """

    def __init__(self, has: dict[int, int], frame_length: int, size_bytes: int) -> None:
        self.session = Session(MESH)
        self.has = dict(has)
        self.told: Any = None
        self.settled = 0
        self.frame_length = frame_length
        self.padding = bytes(size_bytes)
        self.outbox: deque[bytes] = deque([self.session.hello(LIFE, [], self.vector, b"")])
        self.taken: list[tuple[int, int]] = []

    @property
    def vector(self) -> dict[LogId, Position]:
        return {LOGS[log]: place(seq) for log, seq in self.has.items() if seq}

    def write(self, log: int) -> None:
        self.has[log] = self.has.get(log, 0) + 1

    def send(self) -> None:
        """Offer the next frames, or what is new to acknowledge."""
        wanted = self.session.next_log(self.vector)
        if wanted is not None:
            log, known = wanted
            last = min(self.has[LOGS.index(log)], known + self.frame_length)
            frame = msgpack.packb((LOGS.index(log), known + 1, last, self.padding))
            self.outbox.append(self.session.frames(log, last, [frame]))
            bound = EXCHANGE_WINDOW_BYTES + len(self.outbox[-1])
            assert self.session._window.size_bytes < bound
        elif self.session._met and self.told != (now := (dict(self.has), self.settled)):
            self.outbox.append(self.session.have(self.vector, b"", self.settled))
            self.told = now

    def receive(self, message: bytes) -> None:
        event = self.session.receive(message)
        if not isinstance(event, said.FramesCame):
            return
        for blob in event.frames:
            log, first, last, _ = msgpack.unpackb(blob)
            known = self.has.get(log, 0)
            if first > known + 1:
                self.outbox.append(self.session.want(LOGS[log], known))
            for seq in range(known + 1, last + 1):
                self.taken.append((log, seq))
            self.has[log] = max(known, last) if first <= known + 1 else known
        self.settled += 1


def are_level(sides: list[Side]) -> bool:
    """Tell whether each side knows that the other has what it has."""
    return all(side.session.theirs == side.vector for side in sides)


@given(
    st.dictionaries(st.integers(0, 3), st.integers(0, 20)),
    st.dictionaries(st.integers(0, 3), st.integers(0, 20)),
    st.integers(1, 7),
    st.sampled_from([0, 3 << 20]),
    st.randoms(use_true_random=False),
)
@settings(max_examples=25, deadline=None)
def test_two_sides_become_level_however_their_messages_interleave(
    left: dict[int, int],
    right: dict[int, int],
    frame_length: int,
    size_bytes: int,
    chance: random.Random,
) -> None:
    sides = [Side(left, frame_length, size_bytes), Side(right, frame_length, 0)]
    for _ in range(chance.randrange(40)):
        one, other = chance.sample(sides, 2)
        action = chance.choice(("write", "send", "send", "carry", "carry"))
        if action == "write":
            one.write(sides.index(one))
        elif action == "send":
            one.send()
        elif one.outbox:
            other.receive(one.outbox.popleft())
    for _ in range(1000):
        if are_level(sides):
            break
        for one, other in (sides, sides[::-1]):
            one.send()
            while one.outbox:
                other.receive(one.outbox.popleft())
    assert sides[0].vector == sides[1].vector
    assert are_level(sides)
    for side in sides:
        assert len(side.taken) == len(set(side.taken)), "each change is taken once"


def test_what_was_asked_for_again_is_sent_again() -> None:
    session = met()
    vector = {LOGS[0]: place(10)}
    session.frames(LOGS[0], 10, [b"frame"])
    assert session.next_log(vector) is None
    assert session.receive(Session(MESH).want(LOGS[0], 4)) is None
    assert session.next_log(vector) == (LOGS[0], 4)


def test_what_is_wanted_is_sent_though_it_is_there() -> None:
    """Two histories of one log look alike until the one that is there is held against the other."""
    session = met({LOGS[0]: place(10)})
    session.receive(Session(MESH).want(LOGS[0], 0))
    assert session.next_log({LOGS[0]: place(12)}) == (LOGS[0], 0)
    session.frames(LOGS[0], 4, [b"frame"])
    session.receive(Session(MESH).have({LOGS[0]: place(10)}, b""))
    assert session.next_log({LOGS[0]: place(12)}) == (LOGS[0], 4)
    session.frames(LOGS[0], 10, [b"frame"])
    assert session.next_log({LOGS[0]: place(10)}) is None
    assert session.next_log({LOGS[0]: place(12)}) == (LOGS[0], 10)


def test_what_was_taken_back_there_is_sent_again() -> None:
    session = met({LOGS[0]: place(10)})
    session.frames(LOGS[0], 12, [b"frame"])
    session.receive(Session(MESH).have({LOGS[0]: place(6)}, b""))
    assert session.next_log({LOGS[0]: place(12)}) == (LOGS[0], 6)


def test_what_is_under_way_is_bounded_and_goes_on_when_it_was_acknowledged() -> None:
    session = met()
    vector = {LOGS[0]: place(100)}
    sent = 0
    while (wanted := session.next_log(vector)) is not None:
        sent = wanted[1] + 1
        session.frames(LOGS[0], sent, [bytes(1 << 20)])
    assert 8 <= sent <= 9
    session.receive(Session(MESH).have({LOGS[0]: place(sent - 3)}, b""))
    assert session.next_log(vector) == (LOGS[0], sent)
    session.receive(Session(MESH).have({LOGS[0]: place(1)}, b""))
    assert session.theirs == {LOGS[0]: place(1)}, "what of a log counts no more is said too"
    assert session.next_log(vector) == (LOGS[0], 1), "another history may take its place"
    session.frames(LOGS[0], sent, [b"frame"])
    session.receive(Session(MESH).have({LOGS[0]: place(1)}, b""))
    assert session.next_log(vector) == (LOGS[0], sent), "and not sent again and again"


def test_the_log_of_which_least_is_missing_goes_first() -> None:
    session = met({LOGS[0]: place(5)})
    vector = {LOGS[0]: place(900), LOGS[1]: place(7), LOGS[2]: place(3)}
    assert session.next_log(vector) == (LOGS[2], 0)


def test_nothing_is_sent_before_the_other_side_said_hello() -> None:
    session = Session(MESH)
    assert session.next_log({LOGS[0]: place(5)}) is None
    assert session.theirs == {}
    for message in (Session(MESH).roster([]), Session(MESH).have({}, b""), b"\x91\xa3get"):
        with pytest.raises(Broken):
            session.receive(message)


def test_a_hello_of_another_mesh_or_protocol_is_refused() -> None:
    with pytest.raises(Refused, match="another mesh"):
        Session(MESH).receive(hello(mesh=b"o" * 16))
    for protocols, older in (((2, 5), "this"), ((0, 0), "the other")):
        message = msgpack.packb(("hello", protocols, MESH, LIFE, [], [], b""))
        with pytest.raises(Refused, match="no common version") as refused:
            Session(MESH).receive(message)
        assert f"Upgrade regend on {older} device" in str(refused.value.hint)
    range_that_fits = msgpack.packb(("hello", (0, 9), MESH, LIFE, [], [], b""))
    assert isinstance(Session(MESH).receive(range_that_fits), said.Met)
    with pytest.raises(Broken, match="hello twice"):
        met().receive(hello())


def test_a_newer_program_may_say_more_in_its_hello() -> None:
    fields = msgpack.unpackb(hello({LOGS[0]: place(1)}))
    for more in ([{"clock": 5}], [None, "text", [1]]):
        session = Session(MESH)
        message = msgpack.packb([*fields[:1], (1, 2), *fields[2:], *more])
        assert isinstance(session.receive(message), said.Met)
        assert session.theirs == {LOGS[0]: place(1)}


ODD = anything(
    *(None, True, -1, 1.5, float("nan"), 1 << 62, (1 << 64) - 1, "", "text", b"", b"x"),
    *([], [None], [[]], [1, 2, 3, 4], {}, {"a": 1}, b"x" * 15, b"x" * 16, b"x" * 32),
)
GOOD: dict[str, bytes] = {
    "hello": hello({LOGS[0]: place(1)}),
    "roster": Session(MESH).roster([b"entry"]),
    "frames": Session(MESH).frames(LOGS[0], 1, [b"frame"]),
    "have": Session(MESH).have({LOGS[0]: place(1)}, b"hash"),
    "want": Session(MESH).want(LOGS[0], 1),
    "get": Session(MESH).get(bytes(32), 0),
    "piece": Session(MESH).piece(bytes(32), 0, 5, b"piece"),
    "call": Session(MESH).call("give", {"job": "x"})[1],
    "answer": Session(MESH).answer(1, True, {"a": 1}),
    "bye": Session(MESH).bye("code", "text"),
}


def session_for(name: str) -> Session:
    return Session(MESH) if name == "hello" else met()


def state_of(session: Session) -> Any:
    state = dict(vars(session))
    return {key: repr(value) for key, value in state.items()}


def is_understood_or_refused(session: Session, message: bytes) -> None:
    """A message is acted on, or refused and nothing of it was acted on (invariant 4)."""
    before = state_of(session)
    try:
        session.receive(message)
    except Refused as refused:
        assert state_of(session) == before
        assert len(refused.message) < 500


@pytest.mark.parametrize("name", GOOD)
def test_a_message_that_is_cut_or_garbled_is_refused_and_not_acted_on(name: str) -> None:
    message = GOOD[name]
    for length in range(len(message)):
        with pytest.raises(Broken):
            session_for(name).receive(message[:length])
    with pytest.raises(Broken):
        session_for(name).receive(message + b"\xc0")
    for place_ in range(len(message)):
        for value in (0, 0x7F, 0x80, 0x90, 0xA0, 0xC0, 0xC1, 0xDD, 0xFF, message[place_] ^ 1):
            garbled = bytearray(message)
            garbled[place_] = value
            is_understood_or_refused(session_for(name), bytes(garbled))


@pytest.mark.parametrize("name", GOOD)
def test_a_message_with_a_field_of_another_type_is_refused_and_not_acted_on(name: str) -> None:
    fields = msgpack.unpackb(GOOD[name])
    for at in range(1, len(fields)):
        for odd in ODD:
            for nested in (odd, [odd], [[odd] * 4], {"a": odd}):
                other = [*fields]
                other[at] = nested
                is_understood_or_refused(session_for(name), msgpack.packb(other))
        is_understood_or_refused(session_for(name), msgpack.packb(fields[:at]))
        is_understood_or_refused(session_for(name), msgpack.packb([*fields, *fields[1:]]))


@pytest.mark.parametrize(
    "message",
    [
        *(msgpack.packb(value) for value in ODD),
        *(msgpack.packb([name]) for name in ODD),
        msgpack.packb({"hello": 1}),
        b"\xdd\xff\xff\xff\xff",  # claims 4 G elements
        b"\x92\xa6frames\xdd\xff\xff\xff\xff",
        b"\x92\xa6frames\x91\xc6\xff\xff\xff\xff",  # one frame of 4 GB
        b"\x91" * 100_000,
        b"\x93\xa3bye\xa1x" + b"\x91" * 900 + b"\xc0",
        b"\x94\xa4call\x01\xa1x" + b"\x81\xa1a" * 400 + b"\xc0",
    ],
)
def test_what_is_no_message_is_refused(message: bytes) -> None:
    for session in (Session(MESH), met()):
        with contextlib.suppress(Refused):
            session.receive(message)
    with pytest.raises(Refused):
        Session(MESH).receive(message)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_understood_or_refused(message: bytes) -> None:
    is_understood_or_refused(met(), message)


@given(
    st.sampled_from(sorted(GOOD)),
    st.lists(
        st.recursive(
            st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats()
            | st.text(max_size=5) | st.binary(max_size=40),
            lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner),
            max_leaves=8,
        ),
        max_size=7,
    ),
)  # fmt: skip
@settings(max_examples=100, deadline=None)
def test_any_fields_are_understood_or_refused(name: str, fields: list[Any]) -> None:
    is_understood_or_refused(session_for(name), msgpack.packb([name, *fields]))


def test_more_logs_than_there_can_be_are_refused() -> None:
    many = {LogId(n.to_bytes(16, "big"), LIFE): place(1) for n in range(MAX_MESH_LOGS + 1)}
    with pytest.raises(Broken):
        Session(MESH).receive(hello(many))
    session = met()
    with pytest.raises(Broken):
        session.receive(Session(MESH).have(many, b""))
    assert not session.theirs


def test_a_flood_leaves_nothing_behind() -> None:
    session = met()
    before = state_of(session)
    for number in range(2000):
        for name in ("get", "piece", "call", "roster", "frames"):
            session.receive(GOOD[name])
        session.receive(Session(MESH).answer(number, True, None))
        session.receive(Session(MESH).want(LogId(number.to_bytes(16, "big"), LIFE), 0))
    assert state_of(session) == before
    with pytest.raises(Broken):
        session.receive(Session(MESH).piece(bytes(32), 0, 1, bytes(BLOB_CHUNK_BYTES + 1)))


def test_an_answer_counts_once_and_only_for_what_was_asked() -> None:
    session = met()
    number, _ = session.call("give", {})
    answer = Session(MESH).answer(number, True, "yes")
    assert session.receive(Session(MESH).answer(number + 1, True, "no")) is None
    assert session.receive(answer) == said.Answered(number, True, "yes")
    assert session.receive(answer) is None


def test_a_long_goodbye_is_cut() -> None:
    left = met().receive(Session(MESH).bye("c" * 5000, "t" * 5000))
    assert isinstance(left, said.Left)
    assert len(left.code) == 100 and len(left.text) == 1000
