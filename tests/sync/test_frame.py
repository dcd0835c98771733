"""Frames that were damaged, forged, or made by somebody who knows the form: refused as such."""

from __future__ import annotations

import os
from typing import Any

import msgpack
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.bindings import crypto_aead_xchacha20poly1305_ietf_encrypt
from nacl.signing import SigningKey

from regend.errors import Refused
from regend.limits import FRAME_CHANGES, LINK_MESSAGE_BYTES, MIB, SYNC_MESSAGE_BYTES
from regend.store.change import LogId, first_head, next_head
from regend.sync import frame
from regend.sync.frame import Frame, Header
from tests.sync.replicas import anything

SIGNING_KEY = SigningKey(bytes(range(32)))
VERIFY_KEY = bytes(SIGNING_KEY.verify_key)
KEY = bytes(range(32, 64))
LOG = LogId(b"d" * 16, b"i" * 8)
BODIES = [f"change {number}".encode() for number in range(5)]


def header_of(bodies: list[bytes], **other: Any) -> Header:
    head = first_head(LOG)
    for seq, body in enumerate(bodies, 1):
        head = next_head(head, seq, body)
    header = Header(b"m" * 16, LOG, 1, len(bodies), b"k" * 8, first_head(LOG), head, os.urandom(24))
    return header._replace(**other)


def sealed(bodies: list[bytes] = BODIES, **other: Any) -> bytes:
    return frame.seal(header_of(bodies, **other), bodies, KEY, SIGNING_KEY)


def read(blob: bytes, verify_key: bytes = VERIFY_KEY, key: bytes = KEY) -> list[bytes]:
    """Go through all that a receiver does."""
    parsed = frame.parse(blob)
    frame.verify(parsed, verify_key)
    return frame.open_bodies(parsed, key)


def crafted(content: bytes, header: Header, *, packed: bytes | None = None) -> Frame:
    """Return a frame of a member who seals what nobody should."""
    head = msgpack.packb((frame.PROTOCOL, header.mesh, *header.log, *header[2:]))
    inner = zstandard.compress(content) if packed is None else packed
    whole = len(inner).to_bytes(4, "big") + inner
    ciphertext = crypto_aead_xchacha20poly1305_ietf_encrypt(whole, head, header.nonce, KEY)
    signature = SIGNING_KEY.sign(frame._signed(head, ciphertext)).signature
    return frame.parse(msgpack.packb((head, ciphertext, signature)))


@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=FRAME_CHANGES))
@settings(max_examples=40, deadline=None)
def test_what_is_sealed_is_read_again(bodies: list[bytes]) -> None:
    assert read(sealed(bodies)) == bodies


def test_two_frames_of_the_same_changes_have_nothing_in_common_but_their_header() -> None:
    one, two = frame.parse(sealed()), frame.parse(sealed())
    assert one.header.nonce != two.header.nonce
    assert one.ciphertext != two.ciphertext


def test_a_bit_that_flips_anywhere_is_found() -> None:
    blob = sealed()
    for place in range(len(blob)):
        for bit in (0, 7):
            damaged = bytearray(blob)
            damaged[place] ^= 1 << bit
            with pytest.raises(Refused):
                read(bytes(damaged))


def test_a_frame_that_ends_too_early_or_too_late_is_none() -> None:
    blob = sealed()
    for length in range(len(blob)):
        with pytest.raises(Refused, match="no frame"):
            read(blob[:length])
    with pytest.raises(Refused, match="no frame"):
        read(blob + b"\0")


def test_the_parts_of_two_frames_do_not_fit_together() -> None:
    one = msgpack.unpackb(sealed())
    two = msgpack.unpackb(sealed([*BODIES, b"more"]))
    for place in range(3):
        mixed = [*one]
        mixed[place] = two[place]
        with pytest.raises(Refused, match="not signed"):
            read(msgpack.packb(mixed))


def test_a_frame_of_another_device_is_not_taken_for_this_ones() -> None:
    with pytest.raises(Refused, match="not signed"):
        read(sealed(), verify_key=bytes(SigningKey.generate().verify_key))
    with pytest.raises(Refused, match="not signed"):
        read(sealed(), verify_key=b"no key")


def test_another_epoch_key_opens_nothing() -> None:
    with pytest.raises(Refused, match="cannot be opened"):
        read(sealed(), key=bytes(32))
    with pytest.raises(Refused, match="cannot be opened"):
        read(sealed(), key=b"short")


@pytest.mark.parametrize(
    "other",
    [
        {"length": len(BODIES) - 1},
        {"length": len(BODIES) + 1},
        {"first": 2},
        {"previous": bytes(32)},
        {"head": bytes(32)},
    ],
)
def test_a_member_who_tells_a_wrong_count_or_head_is_refused(other: dict[str, Any]) -> None:
    told = crafted(msgpack.packb(BODIES), header_of(BODIES, **other))
    frame.verify(told, VERIFY_KEY)
    with pytest.raises(Refused):
        frame.open_bodies(told, KEY)


