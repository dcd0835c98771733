"""What jobs of this device did, as changes for the person's other devices.

Everything that happens to a job leaves an event, so the log of changes is made of the events by a
cursor: within each commit while there is a mesh, in pages of what was before when one begins. An
event takes along the rows that it tells of. `folding` is the other side.

A change of kind `job` is `[job id, columns, term]`; one of kind `history` is `[job id, term id,
[[place, previous place, type, at, data, extra], …]]`, followed by the incarnation that did it where
that is not the log's; `term` is `[job id, term]`; `effect` is `[job id, columns]`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

import msgpack

from regend import events
from regend.jobs import introductions
from regend.jobs.projection import NO_HISTORY, next_history
from regend.jobs.terms import Term, first_term
from regend.limits import KIB
from regend.store import changelog
from regend.store.changelog import OwnLog

JOB: Final = "job"
HISTORY: Final = "history"
TERM: Final = "term"
EFFECT: Final = "effect"

STEP_COLUMNS: Final = "ordinal, name, input_hash, result, started_at, duration_ms"
APPROVAL_COLUMNS: Final = (
    "id, ordinal, action, action_hash, preview, state, requested_at, decided_at"
)
EFFECT_COLUMNS: Final = (
    "ordinal",
    "name",
    "key",
    "input_hash",
    "state",
    "receipt",
    "intended_at",
    "settled_at",
    "version",
)

_PAGE_LENGTH: Final = 500
_HISTORY_BYTES: Final = 128 * KIB  # of payloads in one change
_CURSOR: Final = "mirrored"


class _Event(NamedTuple):
    seq: int
    job: int
    place: int
    type: str
    at: int
    data: str


def collect(connection: sqlite3.Connection, at_ms: int, limit: int = _PAGE_LENGTH) -> bool:
    """Write into the log what jobs of this device did since the last time.

    Returns:
        Whether there may be more.
    """
    with changelog.writing(connection, at_ms) as log:
        if log is None:
            return False
        rows = connection.execute(
            "SELECT seq, job, job_seq, type, at, data FROM events WHERE seq > ? AND job > 0 "
            "ORDER BY seq LIMIT ?",
            (cursor(connection), limit),
        ).fetchall()
        if not rows:
            return False
        found = [_Event(*row) for row in rows]
        for job, of_job in groupby(sorted(found, key=lambda e: (e.job, e.place)), _job_of):
            _tell(connection, log, job, list(of_job), at_ms)
        move_cursor(connection, found[-1].seq)
    return len(found) == limit


def cursor(connection: sqlite3.Connection) -> int:
    """Return the last `seq` whose event is in the log, or came from another's."""
    row = connection.execute("SELECT value FROM settings WHERE name = ?", (_CURSOR,)).fetchone()
    return int(row[0]) if row else 0


def move_cursor(connection: sqlite3.Connection, seq: int) -> None:
    """Take events up to `seq` for told."""
    connection.execute(
        "INSERT INTO settings (name, value) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (_CURSOR, str(seq)),
    )


def tell_effect(connection: sqlite3.Connection, job: int, ordinal: int, at_ms: int) -> None:
    """Write into the log what is known of an effect: it must not be forgotten on the way."""
    with changelog.writing(connection, at_ms) as log:
        if log is None:
            return
        connection.execute(
            "UPDATE effects SET version = version + 1 WHERE job = ? AND ordinal = ?", (job, ordinal)
        )
        row = connection.execute(
            f"SELECT j.id, {', '.join('e.' + name for name in EFFECT_COLUMNS)} FROM effects e "
            "JOIN jobs j ON j.number = e.job WHERE e.job = ? AND e.ordinal = ?",
            (job, ordinal),
        ).fetchone()
        log.add(EFFECT, row[0], list(row[1:]))


def record_term(connection: sqlite3.Connection, job_id: str, term: Term) -> None:
    """Keep a term; one that is known already stays as it is."""
    connection.execute(
        "INSERT OR IGNORE INTO terms (job_id, id, number, previous, base, how, device, "
        "incarnation, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (job_id, *term),
    )


def terms_of(connection: sqlite3.Connection, job_id: str) -> list[Term]:
    """Return all terms that are known of a job."""
    rows = connection.execute(
        "SELECT id, number, previous, base, how, device, incarnation, at FROM terms "
        "WHERE job_id = ?",
        (job_id,),
    )
    return [Term(*row) for row in rows]


def _job_of(event: _Event) -> int:
    return event.job


