"""What a job did, so that it is never done again: steps, checkpoints and effects.

Invariants
1. A step is recorded once, by the attempt that holds the job; its result never changes.
2. An effect's intent is durable before it happens, its receipt after; an intent without a receipt
   is never carried out again unless a person says so.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from regend import events
from regend.errors import Conflict, NotFound
from regend.jobs import dropped
from regend.jobs.history import Draft, insert
from regend.jobs.mirror import tell_effect
from regend.jobs.repository import touch
from regend.jsontext import dumps
from regend.limits import MAX_SHOWN_BYTES
from regend.store.blobs import REFERENCE_MARK


class Step(NamedTuple):
    """A finished step. `result` is a payload column."""

    ordinal: int
    name: str
    input_hash: str
    result: str
    started_at: int
    duration_ms: int


class Checkpoint(NamedTuple):
    """A place inside an unfinished step from which it goes on exactly.

    Attributes:
        ordinal: of the step.
        position: how far it is, in the unit of the step (tokens).
        data: payload column with what the step needs to go on.
        slot: digest of the model's saved state, if there is one.
    """

    ordinal: int
    position: int
    data: str
    slot: str | None


def steps(connection: sqlite3.Connection, job: int) -> list[Step]:
    """Return a job's finished steps in order."""
    rows = connection.execute(
        "SELECT ordinal, name, input_hash, result, started_at, duration_ms FROM steps "
        "WHERE job = ? ORDER BY ordinal",
        (job,),
    )
    return [Step(*row) for row in rows]


class Replay(NamedTuple):
    """What an attempt needs to know of a finished step.

    Attributes:
        result: JSON text; None where the attempt has to ask for it by `step_result`.
    """

    ordinal: int
    name: str
    input_hash: str
    result: str | None


def replays(connection: sqlite3.Connection, job: int, characters: int) -> list[Replay]:
    """Return a job's finished steps in order, with the first results of so much text together."""
    rows = connection.execute(
        f"SELECT ordinal, name, input_hash, CASE WHEN substr(result, 1, 1) <> '{REFERENCE_MARK}' "
        "AND sum(length(result)) OVER (ORDER BY ordinal) <= ? THEN result END "
        "FROM steps WHERE job = ? ORDER BY ordinal",
        (characters, job),
    )
    return [Replay(*row) for row in rows]


def large_results(connection: sqlite3.Connection, job: int) -> list[str]:
    """Return the digests of results of finished steps that lie in files."""
    rows = connection.execute(
        "SELECT substr(result, 2) FROM steps WHERE job = ? AND substr(result, 1, 1) = ?",
        (job, REFERENCE_MARK),
    )
    return [row[0] for row in rows]


def step_result(connection: sqlite3.Connection, job: int, ordinal: int) -> str:
    """Return the payload column of a finished step's result.

    Raises:
        NotFound: the step is not finished.
    """
    row = connection.execute(
        "SELECT result FROM steps WHERE job = ? AND ordinal = ?", (job, ordinal)
    ).fetchone()
    if row is None:
        raise NotFound("step_not_found", f"Step {ordinal} is not finished.")
    return str(row[0])


def finished_steps(connection: sqlite3.Connection, job: int) -> int:
    """Return how many steps of a job are finished."""
    row = connection.execute("SELECT count(*) FROM steps WHERE job = ?", (job,)).fetchone()
    return int(row[0])


def record_step(
    connection: sqlite3.Connection, job: int, fence: int, step: Step, at_ms: int
) -> str | None:
    """Record a finished step with its event.

    Returns:
        The digest of a saved model state that nothing needs any more, if there was one.

    Raises:
        Fenced: the attempt holds the job no more.
        Conflict: the step is recorded already.
    """
    job_seq = touch(connection, job, fence, 1, at_ms)
    try:
        connection.execute(
            "INSERT INTO steps (job, ordinal, name, input_hash, fence, result, started_at, "
            "duration_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (job, step.ordinal, step.name, step.input_hash, fence, *step[3:]),
        )
    except sqlite3.IntegrityError as error:
        raise Conflict("step_exists", f"Step {step.ordinal} was recorded already.") from error
    shown = {"ordinal": step.ordinal, "name": step.name, "duration_ms": step.duration_ms}
    insert(connection, job, job_seq, Draft(events.JOB_STEP, dumps(shown)), at_ms)
    return drop_checkpoint(connection, job)


