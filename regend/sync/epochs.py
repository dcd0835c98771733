"""Epoch keys: what the mesh's content is sealed with, introduced by entries of the roster.

There is no other store of them: the roster and a device's sealing key give it every key that it
was given. Pure: randomness comes in.

Invariants
1. A key that is introduced is sealed to each member by itself, and never to whom it shuts out.
2. A commitment stands beside it, so that no member can be given another key than the rest.
3. The author's older keys are sealed with the new one: whoever has the newest reads all. So keys
   that were introduced at the same time in two places reach everybody with the next.
4. What cannot be opened is passed over: one faulty member must not lock the others out.

Source: libsodium's sealed boxes, made here from a given secret instead of its own randomness.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError
from nacl.public import Box, PrivateKey, PublicKey, SealedBox

from regend.sync.device import KEY_BYTES
from regend.sync.entries import Entry
from regend.sync.payloads import COMMITMENT_BYTES, EPOCHS, Add, Introduction

Entropy = Callable[[int], bytes]
"""Returns so many random bytes."""

_NONCE_BYTES: Final = 24
_OLDER: Final = b"regend older epoch keys"
_COMMITMENT: Final = b"regend epoch key"


def introduce(
    recipients: Mapping[bytes, bytes], older: Mapping[bytes, bytes], entropy: Entropy
) -> Introduction:
    """Return a fresh epoch key, sealed to its recipients.

    Args:
        recipients: raw sealing keys by device id.
        older: the author's keys by key id, oldest first.
    """
    key = entropy(KEY_BYTES)
    boxes = tuple((one, _seal(key, recipients[one], entropy)) for one in sorted(recipients))
    kept = dict(list(older.items())[-EPOCHS:])
    nonce = entropy(_NONCE_BYTES)
    ciphertext = crypto_aead_xchacha20poly1305_ietf_encrypt(
        b"".join(kept.values()), _OLDER, nonce, key
    )
    return Introduction(commitment(key), boxes, tuple(kept), nonce + ciphertext)


def hand_over(
    keys: Mapping[bytes, bytes], sealing_key: bytes, entropy: Entropy
) -> tuple[tuple[bytes, ...], bytes]:
    """Return the ids of the newest keys, and the keys sealed to a newcomer.

    Args:
        keys: by key id, oldest first.
        sealing_key: of the newcomer, raw.
    """
    kept = dict(list(keys.items())[-EPOCHS:])
    return tuple(kept), _seal(b"".join(kept.values()), sealing_key, entropy)


def collect(
    entries: Sequence[Entry], own_ids: frozenset[bytes], sealing_key: PrivateKey
) -> dict[bytes, bytes]:
    """Return the epoch keys that these entries give to a device, by key id, oldest first.

    Args:
        entries: sorted as `Standing` sorts them.
        own_ids: of the devices with this sealing key.
    """
    introductions = {entry.key_id: entry.introduction for entry in entries if entry.introduction}
    found: dict[bytes, bytes] = {}

    def take(key_id: bytes, key: bytes) -> None:
        told = introductions.get(key_id)
        if told is not None and key_id not in found and commitment(key) == told.commitment:
            found[key_id] = key

    for entry in entries:
        payload = entry.payload
        if isinstance(payload, Add) and payload.device.id in own_ids:
            for key_id, key in _cut(payload.key_ids, _unseal(payload.sealed, sealing_key)):
                take(key_id, key)
    for key_id, told in reversed(introductions.items()):
        for device, box in told.boxes:
            if device in own_ids:
                take(key_id, _unseal(box, sealing_key))
        if key_id in found:
            for older, key in _cut(told.older, _open_older(told, found[key_id])):
                take(older, key)
    return {key_id: found[key_id] for key_id in introductions if key_id in found}


def holders(entries: Sequence[Entry]) -> dict[bytes, set[bytes]]:
    """Return who has each epoch key, as anyone can tell from the entries: its author does anyhow.

    Args:
        entries: sorted as `Standing` sorts them.
    """
    given: dict[bytes, set[bytes]] = {}
    for entry in entries:
        told = entry.introduction
        if told is not None:
            given[entry.key_id] = {entry.author_id, *(device for device, _ in told.boxes)}
        elif isinstance(entry.payload, Add):
            for key_id in entry.payload.key_ids:
                if key_id in given:
                    given[key_id].add(entry.payload.device.id)
    for entry in reversed(entries):
        for older in entry.introduction.older if entry.introduction else ():
            if older in given:
                given[older] |= given[entry.key_id]
    return given


def commitment(key: bytes) -> bytes:
    """Return what tells a key from any other and gives nothing of it away."""
    return hashlib.blake2b(key, digest_size=COMMITMENT_BYTES, person=_COMMITMENT).digest()


def _cut(key_ids: Sequence[bytes], keys: bytes) -> list[tuple[bytes, bytes]]:
    parts = [keys[start : start + KEY_BYTES] for start in range(0, len(keys), KEY_BYTES)]
    return list(zip(key_ids, parts, strict=False))


def _seal(content: bytes, sealing_key: bytes, entropy: Entropy) -> bytes:
    once = PrivateKey(entropy(KEY_BYTES))
    mine, theirs = bytes(once.public_key), PublicKey(sealing_key)
    nonce = hashlib.blake2b(mine + sealing_key, digest_size=_NONCE_BYTES).digest()
    return mine + Box(once, theirs).encrypt(content, nonce).ciphertext


def _unseal(sealed: bytes, sealing_key: PrivateKey) -> bytes:
    try:
        return SealedBox(sealing_key).decrypt(sealed)
    except (CryptoError, ValueError):
        return b""  # invariant 4


def _open_older(told: Introduction, key: bytes) -> bytes:
    nonce, ciphertext = told.sealed_older[:_NONCE_BYTES], told.sealed_older[_NONCE_BYTES:]
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(ciphertext, _OLDER, nonce, key)
    except (CryptoError, ValueError):
        return b""  # invariant 4
