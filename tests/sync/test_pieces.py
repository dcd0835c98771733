"""Messages in pieces, with the numbered invariants of `regend.sync.pieces`."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regend.limits import LINK_MESSAGE_BYTES, LINK_PIECE_BYTES, LINK_WINDOW_BYTES
from regend.sync.pieces import (
    BEAT_PIECE,
    LAST,
    MORE,
    PIECE_COST_BYTES,
    TAKEN,
    Incoming,
    Outgoing,
    PiecesBroken,
)

SIZES = st.sampled_from(
    [0, 1, LINK_PIECE_BYTES - 1, LINK_PIECE_BYTES, LINK_PIECE_BYTES + 1, 700_000, 2_000_000]
)


class OneWay:
    """A sender and a receiver, joined by wires that a test moves."""

    def __init__(self) -> None:
        self.outgoing, self.incoming = Outgoing(), Incoming()
        self.there: deque[bytes] = deque()
        self.back: deque[bytes] = deque()
        self.received: list[bytes] = []

    def write(self) -> bool:
        piece = self.outgoing.next_piece()
        if piece is not None:
            self.there.append(piece)
        return piece is not None

    def read(self) -> bool:
        if self.there:
            assert self.incoming.feed(self.there.popleft()) is None
            return True
        return False

    def take(self) -> bool:
        message = self.incoming.take()
        if message is not None:
            self.received.append(message)
        told = self.incoming.next_piece()
        if told is not None:
            self.back.append(told)
        return message is not None

    def hear(self) -> bool:
        if self.back:
            taken = Incoming().feed(self.back.popleft())
            assert taken is not None
            self.outgoing.taken(taken)
            return True
        return False

    def under_way(self) -> int:
        return sum(len(piece) - 1 + PIECE_COST_BYTES for piece in self.there)


@given(
    st.lists(SIZES, max_size=12),
    st.lists(st.sampled_from(["offer", "write", "read", "take", "hear"]), max_size=300),
)
def test_in_any_interleaving_messages_arrive_whole_in_order_and_bounded(
    sizes: list[int], steps: list[str]
) -> None:
    way = OneWay()
    messages = [bytes([number]) * size for number, size in enumerate(sizes)]
    offered = 0
    for step in steps:
        if step != "offer":
            getattr(way, step)()
        elif offered < len(messages) and way.outgoing.has_room(len(messages[offered])):
            way.outgoing.offer(messages[offered])
            offered += 1
        assert way.under_way() <= LINK_WINDOW_BYTES
    for message in messages[offered:]:
        way.outgoing.offer(message)
    while way.write() or way.read() or way.take() or way.hear():
        pass
    assert way.received == messages
    assert way.outgoing.idle


def test_a_largest_message_fits_behind_others_that_were_taken() -> None:
    way = OneWay()
    for _ in range(4):
        way.outgoing.offer(bytes(LINK_MESSAGE_BYTES))
    while way.write():
        way.read()
    assert way.take(), "the first arrived, and the last did not fit yet"
    while way.take() or way.hear():
        pass
    while way.write() or way.read() or way.take() or way.hear():
        pass
    assert way.outgoing.idle and len(way.received) == 4


def test_a_message_too_large_is_broken_before_it_is_whole() -> None:
    incoming = Incoming()
    with pytest.raises(PiecesBroken, match="too large"):
        for _ in range(LINK_MESSAGE_BYTES // LINK_PIECE_BYTES + 1):
            incoming.feed(bytes([MORE]) + bytes(LINK_PIECE_BYTES))


def test_a_flood_of_empty_messages_is_bounded() -> None:
    incoming = Incoming()
    with pytest.raises(PiecesBroken, match="room"):
        for _ in range(LINK_WINDOW_BYTES // PIECE_COST_BYTES + 1):
            incoming.feed(bytes([LAST]))


def test_beats_cost_nothing_and_say_nothing() -> None:
    incoming = Incoming()
    for _ in range(LINK_WINDOW_BYTES // PIECE_COST_BYTES + 1):
        assert incoming.feed(BEAT_PIECE) is None
    assert incoming.take() is None and incoming.next_piece() is None


@pytest.mark.parametrize(
    "piece",
    [b"", bytes([9]), bytes([TAKEN]) + bytes(7), bytes([LAST]) + bytes(LINK_PIECE_BYTES + 1)],
)
def test_what_is_no_piece_is_broken(piece: bytes) -> None:
    with pytest.raises(PiecesBroken):
        Incoming().feed(piece)


def test_nobody_has_taken_what_was_not_sent_nor_gives_back_what_was_taken() -> None:
    outgoing = Outgoing()
    outgoing.offer(b"message")
    assert outgoing.next_piece() == bytes([LAST]) + b"message"
    with pytest.raises(PiecesBroken):
        outgoing.taken(len(b"message") + PIECE_COST_BYTES + 1)
    outgoing.taken(len(b"message") + PIECE_COST_BYTES)
    with pytest.raises(PiecesBroken):
        outgoing.taken(0)
