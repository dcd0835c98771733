"""What an entry of the roster says: the payloads, and their form in bytes.

| kind | payload |
|---|---|
| `genesis` | device, nonce, introduction of the first epoch key |
| `add` | device, ids of epoch keys, these keys sealed to the device |
| `revoke` | device id, cuts, introduction of a key that the device does not get |
| `rename` | device id, name, version |
| `rekey` | introduction of a key |

A device is `[verify key, sealing key, certificate, name]`, a cut `[incarnation, seq, head]`, an
introduction `[commitment, [[device id, sealed key], …], ids of older keys, these keys sealed]`.
What should have an order is refused without it, and nothing may stand twice. Pure.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from regend.store.change import DEVICE_BYTES, HEAD_BYTES, INCARNATION_BYTES
from regend.sync.device import CERTIFICATE_BYTES, KEY_BYTES, Device, can_seal_to, key_of_certificate
from regend.sync.frame import KEY_ID_BYTES
from regend.sync.names import is_harmless

MESH_DEVICES: Final = 64  # living ones; three times what a person is thought to have
EPOCHS: Final = 1000  # whose keys travel in one entry
PARENTS: Final = 256  # more are never alive at once: each is of a device that was apart
CUTS: Final = 512
NONCE_BYTES: Final = 16
COMMITMENT_BYTES: Final = 16
SEAL_BYTES: Final = 48  # what a libsodium sealed box adds

_LARGEST: Final = 1 << 62


class Cut(NamedTuple):
    """Up to where a log counts.

    Attributes:
        seq: number of the last change that counts; 0 where none does.
        head: of the log at that change.
    """

    seq: int
    head: bytes


class Introduction(NamedTuple):
    """A new epoch key, as those who get it find it in an entry.

    Attributes:
        commitment: tells the key from any other.
        boxes: device id, and the key sealed to it.
        older: ids of keys that stand in `sealed_older`.
        sealed_older: these keys, sealed with the new one.
    """

    commitment: bytes
    boxes: tuple[tuple[bytes, bytes], ...]
    older: tuple[bytes, ...]
    sealed_older: bytes


class Genesis(NamedTuple):
    """The first entry: a mesh of one device."""

    device: Device
    name: str
    nonce: bytes
    introduction: Introduction


class Add(NamedTuple):
    """A device joins, with the epoch keys so far."""

    device: Device
    name: str
    key_ids: tuple[bytes, ...]
    sealed: bytes


class Revoke(NamedTuple):
    """A device is out; what it wrote counts up to the cuts, by incarnation."""

    device_id: bytes
    cuts: dict[bytes, Cut]
    introduction: Introduction


class Rename(NamedTuple):
    """A device has another name; version is 1 + the highest that the author knew."""

    device_id: bytes
    name: str
    version: int


class Rekey(NamedTuple):
    """A new epoch key for all members."""

    introduction: Introduction


Payload = Genesis | Add | Revoke | Rename | Rekey

KINDS: Final[dict[str, type[Payload]]] = {
    "genesis": Genesis,
    "add": Add,
    "revoke": Revoke,
    "rename": Rename,
    "rekey": Rekey,
}
KIND_NAMES: Final = {kind: name for name, kind in KINDS.items()}


def parse(kind: type[Payload], value: Any, author: bytes) -> Payload:
    """Return a payload from what msgpack made of it.

    Args:
        author: verify key of who wrote the entry.

    Raises:
        ValueError, TypeError, Refused: it has not the form of its kind.
    """
    if kind is Genesis:
        told, nonce, introduction = listed(value, 3)
        device, name = device_of(told)
        if device.verify_key != author:
            raise ValueError("another's genesis")
        return Genesis(device, name, as_bytes(nonce, NONCE_BYTES), _introduction(introduction))
    if kind is Add:
        told, key_ids, sealed = listed(value, 3)
        key_ids = each_once(key_ids, KEY_ID_BYTES, EPOCHS)
        sealed = as_bytes(sealed, SEAL_BYTES + KEY_BYTES * len(key_ids))
        return Add(*device_of(told), key_ids, sealed)
    if kind is Revoke:
        device, cuts, introduction = listed(value, 3)
        return Revoke(as_bytes(device, DEVICE_BYTES), _cuts(cuts), _introduction(introduction))
    if kind is Rename:
        device, name, version = listed(value, 3)
        return Rename(as_bytes(device, DEVICE_BYTES), _name(name), as_number(version, 1))
    return Rekey(_introduction(*listed(value, 1)))


def device_of(value: Any) -> tuple[Device, str]:
    """Return the device and its name from their packed form.

    Raises:
        ValueError, TypeError, Refused: it is none.
    """
    verify_key, sealing_key, certificate, name = listed(value, 4)
    device = Device(as_bytes(verify_key, KEY_BYTES), as_bytes(sealing_key, KEY_BYTES), certificate)
    if len(as_bytes(certificate)) > CERTIFICATE_BYTES:
        raise ValueError("large certificate")
    if key_of_certificate(certificate) != verify_key:
        raise ValueError("certificate of another key")
    if not can_seal_to(sealing_key):
        raise ValueError("a key that nothing can be sealed to")
    return device, _name(name)


def packed_device(device: Device, name: str) -> tuple[bytes, bytes, bytes, str]:
    """Return the form of a device that `device_of` reads."""
    return device.verify_key, device.sealing_key, device.certificate, name


def packed(payload: Payload) -> tuple[Any, ...]:
    """Return what msgpack is to carry, as `parse` reads it."""
    match payload:
        case Genesis(device, name, nonce, introduction):
            return packed_device(device, name), nonce, introduction
        case Add(device, name, key_ids, sealed):
            return packed_device(device, name), key_ids, sealed
        case Revoke(device_id, cuts, introduction):
            listed = [(incarnation, *cuts[incarnation]) for incarnation in sorted(cuts)]
            return device_id, listed, introduction
        case _:
            return tuple(payload)


def _introduction(value: Any) -> Introduction:
    commitment, boxes, older, sealed_older = listed(value, 4)
    pairs = [listed(pair, 2) for pair in listed(boxes)]
    in_order([device for device, _ in pairs], DEVICE_BYTES, 1, MESH_DEVICES)
    older = each_once(older, KEY_ID_BYTES, EPOCHS)
    return Introduction(
        as_bytes(commitment, COMMITMENT_BYTES),
        tuple((device, as_bytes(box, SEAL_BYTES + KEY_BYTES)) for device, box in pairs),
        older,
        as_bytes(sealed_older),
    )


def _cuts(value: Any) -> dict[bytes, Cut]:
    triples = [listed(one, 3) for one in listed(value)]
    in_order([incarnation for incarnation, _, _ in triples], INCARNATION_BYTES, 0, CUTS)
    return {
        incarnation: Cut(as_number(seq, 0), as_bytes(head, HEAD_BYTES))
        for incarnation, seq, head in triples
    }


def listed(value: Any, length: int | None = None) -> list[Any]:
    """Return a list, refused with a TypeError where it is none of this length."""
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise TypeError("no list of this length")
    return value


def each_once(value: Any, size: int, most: int) -> tuple[bytes, ...]:
    """Return ids of this size, refused with a ValueError or TypeError where one stands twice."""
    found = tuple(as_bytes(one, size) for one in listed(value))
    if len(found) > most or len(set(found)) != len(found):
        raise ValueError("too many, or twice the same")
    return found


def in_order(value: Any, size: int, least: int, most: int) -> tuple[bytes, ...]:
    """Return sorted ids of this size, refused with a ValueError or TypeError otherwise."""
    found = each_once(value, size, most)
    if len(found) < least or list(found) != sorted(found):
        raise ValueError("too few, or not sorted")
    return found


def as_bytes(value: Any, size: int | None = None) -> bytes:
    """Return bytes, refused with a TypeError where they are none of this size."""
    if not isinstance(value, bytes) or (size is not None and len(value) != size):
        raise TypeError("no bytes of this length")
    return value


def _name(value: Any) -> str:
    if not isinstance(value, str) or not is_harmless(value):
        raise ValueError("no name")
    return value


def as_number(value: Any, least: int) -> int:
    """Return a whole number, refused with a ValueError where it is none or out of range."""
    if type(value) is not int or not least <= value < _LARGEST:
        raise ValueError("no number in range")
    return value
