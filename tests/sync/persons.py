"""Identities that are the same in every run, and randomness that is."""

from __future__ import annotations

import hashlib
from functools import cache

from nacl.public import PrivateKey
from nacl.signing import SigningKey

from regend.sync.authoring import add, genesis
from regend.sync.device import Identity, make_certificate
from regend.sync.entries import Entry
from regend.sync.epochs import Entropy
from regend.sync.roster import Roster

AT_MS = 1_790_000_000_000


def entropy(seed: str = "") -> Entropy:
    """Return a source of bytes that gives the same ones for the same seed."""
    count = 0

    def draw(length: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"{seed} {count}".encode()).digest(length)

    return draw


@cache
def identity(name: str) -> Identity:
    """Return the keys of a device; the same name is the same device."""
    draw = entropy(f"keys of {name}")
    signing_key = SigningKey(draw(32))
    return Identity(signing_key, PrivateKey(draw(32)), make_certificate(signing_key))


def added(roster: Roster, by: str, name: str, seed: str = "", at_ms: int = AT_MS) -> Entry:
    """Return the entry with which one device lets in another."""
    own_entropy = entropy(f"{by} adds {name} {seed}")
    entry = add(roster, identity(by), identity(name).device, name, at_ms, own_entropy)
    assert entry is not None
    return entry


def mesh(*names: str) -> Roster:
    """Return the roster of devices of which the first let in the others, in this order."""
    roster = Roster.of([genesis(identity(names[0]), names[0], AT_MS, entropy(names[0]))])
    for name in names[1:]:
        roster = roster.merged([added(roster, names[0], name)])
    return roster


def living(roster: Roster) -> list[str]:
    """Return the names of the members, the most senior first."""
    return [member.name for member in roster.living.values()]
