"""What other devices' jobs did, folded into the rows of this store; `mirror` is the other side.

Invariants
1. What is shown of a job is the history that its chain of terms makes (`terms.chain`), in order
   and without gap, whatever came first.
2. What is not part of it is kept beside it: nothing that any device did is dropped.
3. The row of a job is what its history makes of it (`projection`), on every device the same.
4. A job whose term another device holds is run by nobody here.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import fields
from typing import Any, Final

from regend import events
from regend.jobs import dropped, introductions, mirror, told
from regend.jobs.arrivals import drop_checkpoints, take_checkpoint, want
from regend.jobs.effects import keep_effects, take_early_effects
from regend.jobs.history import Draft, insert, leave_out, newest_seq
from regend.jobs.projection import NO_HISTORY, Shape, after, next_history
from regend.jobs.terms import Term, belongs, branch, chain, common
from regend.jobs.told import Told
from regend.store import changelog
from regend.store.change import LogId

# Values of `remote`: it runs here, elsewhere, or here once everything of it has come.
HERE, AWAY, ARRIVING = 0, 1, 2

_SHAPE_COLUMNS: Final = tuple(one.name for one in fields(Shape))
_WRITTEN_COLUMNS: Final = tuple(name for name in _SHAPE_COLUMNS if name != "device")
_WRITE: Final = (
    f"UPDATE jobs SET {', '.join(f'{name} = ?' for name in _WRITTEN_COLUMNS)}, job_seq = ?, "
    "history = ? WHERE number = ?"
)


def fold_job(
    connection: sqlite3.Connection, job_id: str, columns: Sequence[Any], said: Sequence[Any]
) -> None:
    """Take in a job that began on another device."""
    term = told.term(told.name(job_id), said)
    names = introductions.JOB_COLUMNS
    values = dict(zip(names, told.job_columns(columns), strict=True))
    mirror.record_term(connection, job_id, term)
    cursor = connection.execute(
        f"INSERT OR IGNORE INTO jobs (id, state, desired, remote, term, device, updated_at, "
        f"{', '.join(names)}) VALUES (?, 'created', 'run', ?, ?, ?, ?{', ?' * len(names)})",
        (job_id, AWAY, term.id, term.device.hex(), values["created_at"], *columns),
    )
    is_new = cursor.rowcount == 1
    introductions.keep(connection, job_id, term.id, columns, is_shown=is_new)
    if is_new:
        want(connection, term.device, [values["input"]], cursor.lastrowid)
        take_early_effects(connection, term.device, job_id)
    settle_terms(connection, job_id)


def fold_term(connection: sqlite3.Connection, job_id: str, said: Sequence[Any]) -> None:
    """Take in who runs a job from a place of its history on."""
    mirror.record_term(connection, job_id, told.term(told.name(job_id), said))
    settle_terms(connection, job_id)


def fold_history(
    connection: sqlite3.Connection, log: LogId, job_id: str, term: bytes, said: Sequence[Any]
) -> None:
    """Take in what happened to a job on another device."""
    happened = [told.event(one) for one in said]
    by = branch(term, log.device, log.incarnation)
    job = _job(connection, told.name(job_id))
    terms = chain(mirror.terms_of(connection, job_id)) if job is not None else []
    for event in happened:
        if job is not None and event.previous == job.last and belongs(terms, by, event.place):
            _append(connection, job, event, log.device)
        elif job is None or not _is_known(job, terms, by, event.place):
            _keep(connection, job_id, by, event)
    if job is not None:
        _go_on(connection, job, terms)


def settle_terms(connection: sqlite3.Connection, job_id: str) -> None:
    """Let a job's rows follow the chain of its terms: give back what is past it, then go on."""
    job = _job(connection, job_id)
    terms = chain(mirror.terms_of(connection, job_id))
    if job is None or not terms:
        return
    input_now = introductions.show(connection, job_id, terms[0])
    if input_now is not None:
        want(connection, terms[0].device, [input_now], job.number)
        if not job.last:
            job.shape = _unborn(connection, job)
            _write(connection, job)
    before = _chain_to(connection, job_id, job.term)
    shared = common(before, terms)
    if shared is not None and job.last > shared:
        _rewind(connection, job, before, shared)
    own = changelog.current(connection)
    held = LogId(terms[-1].device, terms[-1].incarnation)
    if terms[-1].id != job.term:
        remote = ARRIVING if held == own else AWAY
        connection.execute(
            "UPDATE jobs SET term = ?, remote = ?, device = ?, leaving = NULL, boot = NULL, "
            "fence = fence + 1 WHERE number = ?",
            (terms[-1].id, remote, held.device.hex(), job.number),
        )
    _go_on(connection, job, terms)


