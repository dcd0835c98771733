"""Entries of the roster: what a member of the mesh said about its devices, and signed.

An entry is msgpack `[body, signature]`; the body is `[version, kind, mesh, author, parents, at_ms,
payload]`. Its id is a hash of the body, and the id of the first entry is the id of the mesh. The
parents are the newest entries that the author knew: an entry stands after its whole past. Pure.

Invariants
1. The author is named by its whole key: an entry is verified by itself, in whatever order it comes.
2. Whether an entry is well formed depends on its bytes alone, so that all devices agree.
3. An author signs under a prefix that nothing else it signs has.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Final

import msgpack
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from regend.errors import BadInput, Refused, RegendError, TooLarge
from regend.sync.device import KEY_BYTES, device_id
from regend.sync.frame import KEY_ID_BYTES, MESH_BYTES
from regend.sync.payloads import (
    KIND_NAMES,
    KINDS,
    PARENTS,
    Genesis,
    Introduction,
    Payload,
    Rekey,
    Revoke,
    as_bytes,
    as_number,
    in_order,
    listed,
    packed,
    parse,
)

VERSION: Final = 1
ENTRY_BYTES: Final = 64 * 1024  # the keys of a thousand epochs, and more than any other needs

_SIGNATURE_BYTES: Final = 64
_CONTEXT: Final = b"regend roster entry\0"


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry whose form and signature hold; whether it counts is for the roster to say.

    Attributes:
        id: hash of the body.
        blob: the entry as it travels.
        mesh: to which it belongs.
        author: verify key of who wrote it.
        parents: ids, sorted.
        at_ms: when, by the author's clock.
    """

    id: bytes
    blob: bytes = field(repr=False)
    mesh: bytes
    author: bytes = field(repr=False)
    parents: tuple[bytes, ...]
    at_ms: int
    payload: Payload = field(repr=False, compare=False)  # the blob tells

    @property
    def author_id(self) -> bytes:
        """Id of the device that wrote it."""
        return device_id(self.author)

    @property
    def key_id(self) -> bytes:
        """Id of the epoch key that this entry introduces, if it does."""
        return self.id[:KEY_ID_BYTES]

    @property
    def introduction(self) -> Introduction | None:
        """What it introduces."""
        return (
            self.payload.introduction
            if isinstance(self.payload, Genesis | Revoke | Rekey)
            else None
        )


def sign(
    signing_key: SigningKey, mesh: bytes, parents: tuple[bytes, ...], at_ms: int, payload: Payload
) -> Entry:
    """Return a new entry.

    Args:
        mesh: its id; empty for a genesis.
        parents: ids of the newest entries that the author knows.
        at_ms: wall time in milliseconds.

    Raises:
        BadInput: what it holds is too large or malformed, and would be refused elsewhere.
    """
    author = bytes(signing_key.verify_key)
    name = KIND_NAMES[type(payload)]
    fields = (VERSION, name, mesh, author, sorted(parents), at_ms, packed(payload))
    body: bytes = msgpack.packb(fields)
    signature = signing_key.sign(_CONTEXT + body).signature
    try:
        return verify(msgpack.packb((body, signature)))
    except RegendError as error:
        raise BadInput("entry_unfit", f"The entry cannot be made. {error.message}") from error


def verify(blob: bytes, mesh: bytes | None = None) -> Entry:
    """Return an entry that came from elsewhere, checked as far as it can be by itself.

    Args:
        mesh: the entry must be of this one; None where that is not known yet.

    Raises:
        TooLarge: it is over `ENTRY_BYTES`.
        Refused: it is no entry (`entry_malformed`), of a newer program (`entry_newer`), not signed
            by its author (`entry_forged`), or of another mesh (`entry_of_another_mesh`).
    """
    if len(blob) > ENTRY_BYTES:
        raise TooLarge("entry_too_large", f"An entry of {len(blob)} bytes is too large.")
    try:
        body, signature = listed(msgpack.unpackb(blob), 2)
        entry = _parsed(blob, as_bytes(body))
        signature = as_bytes(signature, _SIGNATURE_BYTES)
    except Refused as error:
        raise error if error.code == "entry_newer" else _malformed() from error
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise _malformed() from error
    try:
        VerifyKey(entry.author).verify(_CONTEXT + body, signature)
    except (CryptoError, ValueError) as error:
        raise Refused("entry_forged", "An entry is not signed by the device it names.") from error
    if mesh is not None and entry.mesh != mesh:
        raise Refused("entry_of_another_mesh", "An entry is of another mesh.")
    return entry


def _parsed(blob: bytes, body: bytes) -> Entry:
    fields = msgpack.unpackb(body)
    if not isinstance(fields, list) or not fields or type(fields[0]) is not int:
        raise ValueError("no body")
    if fields[0] != VERSION:
        raise _newer()
    _, name, mesh, author, parents, at_ms, payload = listed(fields, 7)
    if not isinstance(name, str):
        raise TypeError("no kind")
    kind = KINDS.get(name)
    if kind is None:
        raise _newer()
    own_id = hashlib.blake2b(body, digest_size=MESH_BYTES).digest()
    is_first = kind is Genesis
    return Entry(
        id=own_id,
        blob=blob,
        mesh=own_id if is_first and as_bytes(mesh, 0) == b"" else as_bytes(mesh, MESH_BYTES),
        author=as_bytes(author, KEY_BYTES),
        parents=in_order(parents, MESH_BYTES, 0 if is_first else 1, 0 if is_first else PARENTS),
        at_ms=as_number(at_ms, 0),
        payload=parse(kind, payload, author),
    )


def _malformed() -> Refused:
    return Refused("entry_malformed", "What came is no entry of a roster.")


def _newer() -> Refused:
    return Refused(
        "entry_newer",
        "A device wrote an entry that this version of regend does not know.",
        hint="Upgrade regend on this device.",
    )