def checkpoint(connection: sqlite3.Connection, job: int) -> Checkpoint | None:
    """Return the checkpoint of the unfinished step, if one was saved."""
    row = connection.execute(
        "SELECT ordinal, position, data, slot FROM checkpoints WHERE job = ?", (job,)
    ).fetchone()
    return Checkpoint(*row) if row else None


class ShownText(NamedTuple):
    """What clients have been shown of a step's streamed text, and how many tokens that is."""

    text: str
    tokens: int


def shown_text(connection: sqlite3.Connection, job: int, ordinal: int) -> ShownText:
    """Return what clients have been shown of a step, from its chunk events.

    More than a model writes, `MAX_SHOWN_BYTES`, counts as nothing shown: the step says it again,
    and a chunk replaces what stood from its offset on.
    """
    chunks = "FROM events WHERE job = ? AND type = ? AND json_extract(data, '$.step') = ?"
    which = (job, events.MODEL_CHUNK, ordinal)
    size_bytes = connection.execute(f"SELECT total(length(data)) {chunks}", which).fetchone()[0]
    if size_bytes > MAX_SHOWN_BYTES:
        return ShownText("", 0)
    rows = connection.execute(f"SELECT data {chunks} ORDER BY job_seq", which)
    return join_chunks(json.loads(row[0]) for row in rows)


def join_chunks(chunks: Iterable[dict[str, Any]]) -> ShownText:
    """Return the text that chunks of one generation show together.

    A chunk that begins at an earlier offset than was reached replaces what stood from there on.
    """
    parts: list[dict[str, Any]] = []
    for chunk in chunks:
        while parts and parts[-1]["offset"] + parts[-1]["tokens"] > chunk["offset"]:
            parts.pop()
        parts.append(chunk)
    text = "".join(part["text"] for part in parts)
    return ShownText(text, parts[-1]["offset"] + parts[-1]["tokens"] if parts else 0)


def record_checkpoint(
    connection: sqlite3.Connection, job: int, fence: int, new: Checkpoint, at_ms: int
) -> str | None:
    """Replace the checkpoint of the step under way, with its event.

    Returns:
        The digest of the state it replaces, where nothing needs it any more.

    Raises:
        Fenced: the attempt holds the job no more.
    """
    job_seq = touch(connection, job, fence, 1, at_ms)
    earlier = connection.execute("SELECT slot FROM checkpoints WHERE job = ?", (job,)).fetchone()
    connection.execute(
        "INSERT OR REPLACE INTO checkpoints (job, ordinal, fence, position, data, slot, at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (job, new.ordinal, fence, new.position, new.data, new.slot, at_ms),
    )
    shown = {"ordinal": new.ordinal, "position": new.position, "exact": bool(new.slot)}
    insert(connection, job, job_seq, Draft(events.JOB_CHECKPOINT, dumps(shown)), at_ms)
    return unneeded_slot(connection, earlier[0] if earlier else None)


def drop_state(connection: sqlite3.Connection, job: int, fence: int, at_ms: int) -> str | None:
    """Keep the checkpoint of the step under way, but not the model's state, which is no good.

    Returns:
        The digest of that state, where nothing needs it any more.

    Raises:
        Fenced: the attempt holds the job no more.
    """
    touch(connection, job, fence, 0, at_ms)
    row = connection.execute("SELECT slot FROM checkpoints WHERE job = ?", (job,)).fetchone()
    connection.execute("UPDATE checkpoints SET slot = NULL WHERE job = ?", (job,))
    return unneeded_slot(connection, row[0] if row else None)


def drop_checkpoint(connection: sqlite3.Connection, job: int, ordinal: int = 0) -> str | None:
    """Drop the checkpoint of a step from `ordinal` on.

    Returns:
        The digest of its saved model state, where nothing needs it any more.
    """
    # Two statements: a step that no model wrote has none, and a look costs less than RETURNING.
    row = connection.execute(
        "SELECT slot FROM checkpoints WHERE job = ? AND ordinal >= ?", (job, ordinal)
    ).fetchone()
    if row is None:
        return None
    connection.execute("DELETE FROM checkpoints WHERE job = ?", (job,))
    return unneeded_slot(connection, row[0])


def unneeded_slot(connection: sqlite3.Connection, slot: str | None) -> str | None:
    """Return the digest if no checkpoint refers to it."""
    if slot is None:
        return None
    used = connection.execute("SELECT 1 FROM checkpoints WHERE slot = ? LIMIT 1", (slot,))
    return None if used.fetchone() else slot