def take_out(
    connection: sqlite3.Connection,
    job_id: str,
    happened: Sequence[tuple[bytes, int]],
    terms: Sequence[bytes],
) -> None:
    """Take out of a job what does not count any more, shown or kept.

    Args:
        happened: branch and place of events.
        terms: ids of terms.
    """
    job = _job(connection, job_id)
    gone = set(terms)
    if job is not None:
        _take_out_of_shown(connection, job, happened, gone)
    connection.executemany(
        "DELETE FROM strays WHERE job_id = ? AND branch = ? AND place = ?",
        [(job_id, by, place) for by, place in happened],
    )
    connection.executemany("DELETE FROM terms WHERE id = ?", [(one,) for one in gone])
    introductions.forget(connection, job_id, gone)
    if job is None:
        return
    left = chain(mirror.terms_of(connection, job_id))
    if not left:
        _forget(connection, job.number)
        return
    settle_terms(connection, job_id)
    # Who took it over from what does not count any more has nothing to go on from.
    connection.execute(
        "UPDATE jobs SET remote = ?, leaving = NULL, boot = NULL, fence = fence + 1 "
        "WHERE number = ? AND job_seq < ?",
        (AWAY, job.number, left[-1].base),
    )


def _take_out_of_shown(
    connection: sqlite3.Connection,
    job: _Job,
    happened: Sequence[tuple[bytes, int]],
    gone: Collection[bytes],
) -> None:
    """Take back what is shown of a job from the first place on that does not count any more."""
    shown = _chain_to(connection, job.id, job.term)
    places = [place for by, place in happened if belongs(shown, by, place)]
    places += [one.base + 1 for one in shown if one.id in gone]
    if places and job.last >= min(places):
        _rewind(connection, job, shown, min(places) - 1)
        _write(connection, job)
    first = next((at for at, one in enumerate(shown) if one.id in gone), None)
    if first is None:
        return
    # Whoever held it by such a term holds it no more, and nobody does until a person says so.
    still = shown[first - 1] if first else None
    connection.execute(
        "UPDATE jobs SET term = ?, remote = ?, device = coalesce(?, device), leaving = NULL, "
        "boot = NULL, fence = fence + 1 WHERE number = ?",
        (
            still.id if still else None,
            AWAY,
            still.device.hex() if still else None,
            job.number,
        ),
    )


_ROWS_OF_JOBS: Final = (
    *("steps", "dropped_steps", "checkpoints", "coming_places"),
    *("approvals", "effects", "events"),
)


def _forget(connection: sqlite3.Connection, job: int) -> None:
    """Remove a job that nobody who counts has told of; what others did to it is kept beside."""
    keep_effects(connection, job)
    for table in _ROWS_OF_JOBS:
        connection.execute(f"DELETE FROM {table} WHERE job = ?", (job,))
    connection.execute("DELETE FROM jobs WHERE number = ?", (job,))


class _Job:
    """A job's row while its history grows."""

    def __init__(self, row: tuple[Any, ...]) -> None:
        self.number, self.id, self.term, self.last, history, *shape = row
        self.history: bytes = history or NO_HISTORY
        self.shape = Shape(*shape)


