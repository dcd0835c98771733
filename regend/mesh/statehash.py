"""The hash by which devices see that the same changes made the same state on each."""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Final

# Another byte for every version that hashes other rows, or makes other rows of the same changes, be
# it only that it knows one kind of change more.
_STATE_FORM: Final = b"\x02"
_STATE: Final = (
    "SELECT id, term, job_seq, history, user, type, title, priority, max_attempts, seed, model "
    "FROM jobs WHERE term IS NOT NULL ORDER BY id",
    "SELECT job_id, term, mark, columns IS NULL FROM introductions ORDER BY job_id, term, mark",
    "SELECT job_id, branch, place, at, data FROM strays ORDER BY job_id, branch, place",
    "SELECT object, field, value, version, clock, device FROM cells ORDER BY object, field",
    "SELECT id, state = 'gone' FROM shared_documents WHERE device <> x'' ORDER BY id",
    "SELECT j.id, e.ordinal, e.state, e.receipt FROM effects e JOIN jobs j ON j.number = e.job "
    "WHERE j.term IS NOT NULL ORDER BY j.id, e.ordinal",
)


def state_hash(connection: sqlite3.Connection) -> bytes:
    """Return the hash of what all changes together make: equal on devices that have the same.

    It begins with what says how it is made.
    """
    digest = hashlib.blake2b(digest_size=16)
    for query in _STATE:
        for row in connection.execute(query):
            digest.update(repr(row).encode())
        digest.update(b"|")
    return _STATE_FORM + digest.digest()


def contradict(one: bytes, other: bytes) -> bool:
    """Tell whether state hashes for the same changes show that something is wrong.

    Of hashes that are made in two ways, or of which one is not known, nothing can be told.
    """
    return one != other and bool(one and other) and one[:1] == other[:1]
