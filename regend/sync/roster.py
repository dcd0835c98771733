"""The roster: which devices are of the mesh, which are no more, and what the mesh is sealed with.

A roster is a set of entries that only grows. It is evaluated whole: the same set gives the same
roster on every device, in whatever order the entries came (`standing` says by what rules). Pure.

Invariants
1. A log of a device that was revoked counts up to the cut, wherever the device is now: if it comes
   back, it writes in a new incarnation. Of several cuts the farthest counts.
2. No two members have names that people would take for one: the junior one's gets a number.
3. The current epoch key was given to nobody who is not a member now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from nacl.public import PrivateKey

from regend.errors import BadInput, NotFound
from regend.sync import epochs
from regend.sync.device import Device
from regend.sync.entries import Entry
from regend.sync.names import free, likeness, seen
from regend.sync.payloads import EPOCHS, Add, Cut, Genesis, Rename, Revoke
from regend.sync.standing import Standing, indices_in

NOTHING: Final = Cut(0, b"")


@dataclass(frozen=True, slots=True)
class Member:
    """A device that is or was of the mesh.

    Attributes:
        device: its keys.
        name: as people are shown it.
        seniority: rank; the lower, the more senior.
        is_revoked: whether it is out.
        cuts: up to where its logs count, by incarnation, of all times that it was revoked.
    """

    device: Device
    name: str
    seniority: int
    is_revoked: bool
    cuts: Mapping[bytes, Cut]

    def cut(self, incarnation: bytes) -> Cut | None:
        """Return up to where a log of it counts, None where all of it does (invariant 1)."""
        return self.cuts.get(incarnation, NOTHING if self.is_revoked else None)


class Roster:
    """What a set of entries says.

    Attributes:
        mesh: id of the mesh; empty where there are no entries.
        entries: all, by id, those that wait and are rejected too.
        heads: ids that the next entry builds on.
        digest: the same for two devices exactly if they have the same entries.
        members: by device id, the most senior first, revoked ones too.
        waiting: ids of entries of which something before them is missing.
        rejected: ids of entries that will never count, and why.
        overruled: ids of entries that do not stand against a revocation of their author.
        key_ids: of all epoch keys, oldest first.
        current: id of the epoch key to seal with, None where none is fit.
        needs_rekey: whether there is none that all members have and nobody else.
        is_rekey_due: whether that is so, or members lack an older key that others can give them.
    """

    def __init__(
        self, entries: Iterable[Entry], mesh: bytes, before: Standing | None = None
    ) -> None:
        self.mesh = mesh
        self.entries = {entry.id: entry for entry in entries}
        self.digest = hashlib.blake2b(b"".join(sorted(self.entries)), digest_size=16).digest()
        self._standing = standing = Standing(self.entries.values(), before)
        self.waiting, self.rejected = standing.waiting, standing.rejected
        self.heads = standing.heads()
        self._right = [standing.entries[index] for index in indices_in(standing.right)]
        self.overruled = frozenset(
            standing.entries[index].id for index in indices_in(standing.overruled)
        )
        self.members = self._listed()
        self._holders = epochs.holders(self._right)
        self.key_ids = tuple(self._holders)
        self.current, self.needs_rekey = self._chosen_key()
        living = self.living.keys()
        self.is_rekey_due = self.needs_rekey or any(
            given & living and living - given for given in self._holders.values()
        )

    @staticmethod
    def of(
        entries: Iterable[Entry], mesh: bytes | None = None, before: Standing | None = None
    ) -> Roster:
        """Evaluate entries, each as `verify` returned it.

        Args:
            mesh: id of the mesh; None where the entries are to say it.
            before: the judgement on some of them.

        Raises:
            BadInput: they are of several meshes, or of another.
        """
        entries = list(entries)
        meshes = {entry.mesh for entry in entries} | ({mesh} if mesh is not None else set())
        if len(meshes) > 1:
            raise BadInput("roster_mixed", "These entries are of several meshes.")
        return Roster(entries, meshes.pop() if meshes else b"", before)

    def merged(self, entries: Iterable[Entry]) -> Roster:
        """Return the roster with these entries too."""
        return Roster.of([*self.entries.values(), *entries], self.mesh or None, self._standing)

    @property
    def living(self) -> dict[bytes, Member]:
        """The members that are not revoked, by device id, the most senior first."""
        return {one: member for one, member in self.members.items() if not member.is_revoked}

    def is_living(self, device: bytes) -> bool:
        """Tell whether a device is a member now."""
        return device in self.members and not self.members[device].is_revoked

    def member(self, device: bytes) -> Member:
        """Return a device that is or was of the mesh.

        Raises:
            NotFound: it never was.
        """
        if device not in self.members:
            raise NotFound(
                "device_unknown",
                f"No device {device.hex()} is in this mesh.",
                hint="List them: regend devices list",
            )
        return self.members[device]

    def cut(self, device: bytes, incarnation: bytes) -> Cut | None:
        """Return up to where a log counts, None where all of it does; a stranger's not at all."""
        member = self.members.get(device)
        return NOTHING if member is None else member.cut(incarnation)

    def blobs(self) -> list[bytes]:
        """Return all entries as they travel, each after those it builds on."""
        waiting = [self.entries[one].blob for one in self.waiting]
        return [entry.blob for entry in self._standing.entries] + waiting

    def next_version(self, device: bytes) -> int:
        """Return the version of the next rename of a device."""
        return self._standing.next_version(device, self._standing.right)

    def epoch_keys(self, sealing_key: PrivateKey) -> dict[bytes, bytes]:
        """Return every epoch key that the device with this key was given, by key id, oldest first.

        What cannot be opened is left out.
        """
        public = bytes(sealing_key.public_key)
        own_ids = frozenset(
            entry.payload.device.id
            for entry in self._right
            if isinstance(entry.payload, Genesis | Add)
            and entry.payload.device.sealing_key == public
        )
        return epochs.collect(self._right, own_ids, sealing_key)

    def holders(self, key_id: bytes) -> list[Member]:
        """Return the members that have an epoch key and can give it, the most senior first."""
        given = self._holders.get(key_id, ())
        return [member for one, member in self.living.items() if one in given]

    def owes_rekey(
        self, device: bytes, held: Iterable[bytes], linked: Collection[bytes] = ()
    ) -> bool:
        """Tell whether it is for this device to write a rekey now.

        It is for the most senior member where `needs_rekey`; and where members lack a key that
        others have (two were introduced at the same time), for the most senior who has it. Who is
        not linked to this device is taken for away, so that nobody waits for a device in a drawer.
        Where two write it at the same time, because they are not linked, the newer one is taken.

        Args:
            held: ids of the epoch keys that the device has, oldest first.
            linked: who is linked to it; while nobody is, all members count as present.
        """
        living = list(self.living)
        if device not in living:
            return False
        present = [one for one in living if one == device or one in linked or not linked]
        if self.needs_rekey and present[0] == device:
            return True
        kept = set(list(held)[-EPOCHS:])  # what the rekey would carry
        for key_id, given in self._holders.items():
            having = [one for one in present if one in given]
            if having[:1] == [device] and key_id in kept and not given.issuperset(living):
                return True
        return False

    def _listed(self) -> dict[bytes, Member]:
        standing, view = self._standing, self._standing.view
        found: dict[bytes, Member] = {}
        taken: set[str] = set()
        for device in sorted(view.known, key=standing.seniority):
            is_living = device in view.living
            name = seen(self._name(device)) or f"device {device.hex()[:8]}"
            if is_living:
                name = free(name, taken)
                taken.add(likeness(name))
            found[device] = Member(
                self._grant(device).device,
                name,
                standing.seniority(device),
                not is_living,
                self._cuts(device),
            )
        return found

    def _grant(self, device: bytes) -> Genesis | Add:
        """Return the newest payload that counts and let a device in."""
        view, entries = self._standing.view, self._standing.entries
        indices = [view.living[device]] if device in view.living else indices_in(view.counted)
        payloads = [entries[index].payload for index in indices]
        return [
            payload
            for payload in payloads
            if isinstance(payload, Genesis | Add) and payload.device.id == device
        ][-1]

    def _name(self, device: bytes) -> str:
        """Return the name by the highest (version, time, author) since a device was let in."""
        standing = self._standing
        since = standing.view.living.get(device)
        best, name = (0, 0, b""), self._grant(device).name
        for index in indices_in(standing.right & ~standing.overruled):
            payload = standing.entries[index].payload
            if not isinstance(payload, Rename) or payload.device_id != device:
                continue
            if since is not None and standing.past[since] >> index & 1:
                continue
            rank = (payload.version, standing.entries[index].at_ms, standing.author(index))
            if rank > best:
                best, name = rank, payload.name
        return name

    def _cuts(self, device: bytes) -> dict[bytes, Cut]:
        cuts: dict[bytes, Cut] = {}
        for index in indices_in(self._standing.view.revoked_by.get(device, 0)):
            payload = self._standing.entries[index].payload
            assert isinstance(payload, Revoke)
            for incarnation, cut in payload.cuts.items():
                cuts[incarnation] = max(cut, cuts.get(incarnation, NOTHING))
        return cuts

    def _chosen_key(self) -> tuple[bytes | None, bool]:
        """Return the newest fit key, rather one that all members have, and whether none is that."""
        living = self.living.keys()
        fit = [
            entry.key_id
            for entry in self._right
            if entry.introduction and self._holders[entry.key_id] <= living
        ]
        whole = [key_id for key_id in fit if self._holders[key_id] >= living]
        return next(reversed(whole or fit), None), not whole and bool(living)