def _job(connection: sqlite3.Connection, job_id: str) -> _Job | None:
    row = connection.execute(
        f"SELECT number, id, term, job_seq, history, {', '.join(_SHAPE_COLUMNS)} FROM jobs "
        "WHERE id = ?",
        (job_id,),
    ).fetchone()
    return None if row is None else _Job(row)


def _chain_to(connection: sqlite3.Connection, job_id: str, term: bytes | None) -> list[Term]:
    """Return the chain that ends in a term: the one that is shown now."""
    known = {one.id: one for one in mirror.terms_of(connection, job_id)}
    found: list[Term] = []
    while term and term in known:
        found.insert(0, known[term])
        term = known[term].previous
    return found


def _is_known(job: _Job, terms: Sequence[Term], by: bytes, place: int) -> bool:
    """Tell whether an event is part of what is shown already."""
    return place <= job.last and belongs(terms, by, place)


def _keep(connection: sqlite3.Connection, job_id: str, by: bytes, event: Told) -> None:
    """Keep an event that is not part of what is shown."""
    extra = None if event.extra is None else mirror.pack_extra(event.extra)
    connection.execute(
        "INSERT OR IGNORE INTO strays (job_id, branch, place, previous, type, at, data, extra) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (job_id, by, *event[:5], extra),
    )


def _go_on(connection: sqlite3.Connection, job: _Job, terms: Sequence[Term]) -> None:
    """Append what was kept and now follows; then write the row that the history makes."""
    while (kept := _next(connection, job, terms)) is not None:
        _append(connection, job, *kept)
    _write(connection, job)


def _write(connection: sqlite3.Connection, job: _Job) -> None:
    """Write the row that the history makes."""
    values = [getattr(job.shape, name) for name in _WRITTEN_COLUMNS]
    connection.execute(_WRITE, (*values, job.last, job.history, job.number))


def _next(
    connection: sqlite3.Connection, job: _Job, terms: Sequence[Term]
) -> tuple[Told, bytes] | None:
    """Take the kept event that follows on what is shown; return it with the device it is of."""
    rows = connection.execute(
        "SELECT branch, place, previous, type, at, data, extra FROM strays "
        "WHERE job_id = ? AND previous = ?",
        (job.id, job.last),
    ).fetchall()
    for by, place, previous, type_name, at, data, packed in rows:
        if belongs(terms, by, place):
            connection.execute(
                "DELETE FROM strays WHERE job_id = ? AND branch = ? AND place = ?",
                (job.id, by, place),
            )
            extra = None if packed is None else mirror.unpack_extra(packed)
            device = next(one.device for one in terms if one.branch == by)
            return Told(place, previous, type_name, at, data, extra), device
    return None


def _append(connection: sqlite3.Connection, job: _Job, event: Told, device: bytes) -> None:
    """Make an event the last of what is shown, with the rows that it tells of."""
    insert(connection, job.number, event.place, Draft(event.type, event.data), event.at)
    taker = _TAKERS.get(event.type)
    result = None
    if taker is not None and event.extra is not None:
        result = taker(connection, job.number, event.extra, device)
    if event.type in events.JOB_ENDINGS:
        drop_checkpoints(connection, job.number)
    if event.type == events.JOB_STATE and '"dropped_from"' in event.data:
        dropped.drop(connection, job.number, _dropped_from(event.data), event.place)
        drop_checkpoints(connection, job.number)
    job.shape = after(job.shape, event.type, event.at, event.data, result)
    job.last = event.place
    job.history = next_history(job.history, event.place, event.type, event.at, event.data)


def _dropped_from(data: str) -> int:
    return int(json.loads(data)["dropped_from"])


def _take_step(
    connection: sqlite3.Connection, job: int, extra: Sequence[Any], device: bytes
) -> None:
    connection.execute(
        f"INSERT OR REPLACE INTO steps (job, fence, {mirror.STEP_COLUMNS}) "
        "VALUES (?, 0, ?, ?, ?, ?, ?, ?)",
        (job, *extra),
    )
    drop_checkpoints(connection, job)
    want(connection, device, [extra[3]], job)


