"""Frames: how changes travel, sealed for the owner's devices and signed by the one that made them.

A frame is msgpack `[header, ciphertext, signature]`. The header is plain: whoever carries frames
must know which they hold. The body is msgpack → zstd → padded → XChaCha20-Poly1305 with the exact
header bytes as associated data; the signature is Ed25519 over the header and the ciphertext's hash.

Invariants
1. Nonces are random, never counters: a restored backup or a copied home would count again.
2. What is read was written by the device that the header names, whoever carried it.
3. The head in the header is that of the last change inside, by the bodies themselves.

Sources: RFC 8439 and draft-irtf-cfrg-xchacha (cipher), RFC 8032 (signature), PADMÉ (Nikitin et al.,
Reducing Metadata Leakage from Encrypted Files and Communication with PURBs, 2019).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgpack
import zstandard
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from regend.errors import Refused
from regend.limits import (
    FRAME_CHANGES,
    KIB,
    LINK_MESSAGE_BYTES,
    MAX_CHANGE_BYTES,
    SYNC_FRAME_BYTES,
    SYNC_MESSAGE_BYTES,
)
from regend.store.change import DEVICE_BYTES, HEAD_BYTES, INCARNATION_BYTES, LogId, next_head

PROTOCOL: Final = 1
NONCE_BYTES: Final = 24
KEY_ID_BYTES: Final = 8
MESH_BYTES: Final = 16

_SIGNATURE_BYTES: Final = 64
_LENGTH_BYTES: Final = 4
_LEVEL: Final = 3  # of zstd: higher ones gain a few per cent of bytes for several times the work
_LARGEST_BODY: Final = SYNC_FRAME_BYTES + MAX_CHANGE_BYTES + 8 * FRAME_CHANGES
# What is taken must be able to go on to the next device, in a message behind other frames.
_LARGEST_FRAME: Final = LINK_MESSAGE_BYTES - SYNC_MESSAGE_BYTES - 4 * KIB


class Newer(Refused):
    """A frame is of a protocol that this program does not know."""

    def __init__(self, protocol: int) -> None:
        super().__init__(
            "frame_newer",
            f"A device speaks version {protocol} of the protocol.",
            hint="Upgrade regend on this device.",
        )


class Header(NamedTuple):
    """What anyone who carries a frame can read.

    Attributes:
        mesh: id of the mesh.
        log: whose changes these are.
        first: number of the first change.
        length: how many changes it holds.
        key_id: names the epoch key that seals the body.
        previous: head before the first change.
        head: after the last.
        nonce: random.
    """

    mesh: bytes
    log: LogId
    first: int
    length: int
    key_id: bytes
    previous: bytes
    head: bytes
    nonce: bytes

    @property
    def last(self) -> int:
        """Number of the last change."""
        return self.first + self.length - 1


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as it came in: its form is checked, nothing else."""

    header: Header
    header_bytes: bytes
    ciphertext: bytes
    signature: bytes


def seal(header: Header, bodies: Sequence[bytes], key: bytes, signing_key: SigningKey) -> bytes:
    """Return the frame that carries these changes.

    Args:
        header: for exactly these bodies, with a fresh random nonce.
        key: the epoch key that the header names, 32 bytes.
    """
    assert header.length == len(bodies) > 0
    head = _pack_header(header)
    packed = zstandard.ZstdCompressor(level=_LEVEL).compress(msgpack.packb(list(bodies)))
    ciphertext = crypto_aead_xchacha20poly1305_ietf_encrypt(
        _padded(packed), head, header.nonce, key
    )
    signature = signing_key.sign(_signed(head, ciphertext)).signature
    frame: bytes = msgpack.packb((head, ciphertext, signature))
    return frame