@dataclass(frozen=True, slots=True)
class Effect:
    """An effect on the outside world.

    `receipt` is a payload column once it is known to have happened.
    """

    ordinal: int
    name: str
    key: str
    input_hash: str
    state: str
    receipt: str | None


def intend(
    connection: sqlite3.Connection, job: int, fence: int, effect: Effect, at_ms: int
) -> tuple[Effect, bool]:
    """Record that an effect is about to happen.

    Returns:
        The effect as recorded, and whether this call recorded it: False means that an earlier
        attempt came this far, and `state` tells what is known of it. A person's word to repeat it
        makes it new once.

    Raises:
        Fenced: the attempt holds the job no more.
        Conflict: an earlier attempt began it with other arguments.
    """
    touch(connection, job, fence, 0, at_ms)
    known = connection.execute(
        "SELECT ordinal, name, key, input_hash, state, receipt FROM effects "
        "WHERE job = ? AND ordinal = ?",
        (job, effect.ordinal),
    ).fetchone()
    if known is not None:
        return _known_effect(connection, job, Effect(*known), effect, at_ms)
    connection.execute(
        "INSERT INTO effects (job, ordinal, name, key, input_hash, state, intended_at) "
        "VALUES (?, ?, ?, ?, ?, 'intended', ?)",
        (job, effect.ordinal, effect.name, effect.key, effect.input_hash, at_ms),
    )
    tell_effect(connection, job, effect.ordinal, at_ms)
    return effect, True


def _known_effect(
    connection: sqlite3.Connection, job: int, known: Effect, wanted: Effect, at_ms: int
) -> tuple[Effect, bool]:
    """Judge an effect that an earlier attempt intended."""
    if known.input_hash != wanted.input_hash:
        raise Conflict(
            "effect_changed",
            f"“{known.name}” was begun with other arguments than it has now.",
            hint="Fork the job to begin anew.",
        )
    if known.state != "repeat":
        return known, False
    # The word of a person to do it again holds once: after another crash they are asked again.
    connection.execute(
        "UPDATE effects SET state = 'intended', receipt = NULL WHERE job = ? AND ordinal = ?",
        (job, known.ordinal),
    )
    tell_effect(connection, job, known.ordinal, at_ms)
    return replace(known, state="intended", receipt=None), True


def settle_effect(
    connection: sqlite3.Connection,
    job: int,
    fence: int,
    ordinal: int,
    state: str,
    receipt: str | None,
    at_ms: int,
) -> None:
    """Record what became of an intended effect: `done` with its receipt, or `unknown`.

    Args:
        receipt: payload column, for `done`.

    Raises:
        Fenced: the attempt holds the job no more.
        NotFound: no effect was intended there.
    """
    touch(connection, job, fence, 0, at_ms)
    changed = connection.execute(
        "UPDATE effects SET state = ?, receipt = ?, settled_at = ? WHERE job = ? AND ordinal = ?",
        (state, receipt, at_ms, job, ordinal),
    ).rowcount
    if changed != 1:
        raise NotFound("effect_not_found", f"No effect was intended at step {ordinal}.")
    tell_effect(connection, job, ordinal, at_ms)


def drop_steps_from(connection: sqlite3.Connection, job: int, ordinal: int) -> str | None:
    """Drop the steps from `ordinal` on, for a person who chose to run them again.

    Effects are not forgotten: what was done outside stays done. The event that tells of it is to
    be the job's next.

    Returns:
        The digest of a saved model state that nothing needs any more, if there was one.
    """
    last = connection.execute("SELECT job_seq FROM jobs WHERE number = ?", (job,)).fetchone()[0]
    dropped.drop(connection, job, ordinal, last + 1)
    return drop_checkpoint(connection, job, ordinal)


def copy_steps(connection: sqlite3.Connection, source: int, target: int, upto: int) -> int:
    """Give a forked job the steps of another up to and with `upto`; return how many."""
    return connection.execute(
        "INSERT INTO steps (job, ordinal, name, input_hash, fence, result, started_at, "
        "duration_ms) SELECT ?, ordinal, name, input_hash, 0, result, started_at, duration_ms "
        "FROM steps WHERE job = ? AND ordinal <= ?",
        (target, source, upto),
    ).rowcount
