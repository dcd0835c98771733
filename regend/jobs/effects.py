"""What other devices know of jobs' effects on the outside world, folded into this store's rows.

Invariants
1. What is known of an effect is the same everywhere, in whatever order it was told.
2. That an effect was done is never forgotten again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from regend.jobs import mirror, told
from regend.jobs.arrivals import want

_RECEIPT: Final = mirror.EFFECT_COLUMNS.index("receipt")


def fold_effect(
    connection: sqlite3.Connection, device: bytes, job_id: str, said: Sequence[Any]
) -> None:
    """Take in what is known of an effect, and want its receipt where that is a payload.

    Args:
        device: which told of it.
    """
    row = told.effect_columns(said)
    job = connection.execute(
        "SELECT number FROM jobs WHERE id = ?", (told.name(job_id),)
    ).fetchone()
    if job is None:
        connection.execute(
            "INSERT OR IGNORE INTO early_effects (job_id, said) VALUES (?, ?)",
            (job_id, mirror.pack_extra(row)),
        )
        return
    names = mirror.EFFECT_COLUMNS
    changed = connection.execute(
        f"INSERT INTO effects (job, {', '.join(names)}) VALUES (?{', ?' * len(names)}) "
        f"ON CONFLICT (job, ordinal) DO UPDATE SET {_ANEW} "
        f"WHERE ({_ORDER.format('excluded')}) > ({_ORDER.format('effects')})",
        (job[0], *row),
    ).rowcount
    if changed:
        want(connection, device, [row[_RECEIPT]], job[0])


_ANEW: Final = ", ".join(f"{one} = excluded.{one}" for one in mirror.EFFECT_COLUMNS[1:])
# The same everywhere: what was done, then what is known later, then what repeats nothing. Two that
# began it apart may have told the same but for what the effect is: that decides last.
_ORDER: Final = (
    "{0}.state = 'done', {0}.version, {0}.state <> 'repeat', {0}.state, "
    "coalesce({0}.settled_at, 0), coalesce({0}.receipt, ''), "
    "{0}.name, {0}.key, {0}.input_hash, {0}.intended_at"
)


def keep_effects(connection: sqlite3.Connection, job: int) -> None:
    """Keep what is known of a job's effects for when the job comes again, as it goes now."""
    rows = connection.execute(
        f"SELECT j.id, {', '.join('e.' + name for name in mirror.EFFECT_COLUMNS)} "
        "FROM effects e JOIN jobs j ON j.number = e.job WHERE e.job = ?",
        (job,),
    )
    connection.executemany(
        "INSERT OR IGNORE INTO early_effects (job_id, said) VALUES (?, ?)",
        [(job_id, mirror.pack_extra(row)) for job_id, *row in rows.fetchall()],
    )


def take_early_effects(connection: sqlite3.Connection, device: bytes, job_id: str) -> None:
    """Take in what came of a job's effects before the job.

    Args:
        device: which told of the job; who told of its effects is asked in its stead where it has
            not what they need.
    """
    rows = connection.execute(
        "SELECT said FROM early_effects WHERE job_id = ?", (job_id,)
    ).fetchall()
    connection.execute("DELETE FROM early_effects WHERE job_id = ?", (job_id,))
    for (said,) in rows:
        fold_effect(connection, device, job_id, mirror.unpack_extra(said))
