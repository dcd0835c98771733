"""Any devices, honest or not, that know any part of each other's entries: one roster in the end."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from regend.errors import RegendError
from regend.sync import authoring
from regend.sync.entries import Entry, sign
from regend.sync.payloads import Add, Cut, Payload, Rename, Revoke
from regend.sync.roster import Roster
from tests.sync.persons import AT_MS, entropy, identity, mesh
from tests.sync.plainroster import PlainRoster

NAMES = ("anna", "ben", "cara", "dora", "emil")
START = mesh("anna", "ben", "cara")
WHO = st.integers(0, len(NAMES) - 1)

# What happens: somebody does something to somebody, or hears some of what another knows.
HONEST = st.tuples(st.sampled_from(["add", "revoke", "revoke", "rename", "rekey"]), WHO, WHO)
HEARD = st.tuples(st.just("hear"), WHO, WHO)
FORGED = st.tuples(st.sampled_from(["forge add", "forge revoke", "forge rename"]), WHO, WHO)
STORIES = st.lists(st.one_of(HONEST, HEARD, FORGED), max_size=14)


class World:
    """Devices with a roster each, and all that was ever written."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.rosters = [START for _ in NAMES]
        self.written = dict(START.entries)
        self.count = 0

    def happen(self, what: str, who: int, whom: int) -> None:
        if what == "hear":
            missing = [
                entry
                for one, entry in self.rosters[whom].entries.items()
                if one not in self.rosters[who].entries
            ]
            told = self.chance.sample(missing, self.chance.randint(0, len(missing)))
            self.rosters[who] = self.rosters[who].merged(told)
            return
        try:
            entry = self.forged(what, who, whom) if "forge" in what else self.made(what, who, whom)
        except RegendError:
            return
        if entry is not None:
            self.written[entry.id] = entry
            self.rosters[who] = self.rosters[who].merged([entry])

    def made(self, what: str, who: int, whom: int) -> Entry | None:
        roster, own, other = self.rosters[who], identity(NAMES[who]), identity(NAMES[whom])
        self.count += 1
        at_ms, own_entropy = AT_MS + self.chance.randint(0, 3), entropy(f"{self.count}")
        if what == "add":
            return authoring.add(roster, own, other.device, NAMES[whom], at_ms, own_entropy)
        if what == "revoke":
            cuts = {b"incarn-1": Cut(self.count, bytes(32))}
            entry = authoring.revoke(roster, own, other.id, cuts, at_ms, own_entropy)
        elif what == "rename":
            return authoring.rename(roster, own, other.id, self.chance.choice("xyz"), at_ms)
        else:
            entry = authoring.rekey(roster, own, at_ms, own_entropy)
        assert entry.id not in roster.merged([entry]).rejected
        return entry

    def forged(self, what: str, who: int, whom: int) -> Entry:
        """Return an entry with any past, by whoever it may be."""
        self.count += 1
        known = sorted(self.rosters[who].entries)
        parents = tuple(self.chance.sample(known, self.chance.randint(1, min(2, len(known)))))
        other = identity(NAMES[whom])
        payloads: dict[str, Callable[[], Payload]] = {
            "forge add": lambda: Add(other.device, f"forged {self.count}", (), bytes(48)),
            "forge revoke": lambda: Revoke(other.id, {}, genesis_of(START)),
            "forge rename": lambda: Rename(other.id, "forged", self.chance.randint(1, 2)),
        }
        key = identity(NAMES[who]).signing_key
        return sign(key, START.mesh, parents, AT_MS + self.count, payloads[what]())


def genesis_of(roster: Roster) -> Any:
    return roster.entries[roster.mesh].introduction


def seen(roster: Roster) -> tuple[Any, ...]:
    return (
        roster.members,
        list(roster.members),
        roster.heads,
        roster.digest,
        roster.waiting,
        roster.rejected,
        roster.overruled,
        roster.key_ids,
        roster.current,
        roster.needs_rekey,
    )


def told(story: list[tuple[str, int, int]], seed: int) -> World:
    world = World(random.Random(seed))
    for what, who, whom in story:
        world.happen(what, who, whom)
    return world


@settings(max_examples=60, deadline=None)
@given(STORIES, st.integers(0, 999))
def test_the_same_entries_are_the_same_roster_whatever_the_way(
    story: list[tuple[str, int, int]], seed: int
) -> None:
    world = told(story, seed)
    entries = list(world.written.values())
    whole = Roster.of(entries)
    assert not whole.waiting
    for roster in world.rosters:
        assert seen(roster.merged(entries)) == seen(whole)
    world.chance.shuffle(entries)
    slowly = Roster.of([], START.mesh)
    while entries:
        slowly = slowly.merged([entries.pop() for _ in range(min(3, len(entries)))])
    assert seen(slowly) == seen(whole)


@settings(max_examples=60, deadline=None)
@given(STORIES, st.integers(0, 999))
def test_the_rules_hold_as_they_are_plainly_said(
    story: list[tuple[str, int, int]], seed: int
) -> None:
    world = told(story, seed)
    kept = [entry for entry in world.written.values() if world.chance.random() < 0.95]
    roster, plain = Roster.of(kept, START.mesh), PlainRoster(kept)
    assert set(roster.waiting) == plain.waiting
    assert set(roster.rejected) == {entry.id for entry in plain.past.keys() - plain.right}
    assert roster.living.keys() == plain.living.keys()
    overruled = {entry.id for entry in plain.right if not stands(plain, entry)}
    assert roster.overruled == overruled
    assert roster.living or not plain.right


def stands(plain: PlainRoster, entry: Entry) -> bool:
    if isinstance(entry.payload, Revoke):
        return entry in plain.standing
    return plain.counts(entry, plain.standing)


@settings(max_examples=60, deadline=None)
@given(STORIES, st.integers(0, 999))
def test_what_was_right_when_written_depends_on_its_past_alone(
    story: list[tuple[str, int, int]], seed: int
) -> None:
    world = told(story, seed)
    whole = Roster.of(world.written.values())
    for roster in world.rosters:
        placed = roster.entries.keys() - set(roster.waiting)
        assert set(roster.rejected) == placed & whole.rejected.keys()


@settings(max_examples=60, deadline=None)
@given(STORIES, st.integers(0, 999))
def test_members_can_read_what_they_seal_and_nobody_else_can(
    story: list[tuple[str, int, int]], seed: int
) -> None:
    world = told([one for one in story if "forge" not in one[0]], seed)
    roster = Roster.of(world.written.values())
    for _ in range(3 * len(NAMES)):
        owing = [name for name in NAMES if owes(roster, name)]
        if not owing:
            break
        entry = authoring.rekey(roster, identity(owing[0]), AT_MS, entropy(roster.digest.hex()))
        roster = roster.merged([entry])
    assert not [name for name in NAMES if owes(roster, name)]
    assert roster.current is not None and not roster.needs_rekey
    held = {name: roster.epoch_keys(identity(name).sealing_key) for name in NAMES}
    for name in NAMES:
        is_living = roster.is_living(identity(name).id)
        assert (roster.current in held[name]) == is_living
        if is_living:
            assert (
                held[name] == held[next(one for one in NAMES if roster.is_living(identity(one).id))]
            )


def owes(roster: Roster, name: str) -> bool:
    own = identity(name)
    return roster.owes_rekey(own.id, roster.epoch_keys(own.sealing_key))
