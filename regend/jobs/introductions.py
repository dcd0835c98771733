"""What a job is: the columns that the device where it began told of it, once.

Two devices may introduce one job: copies of a home that enter a mesh, or a device that lies.

Invariants
1. Shown is the introduction with the first term of the chain; of several with one term, or where
   none has it, the one that is highest by term and mark: on every device the same.
2. The others are kept, and one of them is shown where the first counts no more.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgpack

from regend.jobs.terms import Term

JOB_COLUMNS: Final = (
    "user",
    "type",
    "title",
    "priority",
    "max_attempts",
    "seed",
    "model",
    "input",
    "parent_id",
    "owner_device",
    "created_at",
)
_LISTED: Final = ", ".join(JOB_COLUMNS)
_MARK_BYTES: Final = 8


def columns_of(connection: sqlite3.Connection, job_id: str) -> list[Any]:
    """Return what is shown of a job that its introduction tells."""
    row = connection.execute(f"SELECT {_LISTED} FROM jobs WHERE id = ?", (job_id,)).fetchone()
    return list(row)


def keep(
    connection: sqlite3.Connection,
    job_id: str,
    term: bytes,
    columns: Sequence[Any],
    *,
    is_shown: bool,
) -> None:
    """Keep an introduction; one that is known already stays as it is.

    Args:
        is_shown: the job's row was made of it.
    """
    packed = msgpack.packb(list(columns))
    mark = hashlib.blake2b(packed, digest_size=_MARK_BYTES).digest()
    connection.execute(
        "INSERT OR IGNORE INTO introductions (job_id, term, mark, columns) VALUES (?, ?, ?, ?)",
        (job_id, term, mark, None if is_shown else packed),
    )


def forget(connection: sqlite3.Connection, job_id: str, terms: Iterable[bytes]) -> None:
    """Forget the introductions with terms that count no more."""
    connection.executemany(
        "DELETE FROM introductions WHERE job_id = ? AND term = ?", [(job_id, one) for one in terms]
    )


def show(connection: sqlite3.Connection, job_id: str, first: Term) -> str | None:
    """Let a job's row be what the introduction tells that holds (invariant 1).

    Args:
        first: term of the chain.

    Returns:
        The column of the job's input where the row is of another introduction now.
    """
    kept = connection.execute(
        "SELECT term, mark, columns FROM introductions WHERE job_id = ?", (job_id,)
    ).fetchall()
    term, mark, packed = max(
        kept, key=lambda one: (one[0] == first.id, *one[:2]), default=(b"", b"", None)
    )
    if packed is None:
        return None
    before = msgpack.packb(columns_of(connection, job_id))
    connection.execute(
        "UPDATE introductions SET columns = ? WHERE job_id = ? AND columns IS NULL",
        (before, job_id),
    )
    connection.execute(
        "UPDATE introductions SET columns = NULL WHERE job_id = ? AND term = ? AND mark = ?",
        (job_id, term, mark),
    )
    columns = msgpack.unpackb(packed)
    connection.execute(
        f"UPDATE jobs SET ({_LISTED}) = ({', '.join('?' * len(JOB_COLUMNS))}) WHERE id = ?",
        (*columns, job_id),
    )
    return str(columns[JOB_COLUMNS.index("input")])