def parse(blob: bytes) -> Frame:
    """Return the parts of a frame, whose form alone is checked.

    Raises:
        Newer: it is one of a newer protocol.
        Refused: it is no frame.
    """
    if len(blob) > _LARGEST_FRAME:
        raise _malformed()
    try:
        head, ciphertext, signature = msgpack.unpackb(blob)
        protocol, *fields = msgpack.unpackb(head)
        if type(protocol) is not int:
            raise _malformed()
        if protocol != PROTOCOL:
            raise Newer(protocol)
        mesh, device, incarnation, first, count, key_id, previous, last, nonce = fields
        header = Header(
            mesh, LogId(device, incarnation), first, count, key_id, previous, last, nonce
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise _malformed() from error
    if not _fits(header) or not _are_bytes((ciphertext, signature)):
        raise _malformed()
    if len(signature) != _SIGNATURE_BYTES:
        raise _malformed()
    return Frame(header, head, ciphertext, signature)


def verify(frame: Frame, key: bytes) -> None:
    """Check that the device which the header names made this frame.

    Args:
        key: of that device, raw.

    Raises:
        Refused: it did not, or something of it was changed on the way.
    """
    try:
        VerifyKey(key).verify(_signed(frame.header_bytes, frame.ciphertext), frame.signature)
    except (CryptoError, ValueError) as error:
        raise Refused("frame_forged", "A frame is not signed by the device it names.") from error


def open_bodies(frame: Frame, key: bytes) -> list[bytes]:
    """Return the bodies of a frame, held against the head in its header.

    Args:
        key: the epoch key that the header names.

    Raises:
        Refused: it cannot be opened with this key, or is not what its header says.
    """
    header = frame.header
    try:
        padded = crypto_aead_xchacha20poly1305_ietf_decrypt(
            frame.ciphertext, frame.header_bytes, header.nonce, key
        )
    except (CryptoError, ValueError) as error:
        raise Refused("frame_sealed", "A frame cannot be opened with the key it names.") from error
    bodies = _unpacked(padded)
    if len(bodies) != header.length:
        raise _malformed()
    head = header.previous
    for index, body in enumerate(bodies):
        head = next_head(head, header.first + index, body)
    if head != header.head:
        raise Refused("frame_broken", "A frame's changes are not those that its head covers.")
    return bodies


def opener(keys: Mapping[bytes, bytes]) -> Callable[[bytes], tuple[Frame, list[bytes]]]:
    """Return what opens a stored frame: it returns the frame, with its bodies.

    Args:
        keys: of epochs, by id; it raises KeyError for a frame of another.
    """

    def reopen(blob: bytes) -> tuple[Frame, list[bytes]]:
        parsed = parse(blob)
        return parsed, open_bodies(parsed, keys[parsed.header.key_id])

    return reopen


def heads_of(frame: Frame, bodies: Sequence[bytes]) -> list[bytes]:
    """Return the head after each change of an opened frame."""
    heads, head = [], frame.header.previous
    for index, body in enumerate(bodies):
        head = next_head(head, frame.header.first + index, body)
        heads.append(head)
    return heads


def head_after(frame: Frame, bodies: Sequence[bytes], seq: int) -> bytes:
    """Return the head after a change of an opened frame, or after the one before its first."""
    header = frame.header
    if seq == header.last:
        return header.head
    head = header.previous
    for index in range(seq + 1 - header.first):
        head = next_head(head, header.first + index, bodies[index])
    return head


def padded_length(length: int) -> int:
    """Return the length that PADMÉ gives to content of this one: at most 12 % more."""
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    kept_bits = exponent.bit_length()
    mask = (1 << (exponent - kept_bits)) - 1 if exponent > kept_bits else 0
    return (length + mask) & ~mask


def _padded(content: bytes) -> bytes:
    whole = len(content).to_bytes(_LENGTH_BYTES, "big") + content
    return whole.ljust(padded_length(len(whole)), b"\0")


def _unpacked(padded: bytes) -> list[bytes]:
    length = int.from_bytes(padded[:_LENGTH_BYTES], "big")
    packed = padded[_LENGTH_BYTES : _LENGTH_BYTES + length]
    try:
        if len(packed) != length or zstandard.frame_content_size(packed) > _LARGEST_BODY:
            raise _malformed()
        content = zstandard.ZstdDecompressor().decompress(packed, max_output_size=_LARGEST_BODY)
        bodies = msgpack.unpackb(content)
    except (zstandard.ZstdError, ValueError, TypeError, msgpack.UnpackException) as error:
        raise _malformed() from error
    if not isinstance(bodies, list) or not _are_bytes(bodies):
        raise _malformed()
    return bodies


def _pack_header(header: Header) -> bytes:
    packed: bytes = msgpack.packb((PROTOCOL, header.mesh, *header.log, *header[2:]))
    return packed


def _signed(header: bytes, ciphertext: bytes) -> bytes:
    return header + hashlib.blake2b(ciphertext, digest_size=32).digest()


def _fits(header: Header) -> bool:
    sizes = (
        (header.mesh, MESH_BYTES),
        (header.log.device, DEVICE_BYTES),
        (header.log.incarnation, INCARNATION_BYTES),
        (header.key_id, KEY_ID_BYTES),
        (header.previous, HEAD_BYTES),
        (header.head, HEAD_BYTES),
        (header.nonce, NONCE_BYTES),
    )
    if not all(isinstance(value, bytes) and len(value) == size for value, size in sizes):
        return False
    numbers = type(header.first) is int and type(header.length) is int
    return numbers and 0 < header.first < 1 << 62 and 0 < header.length <= FRAME_CHANGES


def _are_bytes(values: Sequence[Any]) -> bool:
    return all(isinstance(value, bytes) for value in values)


def _malformed() -> Refused:
    return Refused("frame_malformed", "What came is no frame.")
