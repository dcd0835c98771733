"""What the messages of a pairing are made of: the secret of SPAKE2, seals, and confirmations.

Pure; `pairing` says in what order they go. A confirmation covers everything said before it and must
be checked before what it covers is opened: the cipher alone would let one sealed text be tried
against many codes at once (Len, Grubbs, Ristenpart, Partitioning Oracle Attacks, 2021).

Sources: SPAKE2 (RFC 9382; here in the form of the spake2 library, which magic-wormhole uses),
HKDF-SHA256 (RFC 5869), XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgpack
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError
from spake2 import SPAKE2_A, SPAKE2_B, SPAKEError
from spake2.ed25519_basic import NotOnCurve

from regend.errors import RegendError
from regend.sync.epochs import Entropy
from regend.sync.invites import is_refusal, refusal
from regend.sync.payloads import as_bytes, listed
from regend.sync.words import LARGEST_NUMBER, InviteCode

VERSION: Final = 1
PAIRING_BYTES: Final = 8 * 1024  # of the first three messages
WELCOME_BYTES: Final = 2 * 1024 * 1024  # of the fourth: some thousand entries
UNREADABLE: Final = (ValueError, TypeError, RecursionError, msgpack.UnpackException)

_PAKE_BYTES: Final = 33
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 24
_JOINER: Final = b"regend joiner"
_INVITER: Final = b"regend inviter"
_REFUSED: Final = "refused"


class Keys(NamedTuple):
    """What both sides derive; each key serves one message."""

    inviter: bytes
    inviter_confirms: bytes
    joiner: bytes
    joiner_confirms: bytes
    welcome: bytes


def told(error: RegendError) -> bytes:
    """Return the message that tells the joiner of an error, by its code alone."""
    return pack(_REFUSED, error.code if is_refusal(error.code) else "pairing_failed")


def read_hello(message: bytes) -> tuple[int, bytes]:
    """Return number and PAKE of a first message.

    Raises:
        RegendError: it is of another version, or none.
    """
    if len(message) > PAIRING_BYTES:
        raise refusal("pairing_malformed")
    try:
        fields = listed(msgpack.unpackb(message))
        if type(fields[0]) is int and fields[0] != VERSION:
            raise refusal("pairing_newer")
        version, number, pake = listed(fields, 3)
        if type(version) is not int or type(number) is not int:
            raise TypeError("no number")
        if not 0 < number <= LARGEST_NUMBER:
            raise refusal("invite_unknown")
        return number, as_bytes(pake, _PAKE_BYTES)
    except (*UNREADABLE, IndexError) as error:
        raise refusal("pairing_malformed") from error


def read(message: bytes, count: int, bound: int) -> list[bytes]:
    """Return the parts of a later message.

    Args:
        count: of the parts.
        bound: on the bytes of the message.

    Raises:
        RegendError: it is none, or the other side's refusal.
    """
    if len(message) > bound:
        raise refusal("pairing_malformed")
    try:
        fields = listed(msgpack.unpackb(message))
        if fields[:1] == [_REFUSED]:
            raise refusal(str(fields[-1]))
        return [as_bytes(one) for one in listed(fields, count)]
    except UNREADABLE as error:
        raise refusal("pairing_malformed") from error


def exchange_of_joiner(code: InviteCode, entropy: Entropy) -> Any:
    """Return the joiner's side of SPAKE2, whose `start` gives its message."""
    return SPAKE2_A(str(code).encode(), _JOINER, _INVITER, entropy_f=entropy)


def exchange_of_inviter(code: InviteCode, entropy: Entropy) -> Any:
    """Return the inviter's side of SPAKE2, whose `start` gives its message."""
    return SPAKE2_B(str(code).encode(), _JOINER, _INVITER, entropy_f=entropy)


def derive(exchange: Any, pake: bytes, transcript: list[bytes]) -> Keys:
    """Return the keys that only who knows the code derives.

    Args:
        exchange: the own side of SPAKE2, started.
        pake: of the other side.
        transcript: the first message, and the PAKE of the second.

    Raises:
        RegendError: what came is no PAKE.
    """
    try:
        shared: bytes = exchange.finish(as_bytes(pake, _PAKE_BYTES))
    except (SPAKEError, NotOnCurve, ValueError, TypeError, AssertionError) as error:
        raise refusal("pairing_malformed") from error
    salt = hashlib.sha256(pack(*transcript)).digest()
    length = _KEY_BYTES * len(Keys._fields)
    whole = HKDF(SHA256(), length, salt, b"regend pairing").derive(shared)
    return Keys(*(whole[start : start + _KEY_BYTES] for start in range(0, length, _KEY_BYTES)))


def confirmation(key: bytes, transcript: list[bytes]) -> bytes:
    """Return what proves the key, over all that was said."""
    return hmac.digest(key, pack(*transcript), "sha256")


def check(key: bytes, transcript: list[bytes], confirmed: bytes) -> None:
    """Refuse a confirmation by another key, or over something else that was said.

    Raises:
        RegendError: it is one.
    """
    if not hmac.compare_digest(confirmation(key, transcript), confirmed):
        raise refusal("code_wrong")


def seal(key: bytes, value: Sequence[Any], entropy: Entropy) -> bytes:
    """Return a list, sealed."""
    nonce = entropy(_NONCE_BYTES)
    return nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(pack(*value), b"", nonce, key)


def unseal(key: bytes, sealed: bytes) -> Any:
    """Return what was sealed.

    Raises:
        RegendError: it was not sealed with this key.
    """
    nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        content = crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, b"", nonce, key)
        return msgpack.unpackb(content)
    except (*UNREADABLE, CryptoError) as error:
        raise refusal("pairing_malformed") from error


def pack(*fields: Any) -> bytes:
    """Return a message of these parts."""
    packed: bytes = msgpack.packb(fields)
    return packed
