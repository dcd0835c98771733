"""The rules of the roster once more, as plainly as they can be said and as slowly.

`regend.sync.standing` is held against this. Sets of entries instead of bits, nothing remembered.
"""

from __future__ import annotations

from collections.abc import Iterable

from regend.sync.entries import Entry
from regend.sync.payloads import Add, Genesis, Rename, Revoke

Entries = frozenset[Entry]


class PlainRoster:
    """What is right and what stands among entries whose whole past is there."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        by_id = {entry.id: entry for entry in entries}
        self.past: dict[Entry, Entries] = {}
        self.depth: dict[Entry, int] = {}
        pending = list(by_id.values())
        while pending:
            ready = [
                entry
                for entry in pending
                if all(one in by_id and by_id[one] in self.past for one in entry.parents)
            ]
            if not ready:
                break
            for entry in ready:
                parents = [by_id[one] for one in entry.parents]
                self.past[entry] = frozenset(parents).union(*(self.past[one] for one in parents))
                self.depth[entry] = max((1 + self.depth[one] for one in parents), default=0)
                pending.remove(entry)
        self.waiting = {entry.id for entry in pending}
        self.right = frozenset(entry for entry in self.past if self.was_right(entry))
        self.standing = self.revocations(self.right)
        self.living = self.members(self.right)

    def rank(self, entry: Entry) -> tuple[int, bytes]:
        return self.depth[entry], entry.id

    def was_right(self, entry: Entry) -> bool:
        past, payload = self.past[entry], entry.payload
        if isinstance(payload, Genesis):
            return True
        if not all(self.was_right(one) for one in past):
            return False
        living = self.members(past)
        if entry.author_id not in living:
            return False
        if isinstance(payload, Add):
            known = living.get(payload.device.id)
            return known is None or known.payload.device == payload.device  # type: ignore[union-attr]
        if isinstance(payload, Revoke):
            return payload.device_id in living and payload.device_id != entry.author_id
        if isinstance(payload, Rename):
            versions = [
                one.payload.version
                for one in past
                if isinstance(one.payload, Rename) and one.payload.device_id == payload.device_id
            ]
            is_next = payload.version == 1 + max(versions, default=0)
            return payload.device_id in living and is_next
        return True

    def revocations(self, among: Entries) -> list[Entry]:
        def order(entry: Entry) -> tuple[tuple[int, bytes], tuple[int, bytes]]:
            first = min(self.rank(one) for one in among if grants(one, entry.author_id))
            return first, self.rank(entry)

        standing: list[Entry] = []
        for entry in sorted((one for one in among if isinstance(one.payload, Revoke)), key=order):
            if self.counts(entry, standing) and self.members_under([*standing, entry], among):
                standing.append(entry)
        return standing

    def counts(self, entry: Entry, standing: list[Entry]) -> bool:
        """Tell whether the author was let in, for this entry, against these revocations."""
        if isinstance(entry.payload, Genesis):
            return True
        against = [
            one for one in standing if revokes(one, entry.author_id) and entry not in self.past[one]
        ]
        return any(
            grants(one, entry.author_id)
            and all(revocation in self.past[one] for revocation in against)
            and self.counts(one, standing)
            for one in self.past[entry]
        )

    def members(self, among: Entries) -> dict[bytes, Entry]:
        return self.members_under(self.revocations(among), among)

    def members_under(self, standing: list[Entry], among: Entries) -> dict[bytes, Entry]:
        living: dict[bytes, Entry] = {}
        for entry in sorted(among, key=self.rank):
            payload = entry.payload
            if not isinstance(payload, Genesis | Add) or not self.counts(entry, standing):
                continue
            against = [one for one in standing if revokes(one, payload.device.id)]
            if all(one in self.past[entry] for one in against):
                living[payload.device.id] = entry
        return living


def grants(entry: Entry, device: bytes) -> bool:
    return isinstance(entry.payload, Genesis | Add) and entry.payload.device.id == device


def revokes(entry: Entry, device: bytes) -> bool:
    return isinstance(entry.payload, Revoke) and entry.payload.device_id == device
