"""Events in the store: appended with what they tell of, read by cursor, compacted with care.

Functions that take a connection. `append` gives each event the next `job_seq` of its job in the
same transaction, so there is no gap within a job whatever dies.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from regend.clock import rfc3339
from regend.events import MODEL_CHUNK, Event
from regend.jsontext import dumps
from regend.limits import CHUNK_CHARACTERS


class Draft(NamedTuple):
    """An event before it has a place: its type and the JSON text of its payload."""

    type: str
    data: str


class StoredEvent(NamedTuple):
    """An event with whose it is, for those who filter by owner; None where it is of no job."""

    user: str | None
    event: Event


def append(connection: sqlite3.Connection, job: int, draft: Draft, at_ms: int) -> int:
    """Append one event to a job's history and return its `seq`."""
    row = connection.execute(
        "UPDATE jobs SET job_seq = job_seq + 1, updated_at = ? WHERE number = ? RETURNING job_seq",
        (at_ms, job),
    ).fetchone()
    return insert(connection, job, row[0], draft, at_ms)


def insert(connection: sqlite3.Connection, job: int, job_seq: int, draft: Draft, at_ms: int) -> int:
    """Insert an event whose `job_seq` the caller took from the job's row in this transaction."""
    cursor = connection.execute(
        "INSERT INTO events (job, job_seq, type, at, data) VALUES (?, ?, ?, ?, ?)",
        (job, job_seq, draft.type, at_ms, draft.data),
    )
    seq = cursor.lastrowid
    assert seq is not None
    return seq


def newest_seq(connection: sqlite3.Connection) -> int:
    """Return the highest `seq`, 0 where nothing ever happened."""
    return int(connection.execute("SELECT coalesce(max(seq), 0) FROM events").fetchone()[0])


def leave_out(connection: sqlite3.Connection, seq: int) -> None:
    """Let no event ever have this `seq`, which was the newest and was taken back.

    A row id above all others is given again once its row is gone, and a reader whose cursor stands
    there would miss what has it next. So a row stays that is of no job.
    """
    connection.execute(
        "INSERT INTO events (seq, job, job_seq, type, at, data) VALUES (?1, 0, ?1, '', 0, '{}')",
        (seq,),
    )


def after(
    connection: sqlite3.Connection, seq: int, limit: int, size_bytes: int | None = None
) -> list[StoredEvent]:
    """Return the next events of all users after `seq`, and those of no job, oldest first.

    Args:
        size_bytes: where their payloads reach this, the page ends; None for no such end.
    """
    rows = connection.execute(
        "SELECT e.seq, j.id, j.user, iif(e.job = 0, NULL, e.job_seq), e.type, e.at, e.data "
        "FROM events e LEFT JOIN jobs j ON j.number = e.job "
        "WHERE e.seq > ? AND (j.number IS NOT NULL OR e.job = 0 AND e.type <> '') "
        "ORDER BY e.seq LIMIT ?",
        (seq, limit),
    )
    return [
        StoredEvent(r[2], Event(r[0], r[1], r[3], r[4], rfc3339(r[5]), r[6]))
        for r in _within(rows, size_bytes)
    ]


def of_job(
    connection: sqlite3.Connection, job: int, seq: int, limit: int, size_bytes: int | None = None
) -> list[Event]:
    """Return the next events of one job after `seq`, oldest first; `size_bytes` as for `after`."""
    rows = connection.execute(
        "SELECT e.seq, j.id, e.job_seq, e.type, e.at, e.data FROM jobs j "
        "JOIN events e ON e.job = j.number "
        "WHERE j.number = ? AND e.seq > ? AND e.job_seq > coalesce("
        "(SELECT job_seq FROM events WHERE seq = ? AND job = ?), 0) ORDER BY e.job_seq LIMIT ?",
        (job, seq, seq, job, limit),
    )
    return [Event(r[0], r[1], r[2], r[3], rfc3339(r[4]), r[5]) for r in _within(rows, size_bytes)]