def _tell(
    connection: sqlite3.Connection, log: OwnLog, job: int, happened: Sequence[_Event], at_ms: int
) -> None:
    """Add the changes that tell what happened to one job."""
    job_id, term, history = connection.execute(
        "SELECT id, term, history FROM jobs WHERE number = ?", (job,)
    ).fetchone()
    if term is None:
        term = _introduce(connection, log, job, job_id, at_ms)
    previous = connection.execute(
        "SELECT coalesce(max(job_seq), 0) FROM events WHERE job = ? AND job_seq < ?",
        (job, happened[0].place),
    ).fetchone()[0]
    said: list[list[Any]] = []
    size_bytes = 0
    history = history or NO_HISTORY
    for event in happened:
        extra = extra_of(connection, event.job, event.type, event.data, event.place)
        texts = (one for one in (event.data, *(extra or ())) if type(one) is str)
        own_bytes = sum(len(text.encode()) for text in texts)
        size_bytes += own_bytes
        if said and size_bytes > _HISTORY_BYTES:
            log.add(HISTORY, job_id, term, said)
            said, size_bytes = [], own_bytes
        said.append([event.place, previous, event.type, event.at, event.data, extra])
        previous = event.place
        history = next_history(history, event.place, event.type, event.at, event.data)
    log.add(HISTORY, job_id, term, said)
    connection.execute("UPDATE jobs SET history = ? WHERE number = ?", (history, job))


def _introduce(
    connection: sqlite3.Connection, log: OwnLog, job: int, job_id: str, at_ms: int
) -> bytes:
    """Tell of a job that no other device knows; return its first term."""
    own = changelog.current(connection)
    assert own is not None
    columns = introductions.columns_of(connection, job_id)
    term = first_term(job_id, own.device, own.incarnation, at_ms)
    record_term(connection, job_id, term)
    connection.execute("UPDATE jobs SET term = ? WHERE number = ?", (term.id, job))
    introductions.keep(connection, job_id, term.id, columns, is_shown=True)
    log.add(JOB, job_id, columns, list(term))
    effects = connection.execute(
        f"SELECT {', '.join(EFFECT_COLUMNS)} FROM effects WHERE job = ? ORDER BY ordinal", (job,)
    )
    for row in effects.fetchall():
        log.add(EFFECT, job_id, list(row))
    return term.id


def extra_of(
    connection: sqlite3.Connection, job: int, type_name: str, data: str, place: int
) -> list[Any] | None:
    """Return the row that an event tells of, where there is one.

    Args:
        place: of the event in the job's history.
    """
    query = _EXTRAS.get(type_name)
    if query is None:
        return None
    sql, needed = query
    row = connection.execute(sql, (job, data, place)[:needed]).fetchone()
    return None if row is None else list(row)


def pack_extra(extra: Sequence[Any]) -> bytes:
    """Return the row that goes along with an event as bytes."""
    packed: bytes = msgpack.packb(list(extra))
    return packed


def unpack_extra(packed: bytes) -> list[Any]:
    """Return the row that `pack_extra` packed."""
    row: list[Any] = msgpack.unpackb(packed)
    return row


# The row that goes along with an event, and what it is looked up by: job, payload, place.
_EXTRAS: Final = {
    # Of several steps in one place of a program, the one that was dropped next after the event.
    events.JOB_STEP: (
        f"SELECT {STEP_COLUMNS} FROM (SELECT *, place AS until FROM dropped_steps WHERE job = ?1 "
        "AND place > ?3 UNION ALL SELECT job, NULL, ordinal, name, input_hash, result, "
        "started_at, duration_ms, 1 << 62 FROM steps WHERE job = ?1) "
        "WHERE ordinal = json_extract(?2, '$.ordinal') ORDER BY until LIMIT 1",
        3,
    ),
    # Of several checkpoints in one commit only the last is still there, and of use.
    events.JOB_CHECKPOINT: (
        "SELECT c.ordinal, c.position, c.data, c.slot, c.at FROM checkpoints c, "
        "(SELECT ?2 AS said) WHERE c.job = ?1 AND c.ordinal = json_extract(said, '$.ordinal') "
        "AND c.position = json_extract(said, '$.position')",
        2,
    ),
    events.JOB_COMPLETED: ("SELECT result FROM jobs WHERE number = ?", 1),
    events.APPROVAL_REQUESTED: (
        f"SELECT {APPROVAL_COLUMNS} FROM approvals WHERE job = ? AND id = json_extract(?, '$.id')",
        2,
    ),
    events.APPROVAL_DECIDED: (
        f"SELECT {APPROVAL_COLUMNS} FROM approvals WHERE job = ? AND id = json_extract(?, '$.id')",
        2,
    ),
}