@pytest.mark.parametrize(
    "other",
    [
        *({"mesh": value} for value in anything(b"", b"m" * 17, None, "m" * 16, 5)),
        *({"log": LogId(value, b"i" * 8)} for value in anything(b"d" * 15, "d" * 16, None)),
        *({"log": LogId(b"d" * 16, value)} for value in anything(b"i" * 9, [], 1.5)),
        *({"first": value} for value in anything(0, -1, 1 << 62, True, 1.0, None, b"1")),
        *({"length": value} for value in anything(0, -1, FRAME_CHANGES + 1, 1 << 40, False, "5")),
        *({"key_id": value} for value in (b"", b"k" * 9, None)),
        *({"previous": value} for value in (b"p" * 31, None)),
        *({"head": value} for value in anything(b"h" * 33, {})),
        *({"nonce": value} for value in (b"n" * 12, None)),
    ],
)
def test_a_header_of_another_form_is_none(other: dict[str, Any]) -> None:
    head = header_of(BODIES)._replace(**other)
    packed = msgpack.packb((frame.PROTOCOL, head.mesh, *head.log, *head[2:]))
    with pytest.raises(Refused, match="no frame"):
        frame.parse(msgpack.packb((packed, b"c" * 100, b"s" * 64)))


@pytest.mark.parametrize(
    "blob",
    [
        *(msgpack.packb(value) for value in anything(None, 5, "", [], {}, [1, 2, 3])),
        msgpack.packb({1: 2, 3: 4, 5: 6}),
        msgpack.packb([b"", b"", b""]),
        msgpack.packb([msgpack.packb([]), b"", b""]),
        msgpack.packb([msgpack.packb([1, 2]), b"c", b"s" * 64]),
        msgpack.packb([msgpack.packb(["1"]), b"c", b"s" * 64]),
        msgpack.packb([msgpack.packb([b"x" * MIB]), b"c", b"s" * 64]),
        b"\xc6\xff\xff\xff\xff",  # claims 4 GB of bytes
        b"\xdd\xff\xff\xff\xff",  # claims 4 G elements
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x91" * 5000,  # nested
        b"",
    ],
)
def test_what_is_no_frame_is_refused_shortly(blob: bytes) -> None:
    with pytest.raises(Refused) as refused:
        frame.parse(blob)
    assert len(refused.value.message) < 200


def test_a_newer_protocol_is_named() -> None:
    head = msgpack.packb((2, "whatever", "follows"))
    with pytest.raises(Refused, match="version 2") as refused:
        frame.parse(msgpack.packb((head, b"", b"")))
    assert "Upgrade" in str(refused.value.hint)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        msgpack.packb(None),
        msgpack.packb({b"a": b"b"}),
        msgpack.packb(["text"] * 5),
        msgpack.packb([b"x", 1, b"x", b"x", b"x"]),
        msgpack.packb(BODIES) + b"more",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 5000,
    ],
)
def test_a_member_who_seals_what_are_no_changes_is_refused(content: bytes) -> None:
    with pytest.raises(Refused, match="no frame"):
        frame.open_bodies(crafted(content, header_of(BODIES)), KEY)


def test_a_member_whose_frame_swells_is_refused() -> None:
    bombs = [
        zstandard.compress(bytes(1 << 26)),
        zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1 << 26)),
        b"\x28\xb5\x2f\xfd\xe0" + b"\xff" * 8 + b"\x01\x00\x00",  # claims 2^64 bytes
        b"no zstd",
        b"",
    ]
    for bomb in bombs:
        with pytest.raises(Refused, match="no frame"):
            frame.open_bodies(crafted(b"", header_of(BODIES), packed=bomb), KEY)


def test_a_length_that_is_not_that_of_the_content_is_refused() -> None:
    header = header_of(BODIES)
    head = msgpack.packb((frame.PROTOCOL, header.mesh, *header.log, *header[2:]))
    for whole in (b"", b"\0\0", b"\xff\xff\xff\xff", (5).to_bytes(4, "big") + b"1234"):
        ciphertext = crypto_aead_xchacha20poly1305_ietf_encrypt(whole, head, header.nonce, KEY)
        signature = SIGNING_KEY.sign(frame._signed(head, ciphertext)).signature
        with pytest.raises(Refused, match="no frame"):
            frame.open_bodies(frame.parse(msgpack.packb((head, ciphertext, signature))), KEY)


def test_a_frame_that_could_not_be_passed_on_behind_others_is_not_taken() -> None:
    head = msgpack.unpackb(sealed())[0]
    room = LINK_MESSAGE_BYTES - SYNC_MESSAGE_BYTES
    with pytest.raises(Refused, match="no frame"):
        frame.parse(msgpack.packb((head, bytes(room), bytes(64))))
    largest = [os.urandom(4096) for _ in range(FRAME_CHANGES)]  # a frame's worth, incompressible
    assert read(sealed(largest)) == largest


@given(st.integers(0, 1 << 30))
def test_padding_tells_the_length_only_about_and_costs_an_eighth_at_most(length: int) -> None:
    padded = frame.padded_length(length)
    assert length <= padded <= length * 1.125 + 1
    assert frame.padded_length(padded) == padded
