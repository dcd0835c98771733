"""Which entries of a roster count: one answer for one set of entries, in whatever order they came.

Two questions, asked of each entry in turn.

*Was it right when it was written?* Its author was a member, and what it says was possible, going by
the entry's own past alone. The past of an entry never changes, so neither does this answer.

*Does it stand?* A revocation of its author may overrule it, of which the author did not know.
Revocations are asked in the order of their authors' seniority, then by depth and id, and one that
stands keeps standing. So of two devices that revoke each other, the senior one's counts.

Invariants
1. An entry counts only if it was right, and its author was let in by an entry that counts.
2. It does not count where a standing revocation of its author does not have it in its past, unless
   the author was let in again after that revocation and before the entry.
3. Whom a device lets in is junior to it: nobody gains seniority by letting in others.
4. What was not right is nobody's past: whatever builds on it is not right either.
5. A revocation that would leave nobody does not stand.

The limit of seniority: a thief with the most senior device can overrule those who revoke it. They
see that, and part from it in a new mesh.

Entries are sorted by depth (the longest way from the first one) and id; sets of them are whole
numbers with a bit for each, because "is in its past" is asked more than anything else. An entry
that builds on all before it, as nearly each does, is judged by what held until then.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from regend.sync.entries import Entry
from regend.sync.payloads import MESH_DEVICES, Add, Genesis, Rename, Revoke

_NOT_A_MEMBER: Final = "its author was no member when it was written"


class View(NamedTuple):
    """What holds for a set of entries that has their whole past.

    Attributes:
        counted: the grants (genesis and adds) that count, as a set.
        living: the members, each with the newest entry that let it in.
        known: all who ever were members.
        revoked_by: the standing revocations of each device, as a set.
    """

    counted: int
    living: dict[bytes, int]
    known: frozenset[bytes]
    revoked_by: dict[bytes, int]


class Standing:
    """The judgement on a set of entries of one mesh.

    Attributes:
        entries: those whose whole past is there, sorted; what follows speaks of indices in it.
        past: of each entry.
        waiting: ids of entries whose past is not all there.
        rejected: ids of entries that were not right when they were written, and why not.
        right: the other ones, as a set.
        overruled: those of `right` that do not stand, as a set.
        view: what holds in the end.
    """

    def __init__(self, entries: Iterable[Entry], before: Standing | None = None) -> None:
        """Judge entries.

        Args:
            before: the judgement on some of them; where the others come behind all of those, they
                alone are judged anew.
        """
        self.entries, self.waiting = _sorted(entries)
        self.past: list[int] = []
        self.right = 0
        self.rejected: dict[bytes, str] = {}
        self._authors: list[bytes] = []
        self._indices: dict[bytes, int] = {}
        self._grants: dict[bytes, list[int]] = {}  # of each device, those that were right
        self._granted: dict[int, bytes] = {}  # by the index of a grant, whom it lets in
        self._matters = 0  # to who is a member: grants and revocations that were right
        self._versions: dict[bytes, list[tuple[int, int]]] = {}  # of each name, and where, sorted
        self._views: dict[int, View] = {}
        if before is not None and before.entries == self.entries[: len(before.entries)]:
            self._go_on_from(before)
        for index in range(len(self.past), len(self.entries)):
            self._take(index)
        self.view = self._viewed(self._matters)
        self.overruled = sum(
            1 << index for index in indices_in(self.right) if not self._stands(index, self.view)
        )

    def author(self, index: int) -> bytes:
        """Return the id of the device that wrote an entry."""
        return self._authors[index]

    def heads(self) -> tuple[bytes, ...]:
        """Return the ids of the right entries that are in nobody's past: parents of the next."""
        covered = 0
        for index in indices_in(self.right):
            covered |= self.past[index]
        return tuple(sorted(self.entries[index].id for index in indices_in(self.right & ~covered)))

    def seniority(self, device: bytes) -> int:
        """Return the rank of a device that ever was let in: the lower, the more senior."""
        return self._grants[device][0]

    def next_version(self, device: bytes, past: int) -> int:
        """Return the version that a rename after this past must have."""
        newest_first = reversed(self._versions.get(device, ()))
        return 1 + next((version for version, index in newest_first if past >> index & 1), 0)

    def _go_on_from(self, before: Standing) -> None:
        """Take over the judgement on entries whose indices are the same here."""
        self.past, self.right = list(before.past), before.right
        self.rejected = dict(before.rejected)
        self._authors, self._indices = list(before._authors), dict(before._indices)
        self._grants = {device: list(indices) for device, indices in before._grants.items()}
        self._granted, self._matters = dict(before._granted), before._matters
        self._versions = {device: list(known) for device, known in before._versions.items()}
        self._views = dict(before._views)

    def _take(self, index: int) -> None:
        entry = self.entries[index]
        past = 0
        for parent in map(self._indices.__getitem__, entry.parents):
            past |= self.past[parent] | 1 << parent
        self.past.append(past)
        self._authors.append(entry.author_id)
        self._indices[entry.id] = index
        fault = self._fault(index)
        if fault:
            self.rejected[entry.id] = fault
            return
        self.right |= 1 << index
        payload = entry.payload
        if isinstance(payload, Genesis | Add):
            self._granted[index] = payload.device.id
            self._grants.setdefault(payload.device.id, []).append(index)
        if isinstance(payload, Genesis | Add | Revoke):
            self._matters |= 1 << index
        if isinstance(payload, Rename):
            insort(self._versions.setdefault(payload.device_id, []), (payload.version, index))

    def _fault(self, index: int) -> str:
        """Return why an entry was not right when it was written, going by its past alone."""
        entry, past = self.entries[index], self.past[index]
        if isinstance(entry.payload, Genesis):
            return ""
        if past & ~self.right:
            return "it builds on an entry that never counted"
        view = self._viewed(past & self._matters)
        author = self._authors[index]
        if author not in view.living:
            return _NOT_A_MEMBER
        match entry.payload:
            case Add(device):
                return self._add_fault(device.id, entry.payload, view)
            case Revoke(device) if device == author:
                return "a device cannot revoke itself"
            case Revoke(device) | Rename(device) if device not in view.living:
                return "it is about a device that was no member"
            case Rename(device, _, version) if version != self.next_version(device, past):
                return "its version is not the next one"
            case _:
                return ""

    def _add_fault(self, device: bytes, payload: Add, view: View) -> str:
        if device in view.living:
            known = self.entries[view.living[device]].payload
            assert isinstance(known, Genesis | Add)
            return "" if known.device == payload.device else "it gives a member other keys"
        return "the mesh has no room" if len(view.living) >= MESH_DEVICES else ""

    def _viewed(self, matters: int) -> View:
        """Return what holds for these grants and revocations, which have their whole past."""
        view = self._views.get(matters)
        if view is None:
            newest = matters.bit_length() - 1
            before = self._views.get(matters ^ 1 << newest) if matters else None
            if before is not None and not (matters ^ 1 << newest) & ~self.past[newest]:
                view = self._followed(before, newest)
            self._views[matters] = view = view or self._judged(matters)
        return view

    def _followed(self, before: View, index: int) -> View:
        """Return what holds after one more grant or revocation, which has all others in its past.

        Its author is a member by them, or it would not be right. It overrules none of them, and
        none of them overrules it; nor does it leave nobody, because its author stays.
        """
        payload, bit = self.entries[index].payload, 1 << index
        counted, living, known, revoked_by = before
        if isinstance(payload, Revoke):
            gone = payload.device_id
            living = {device: grant for device, grant in living.items() if device != gone}
            revoked_by = revoked_by | {gone: revoked_by.get(gone, 0) | bit}
        else:
            device = self._granted[index]
            counted |= bit
            living = living | {device: index}
            known |= {device}
        return View(counted, living, known, revoked_by)

    def _judged(self, matters: int) -> View:
        grants: list[int] = []
        revocations: list[int] = []
        for index in indices_in(matters):
            is_revocation = isinstance(self.entries[index].payload, Revoke)
            (revocations if is_revocation else grants).append(index)
        seniority: dict[bytes, int] = {}  # among these alone: a view depends on nothing else
        for index in grants:
            seniority.setdefault(self._granted[index], index)
        granters = {self._authors[index] for index in grants}
        revoked_by: dict[bytes, int] = {}
        counted = self._counted(grants, revoked_by)
        for index in sorted(revocations, key=lambda one: (seniority[self._authors[one]], one)):
            if not self._was_let_in(index, counted, revoked_by):
                continue
            payload = self.entries[index].payload
            assert isinstance(payload, Revoke)
            before = revoked_by.get(payload.device_id, 0)
            revoked_by[payload.device_id] = before | 1 << index
            left = counted
            if payload.device_id in granters:
                left = self._counted(grants, revoked_by)
            if any(self._lets_in(grant, revoked_by) for grant in indices_in(left)):
                counted = left
            else:
                revoked_by[payload.device_id] = before  # invariant 5
        granted = {index: self._granted[index] for index in indices_in(counted)}
        living = {
            device: index for index, device in granted.items() if self._lets_in(index, revoked_by)
        }
        return View(counted, living, frozenset(granted.values()), revoked_by)

    def _lets_in(self, grant: int, revoked_by: dict[bytes, int]) -> bool:
        """Tell whether a grant that counts is newer than all that puts its device out."""
        return not revoked_by.get(self._granted[grant], 0) & ~self.past[grant]

    def _counted(self, grants: list[int], revoked_by: dict[bytes, int]) -> int:
        counted = 0
        for index in grants:
            if not self.past[index] or self._was_let_in(index, counted, revoked_by):
                counted |= 1 << index
        return counted

    def _was_let_in(self, index: int, counted: int, revoked_by: dict[bytes, int]) -> bool:
        """Tell whether the author of an entry was a member for it (invariants 1 and 2)."""
        author = self._authors[index]
        standing = indices_in(revoked_by.get(author, 0))
        against = sum(1 << one for one in standing if not self.past[one] >> index & 1)
        usable = counted & self.past[index]
        return any(
            usable >> grant & 1 and not against & ~self.past[grant]
            for grant in self._grants[author]
        )

    def _stands(self, index: int, view: View) -> bool:
        payload = self.entries[index].payload
        if isinstance(payload, Genesis | Add):
            return bool(view.counted >> index & 1)
        if isinstance(payload, Revoke):
            return bool(view.revoked_by.get(payload.device_id, 0) >> index & 1)
        return self._was_let_in(index, view.counted, view.revoked_by)


def indices_in(indices: int) -> Iterator[int]:
    """Yield the indices in a set, in order."""
    while indices:
        lowest = indices & -indices
        yield lowest.bit_length() - 1
        indices ^= lowest


def _sorted(entries: Iterable[Entry]) -> tuple[list[Entry], tuple[bytes, ...]]:
    """Return the entries whose whole past is there, by depth and id, and the ids of the others."""
    by_id = {entry.id: entry for entry in entries}
    lacking = {entry.id: len(entry.parents) for entry in by_id.values()}
    children: dict[bytes, list[bytes]] = {}
    for entry in by_id.values():
        for parent in entry.parents:
            children.setdefault(parent, []).append(entry.id)
    depths = {one: 0 for one, count in lacking.items() if not count}
    ready = list(depths)
    for one in ready:  # grows as it goes
        for child in children.get(one, ()):
            depths[child] = max(depths.get(child, 0), depths[one] + 1)
            lacking[child] -= 1
            if not lacking[child]:
                ready.append(child)
    placed = sorted(ready, key=lambda one: (depths[one], one))
    waiting = tuple(sorted(by_id.keys() - set(placed)))
    return [by_id[one] for one in placed], waiting