def _within(rows: Iterable[tuple[Any, ...]], size_bytes: int | None) -> Iterator[tuple[Any, ...]]:
    """Yield rows up to the one with which their payloads, the last column, reach a size."""
    size = 0
    for row in rows:
        yield row
        size += len(row[-1])
        if size_bytes is not None and size >= size_bytes:
            return


def compactable(
    connection: sqlite3.Connection, before_ms: int, after_seq: int, limit: int
) -> list[int]:
    """Return the next `seq`s after `after_seq` of streamed chunks whose job ended before a time.

    What the chunks said is in the job's result. Such a job never goes on, so what is found here may
    be removed later. The events that tell what happened to a job stay for ever, and so do the
    chunks of one that failed or was cancelled: what it wrote stands nowhere else.
    """
    rows = connection.execute(
        "SELECT e.seq FROM events e JOIN jobs j ON j.number = e.job "
        "WHERE e.seq > ? AND e.type = ? AND j.finished_at < ? "
        "AND j.state = 'completed' ORDER BY e.seq LIMIT ?",
        (after_seq, MODEL_CHUNK, before_ms, limit),
    )
    return [row[0] for row in rows]


def compact(connection: sqlite3.Connection, seqs: Sequence[int]) -> None:
    """Remove the chunks that `compactable` found, in order.

    The floor moves up with them, so that readers behind it learn of the holes.
    """
    connection.executemany("DELETE FROM events WHERE seq = ?", [(seq,) for seq in seqs])
    raise_floor(connection, seqs[-1])


def floor(connection: sqlite3.Connection) -> int:
    """Return the highest `seq` that compaction removed: below it, history has holes."""
    row = connection.execute("SELECT value FROM settings WHERE name = 'floor'").fetchone()
    return int(row[0]) if row else 0


def raise_floor(connection: sqlite3.Connection, seq: int) -> None:
    """Record that events up to `seq` may be gone."""
    connection.execute(
        "INSERT INTO settings (name, value) VALUES ('floor', ?) ON CONFLICT (name) DO UPDATE "
        "SET value = excluded.value WHERE CAST(excluded.value AS INTEGER) > "
        "CAST(settings.value AS INTEGER)",
        (str(seq),),
    )


def epoch(connection: sqlite3.Connection) -> str:
    """Return the name of the sequence that `seq` counts in; a restored backup has another."""
    return str(connection.execute("SELECT value FROM settings WHERE name = 'epoch'").fetchone()[0])


def merge_chunks(drafts: Sequence[Draft]) -> list[Draft]:
    """Join neighbouring chunks of one generation into one event each, within the size bound.

    A chunk's `offset` is that of its first token, so joined chunks tell the same text.
    """
    merged: list[Draft] = []
    run: list[dict[str, Any]] = []
    characters = 0
    for draft in drafts:
        if draft.type != MODEL_CHUNK:
            merged += _joined(run)
            run, characters = [], 0
            merged.append(draft)
            continue
        chunk = json.loads(draft.data)
        characters += len(chunk["text"])
        if run and (characters > CHUNK_CHARACTERS or not _follows(run[-1], chunk)):
            merged += _joined(run)
            run, characters = [], len(chunk["text"])
        run.append(chunk)
    return merged + _joined(run)


def _follows(before: dict[str, Any], chunk: dict[str, Any]) -> bool:
    same = before.get("step") == chunk.get("step")
    return same and bool(chunk["offset"] == before["offset"] + before["tokens"])


def _joined(run: list[dict[str, Any]]) -> list[Draft]:
    if not run:
        return []
    text = "".join(chunk["text"] for chunk in run)
    tokens = sum(chunk["tokens"] for chunk in run)
    return [Draft(MODEL_CHUNK, dumps({**run[0], "text": text, "tokens": tokens}))]
