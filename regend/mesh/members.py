"""What people call devices and do with them, and what they are told that these are called."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from regend.errors import Conflict, NotFound
from regend.store.change import LogId, Position
from regend.sync import authoring
from regend.sync.house import House
from regend.sync.names import likeness
from regend.sync.payloads import Cut
from regend.sync.roster import Roster


def named(roster: Roster, said: str) -> bytes:
    """Return the device of which a person gave the name, or the beginning of the id.

    Raises:
        NotFound: there is none.
        Conflict: several ids begin so.
    """
    members = roster.members
    for device, member in members.items():
        if likeness(member.name) == likeness(said) and not member.is_revoked:
            return device
    found = [one for one in members if said and one.hex().startswith(said.lower())]
    if len(found) > 1:
        raise Conflict(
            "ambiguous_id",
            f"The ids of several devices begin with “{said[:64]}”.",
            hint="Give more of it, or the name: regend devices list",
        )
    if not found:
        raise NotFound(
            "device_unknown",
            f"There is no device “{said[:64]}”.",
            hint="List them: regend devices list",
        )
    return found[0]


def called(roster: Roster | None, own: bytes, device: bytes) -> str:
    """Return what people are told that a device is called."""
    if device == own:
        return "An earlier life of this device"
    members = roster.members if roster else {}
    return f"“{members[device].name}”" if device in members else "The device"


def cuts_of(vector: Mapping[LogId, Position], device: bytes) -> dict[bytes, Cut]:
    """Return up to where the logs of a device are here, by incarnation: what counts of them."""
    return {
        log_id.incarnation: Cut(position.seq, position.head)
        for log_id, position in vector.items()
        if log_id.device == device
    }


async def put_out(house: House, said: str) -> None:
    """Put the device out of the mesh that a person named; see `authoring.revoke`."""
    device = named(house.roster, said)
    cuts = cuts_of(await house.vector(), device)
    roster, at_ms = house.roster, house.wall_ms()
    entry = authoring.revoke(roster, house.identity, device, cuts, at_ms, os.urandom)
    await house.add_entries([entry])


async def rename(house: House, said: str, name: str) -> None:
    """Give the device another name that a person named; see `authoring.rename`."""
    roster, at_ms = house.roster, house.wall_ms()
    entry = authoring.rename(roster, house.identity, named(roster, said), name, at_ms)
    if entry is not None:
        await house.add_entries([entry])


def machine_name() -> str:
    """Return what this machine is called, for a device that was given no name."""
    return socket.gethostname().split(".")[0] or "device"