def _take_result(
    connection: sqlite3.Connection, job: int, extra: Sequence[Any], device: bytes
) -> str | None:
    want(connection, device, [extra[0]], job)
    return None if extra[0] is None else str(extra[0])


def _take_approval(
    connection: sqlite3.Connection, job: int, extra: Sequence[Any], device: bytes
) -> None:
    connection.execute(
        "DELETE FROM approvals WHERE job = ? AND (id = ? OR ordinal = ?)", (job, *extra[:2])
    )
    # A question of another job stays that job's, whatever this one calls its own.
    connection.execute(
        f"INSERT OR IGNORE INTO approvals (job, {mirror.APPROVAL_COLUMNS}) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (job, *extra),
    )
    want(connection, device, [extra[4]], job)


_TAKERS: Final[dict[str, Any]] = {
    events.JOB_STEP: _take_step,
    events.JOB_CHECKPOINT: take_checkpoint,
    events.JOB_COMPLETED: _take_result,
    events.APPROVAL_REQUESTED: _take_approval,
    events.APPROVAL_DECIDED: _take_approval,
}


def _rewind(
    connection: sqlite3.Connection,
    job: _Job,
    terms: Sequence[Term],
    place: int,
) -> None:
    """Take back what is shown after `place`; it is kept beside the history (invariant 2).

    Args:
        terms: the chain that is shown.
    """
    rows = connection.execute(
        "SELECT job_seq, type, at, data, seq FROM events WHERE job = ? ORDER BY job_seq",
        (job.number,),
    ).fetchall()
    newest = newest_seq(connection)
    result = job.shape.result
    job.shape, job.history, job.last = _unborn(connection, job), NO_HISTORY, place
    for job_seq, type_name, at, data, _ in rows:
        if job_seq <= place:
            job.shape = after(job.shape, type_name, at, data, result)
            job.history = next_history(job.history, job_seq, type_name, at, data)
    # The last first: each is taken back from what it made.
    for index, (job_seq, type_name, at, data, seq) in reversed(list(enumerate(rows))):
        if job_seq <= place:
            break
        previous = rows[index - 1][0] if index else 0
        extra = mirror.extra_of(connection, job.number, type_name, data, job_seq)
        event = Told(job_seq, previous, type_name, at, data, extra)
        own = (one.branch for one in terms if belongs(terms, one.branch, job_seq))
        _keep(connection, job.id, next(own), event)
        _take_back(connection, job.number, event)
        connection.execute("DELETE FROM events WHERE seq = ?", (seq,))
    if newest_seq(connection) < newest:
        leave_out(connection, newest)  # or what follows would be taken for read already
    drop_checkpoints(connection, job.number)


def _unborn(connection: sqlite3.Connection, job: _Job) -> Shape:
    """Return the shape of a job of which nothing has happened yet, as `fold_job` makes it."""
    created_at = connection.execute(
        "SELECT created_at FROM jobs WHERE number = ?", (job.number,)
    ).fetchone()[0]
    return Shape(device=job.shape.device, updated_at=created_at)


def _take_back(connection: sqlite3.Connection, job: int, event: Told) -> None:
    """Undo what an event, the last of a history, had made of the rows that it tells of."""
    said = (job, event.data)
    if event.type == events.JOB_STEP:
        connection.execute(
            "DELETE FROM steps WHERE job = ? AND ordinal = json_extract(?, '$.ordinal')", said
        )
    elif event.type == events.JOB_STATE:
        dropped.bring_back(connection, job, event.place)
    elif event.type == events.APPROVAL_REQUESTED:
        connection.execute(
            "DELETE FROM approvals WHERE job = ? AND id = json_extract(?, '$.id')", said
        )
    elif event.type == events.APPROVAL_DECIDED:
        connection.execute(
            "UPDATE approvals SET state = 'pending', decided_at = NULL "
            "WHERE job = ? AND id = json_extract(?, '$.id')",
            said,
        )
