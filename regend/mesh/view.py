"""The devices of a mesh as clients see them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping
from typing import Any

from regend.clock import rfc3339
from regend.jobs.handover import unfinished_of
from regend.mesh import peers
from regend.mesh.founding import Standing
from regend.mesh.network import Network
from regend.mesh.notes import notes
from regend.mesh.peers import NOBODY, Peer
from regend.mesh.statehash import contradict
from regend.mesh.unfit import unfit_documents
from regend.store import Store
from regend.store.change import LogId, Position
from regend.sync import words
from regend.sync.discovery import Discovery
from regend.sync.exchange import Exchange
from regend.sync.house import House
from regend.sync.interfaces import interfaces
from regend.sync.near import is_link_local, written
from regend.sync.renewals import renewals

Vector = Mapping[LogId, Position]


def devices_shown(
    standing: Standing,
    network: Network | None,
    known: Mapping[bytes, Peer],
    split: Collection[bytes],
    vector: Vector,
    name: str,
) -> dict[str, Any]:
    """Return the objects of `GET /devices`.

    Args:
        known: what is remembered of each device.
        split: devices of which a log has two histories here.
        vector: how far each log is here.
        name: of this device where it is in no mesh.
    """
    own = standing.identity.id
    if network is None:
        return {"mesh": None, "devices": [_shown(own, name, this=True)]}
    house, shown = network.house, []
    for device, member in house.roster.members.items():
        if device == own:
            one = _shown(own, member.name, this=True, revoked=member.is_revoked)
        else:
            exchange = network.links.to(device)
            one = {
                **_shown(device, member.name, this=False, revoked=member.is_revoked),
                **_met(house, exchange, known.get(device, NOBODY), vector),
            }
        shown.append({**one, "copied": device in split})
    return {"mesh": house.mesh.hex(), "devices": shown}


def _shown(device: bytes, name: str, *, this: bool, revoked: bool = False) -> dict[str, Any]:
    return {
        "id": device.hex(),
        "name": name,
        "this": this,
        "revoked": revoked,
        "reachable": this,
        "way": None,
        "address": None,
        "last_seen": None,
        "behind": 0,
        "ahead": 0,
        "state": "equal" if this else "unknown",
        "copied": False,
    }


def _met(house: House, exchange: Exchange | None, peer: Peer, vector: Vector) -> dict[str, Any]:
    theirs = exchange.theirs if exchange else peer.vector
    behind, ahead = _lacking(vector, theirs), _lacking(theirs, vector)
    own_hash = house.state_hash.of(vector)
    their_hash = exchange.state_hash if exchange else peer.state_hash
    if peer.differs_since is not None:
        state = "differs"
    elif behind or ahead:
        state = "catching up" if exchange else "behind"
    elif exchange and contradict(own_hash, their_hash):  # what is remembered may be older
        state = "differs"
    else:
        state = "equal" if own_hash and own_hash == their_hash else "unknown"
    return {
        "reachable": exchange is not None,
        "way": exchange.link.way if exchange else None,
        "address": exchange.link.address if exchange else peer.address,
        "last_seen": None if peer.seen_at is None else rfc3339(peer.seen_at),
        "behind": behind,
        "ahead": ahead,
        "state": state,
    }


def _lacking(vector: Vector, other: Vector) -> int:
    """Return how many changes of a vector another lacks."""
    return sum(
        max(0, position.seq - (other[log_id].seq if log_id in other else 0))
        for log_id, position in vector.items()
    )


def invite_shown(code: dict[str, Any], network: Network, *, loopback: bool) -> dict[str, Any]:
    """Return the object of an invite: its code, and what a QR code says of it.

    Args:
        code: as the pairings show it.
        loopback: whether devices look for one another on this machine.
    """
    assert network.port is not None
    found = dict.fromkeys(one.address for one in interfaces(loopback=loopback))
    addresses = [written(one, network.port) for one in found if not is_link_local(one)]
    link = words.link(code["code"], addresses)
    return {**code, "port": network.port, "addresses": addresses, "link": link}


def report_shown(
    standing: Standing, network: Network | None, discovery: Discovery, store: Store
) -> dict[str, Any]:
    """Return the object of `GET /mesh`."""
    troubles = network.links.troubles if network else {}
    with store.reading() as connection:
        lives = renewals(connection)
        known = peers.peers(connection)
        unfit = unfit_documents(connection)
        stranded = _stranded(connection, network)
    return {
        "mesh": network.house.mesh.hex() if network else None,
        "device": standing.identity.id.hex(),
        "incarnation": standing.life.id.hex(),
        "renewals": lives,
        "port": network.port if network else None,
        "fault": network.fault.to_dict() if network and network.fault else None,
        "discovery": discovery.report().to_dict(),
        "found": [
            {
                "device": one.device.hex() if one.device else None,
                "addresses": list(one.addresses),
                "port": one.port,
                "invite": one.invite,
            }
            for one in discovery.found
        ],
        "troubles": [
            {"device": device.hex(), "tried": list(one.tried), "reason": one.reason}
            for device, one in troubles.items()
        ],
        "notes": notes(network, discovery, known, unfit, stranded) if network else [],
    }


def _stranded(connection: sqlite3.Connection, network: Network | None) -> dict[bytes, list[str]]:
    """Return the unfinished jobs of devices that were put out, by device."""
    members = network.house.roster.members if network else {}
    out = [device for device, member in members.items() if member.is_revoked]
    found = {device: unfinished_of(connection, device) for device in out}
    return {device: jobs for device, jobs in found.items() if jobs}
