"""New entries of the roster: what this device may say of others, and what it is refused.

Pure: time, randomness and this device's keys come in. The caller stores an entry before it shows
it to anybody.
"""

from __future__ import annotations

from collections.abc import Mapping

from regend.errors import BadInput, Conflict, NotAllowed
from regend.sync.device import Device, Identity
from regend.sync.entries import Entry, sign
from regend.sync.epochs import Entropy, hand_over, introduce
from regend.sync.names import clean, free, likeness
from regend.sync.payloads import (
    MESH_DEVICES,
    NONCE_BYTES,
    PARENTS,
    Add,
    Cut,
    Genesis,
    Payload,
    Rekey,
    Rename,
    Revoke,
)
from regend.sync.roster import Member, Roster


def genesis(identity: Identity, name: str, at_ms: int, entropy: Entropy) -> Entry:
    """Return the first entry of a new mesh, whose one member is this device.

    Args:
        at_ms: wall time in milliseconds.
        entropy: returns random bytes.

    Raises:
        BadInput: the name is none.
    """
    device = identity.device
    introduction = introduce({device.id: device.sealing_key}, {}, entropy)
    payload = Genesis(device, clean(name), entropy(NONCE_BYTES), introduction)
    return sign(identity.signing_key, b"", (), at_ms, payload)


def add(
    roster: Roster, identity: Identity, device: Device, name: str, at_ms: int, entropy: Entropy
) -> Entry | None:
    """Return the entry that lets a device in, None where it is a member already.

    Args:
        name: as the device calls itself; where that is taken it gets a number.

    Raises:
        BadInput: the name is none.
        Conflict: the mesh has no room, or knows the device by other keys.
        NotAllowed: this device is no member.
    """
    living = _living(roster, identity)
    member = roster.members.get(device.id)
    if member is not None and not member.is_revoked:
        if member.device != device:
            raise Conflict(
                "device_keys_differ",
                f"The mesh knows “{member.name}” by other keys.",
                hint="Revoke it, then pair it again: regend devices revoke",
            )
        return None
    if len(living) >= MESH_DEVICES:
        raise Conflict(
            "devices_full",
            f"The mesh has {MESH_DEVICES} devices, which is the most.",
            hint="Revoke one that is not used any more: regend devices revoke",
        )
    name = free(clean(name), {likeness(one.name) for one in living.values()})
    keys = roster.epoch_keys(identity.sealing_key)
    payload = Add(device, name, *hand_over(keys, device.sealing_key, entropy))
    return _signed(roster, identity, at_ms, payload)


def revoke(
    roster: Roster,
    identity: Identity,
    device_id: bytes,
    cuts: Mapping[bytes, Cut],
    at_ms: int,
    entropy: Entropy,
) -> Entry:
    """Return the entry that puts a device out, with a new epoch key for all others.

    Args:
        cuts: by incarnation, up to where its logs count: what this device has of them.

    Raises:
        NotFound: there is no such device.
        Conflict: it was revoked before.
        BadInput: it is this device.
        NotAllowed: this device is no member.
    """
    living = _living(roster, identity)
    if device_id == identity.id:
        raise BadInput(
            "device_is_this",
            "A device cannot revoke itself.",
            hint="Run this on another device of the mesh.",
        )
    member = roster.member(device_id)
    if member.is_revoked:
        raise Conflict("device_revoked_before", f"“{member.name}” was revoked before.")
    recipients = {one: living[one].device.sealing_key for one in living if one != device_id}
    introduction = introduce(recipients, roster.epoch_keys(identity.sealing_key), entropy)
    return _signed(roster, identity, at_ms, Revoke(device_id, dict(cuts), introduction))


def rename(
    roster: Roster, identity: Identity, device_id: bytes, name: str, at_ms: int
) -> Entry | None:
    """Return the entry that gives a device another name, None where it has that name.

    Raises:
        NotFound: there is no such device.
        BadInput: the name is none.
        Conflict: another device has it, or this one was revoked.
        NotAllowed: this device is no member.
    """
    living = _living(roster, identity)
    member, name = roster.member(device_id), clean(name)
    if member.is_revoked:
        raise Conflict("device_revoked_before", f"“{member.name}” was revoked before.")
    for other, one in living.items():
        if other != device_id and likeness(one.name) == likeness(name):
            raise Conflict(
                "device_name_taken",
                f"Another device is called “{one.name}”.",
                hint="Choose another name.",
            )
    if member.name == name:
        return None
    payload = Rename(device_id, name, roster.next_version(device_id))
    return _signed(roster, identity, at_ms, payload)


def rekey(roster: Roster, identity: Identity, at_ms: int, entropy: Entropy) -> Entry:
    """Return the entry that gives all members a new epoch key.

    Raises:
        NotAllowed: this device is no member.
    """
    living = _living(roster, identity)
    recipients = {one: member.device.sealing_key for one, member in living.items()}
    introduction = introduce(recipients, roster.epoch_keys(identity.sealing_key), entropy)
    return _signed(roster, identity, at_ms, Rekey(introduction))


def _living(roster: Roster, identity: Identity) -> dict[bytes, Member]:
    if not roster.is_living(identity.id):
        raise NotAllowed(
            "device_not_a_member",
            "This device is no member of the mesh any more.",
            hint="Pair it again: regend devices invite on another device, then join with the code.",
        )
    return roster.living


def _signed(roster: Roster, identity: Identity, at_ms: int, payload: Payload) -> Entry:
    parents = roster.heads[:PARENTS]
    return sign(identity.signing_key, roster.mesh, parents, at_ms, payload)
