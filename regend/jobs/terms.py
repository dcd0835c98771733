"""Which device runs a job, and which of its histories holds. Pure.

A job has a term at a time, held by one device. A grant by the one that holds it begins the next, at
the exact place where it stopped; so does a person's word where that device is away, from what is
known of its work. Each term is a branch of the job's history and begins after event `base` of the
one before. What a device did past the base of a later term stays on record beside the history.

Invariants
1. All devices that know the same terms compute the same chain, whatever came first.
2. The highest number holds; of two with one number a granted one, then the one with the higher id.
3. A time-out ends no term: only a grant or a person's word begins one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

How = Literal["begun", "granted", "forced"]

_ID_BYTES: Final = 8


class Term(NamedTuple):
    """A device's right to run a job.

    Attributes:
        number: 1 for the device where the job began, then one more each time.
        previous: id of the term that this one follows; empty for the first.
        base: the last event of the term before that belongs to the history.
        device: that holds it, with its incarnation: a copy of its disk does not.
        at: wall time in ms, for people.
    """

    id: bytes
    number: int
    previous: bytes
    base: int
    how: How
    device: bytes
    incarnation: bytes
    at: int

    @property
    def branch(self) -> bytes:
        """Names what its device, in that incarnation, did in it."""
        return branch(self.id, self.device, self.incarnation)


def branch(term: bytes, device: bytes, incarnation: bytes) -> bytes:
    """Return the name of what a device did in a term, whether it held it or not.

    A copy of a device's disk believes to hold the same terms; what it does is another branch.
    """
    said = b"branch" + term + device + incarnation
    return hashlib.blake2b(said, digest_size=_ID_BYTES).digest()


def first_term(job_id: str, device: bytes, incarnation: bytes, at: int) -> Term:
    """Return the term of the device where a job began."""
    return _term(job_id, 1, b"", 0, "begun", device, incarnation, at)


def next_term(
    job_id: str, before: Term, base: int, how: How, device: bytes, incarnation: bytes, at: int
) -> Term:
    """Return the term that follows on another."""
    return _term(job_id, before.number + 1, before.id, base, how, device, incarnation, at)


def with_id(job_id: str, term: Term) -> Term:
    """Return a term with the id that follows from the rest of it."""
    return _term(job_id, *term[1:])


def _term(
    job_id: str,
    number: int,
    previous: bytes,
    base: int,
    how: How,
    device: bytes,
    incarnation: bytes,
    at: int,
) -> Term:
    said = (
        f"{job_id} {number} {previous.hex()} {base} {how} {device.hex()} {incarnation.hex()} {at}"
    )
    id = hashlib.blake2b(said.encode(), digest_size=_ID_BYTES).digest()
    return Term(id, number, previous, base, how, device, incarnation, at)


def chain(terms: Iterable[Term]) -> list[Term]:
    """Return the terms of the history that holds, oldest first.

    A term whose predecessors are not all known yet waits for them: it is in no chain.
    """
    known: dict[bytes, Term] = {}  # with all their predecessors
    for term in sorted(terms, key=lambda t: (t.number, t.how == "granted", t.id)):
        before = known.get(term.previous)
        if term.number == (before.number + 1 if before else 1) and bool(before) == bool(
            term.previous
        ):
            known[term.id] = term
    found = list(known.values())[-1:]
    while found and found[-1].previous:
        found.append(known[found[-1].previous])
    return found[::-1]


def belongs(terms: Sequence[Term], branch: bytes, place: int) -> bool:
    """Tell whether the event at `place` of a branch is part of the history that a chain makes."""
    for index, one in enumerate(terms):
        if one.branch == branch:
            later = terms[index + 1 :]
            return place > one.base and all(place <= next_one.base for next_one in later)
    return False


def common(before: Sequence[Term], after: Sequence[Term]) -> int | None:
    """Return the last event that two chains share; None where the one goes on as the other."""
    shared = 0
    while shared < min(len(before), len(after)) and before[shared].id == after[shared].id:
        shared += 1
    if shared == len(before) == len(after):
        return None
    bases = [one.base for one in (*before[shared:], *after[shared:])]
    return min(bases)
