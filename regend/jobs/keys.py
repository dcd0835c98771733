"""Idempotency keys of commands: what was carried out under one is not carried out again.

A key is recorded in the transaction of its command. A command that was refused has changed
nothing, so its key is free. The keys of new jobs stand with the jobs, for ever; those of commands
are kept for as long as a client may come back with one.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from regend.errors import BadInput, Conflict
from regend.limits import COMMAND_KEYS, IDEMPOTENCY_KEY_CHARACTERS


def checked(key: Any) -> str | None:
    """Return the key that a client sent, None where it sent none.

    Raises:
        BadInput: it is not a text of a fit length.
    """
    if key is None:
        return None
    if not isinstance(key, str):
        raise BadInput(
            "invalid_field", "“idempotency_key” must be a text.", field="idempotency_key"
        )
    if not 0 < len(key) <= IDEMPOTENCY_KEY_CHARACTERS:
        raise BadInput(
            "idempotency_key",
            f"An Idempotency-Key has 1 to {IDEMPOTENCY_KEY_CHARACTERS} characters.",
        )
    return key


def clash() -> Conflict:
    """Return the error for a key under which something else was asked before."""
    return Conflict(
        "idempotency_conflict",
        "This Idempotency-Key was used for another request.",
        hint="Use a fresh key for each new request.",
    )


def is_first(
    connection: sqlite3.Connection, user: str, key: str, request_hash: str, at_ms: int
) -> bool:
    """Record that a command is carried out under a key; False where it was before.

    Raises:
        Conflict: the key was used for another command.
    """
    known = connection.execute(
        "SELECT request_hash FROM command_keys WHERE user = ? AND key = ?", (user, key)
    ).fetchone()
    if known is None:
        connection.execute(
            "INSERT INTO command_keys (user, key, request_hash, at) VALUES (?, ?, ?, ?)",
            (user, key, request_hash, at_ms),
        )
        return True
    if known[0] != request_hash:
        raise clash()
    return False


def oldest_kept(connection: sqlite3.Connection, before_ms: int) -> int:
    """Return the number of the first key to keep: none from before this time, nor too many."""
    (newest,) = connection.execute("SELECT max(number) FROM command_keys").fetchone()
    (late,) = connection.execute(
        "SELECT max(number) FROM command_keys WHERE at < ?", (before_ms,)
    ).fetchone()
    return max((newest or 0) - COMMAND_KEYS, late or 0) + 1


def forget(connection: sqlite3.Connection, first_kept: int, limit: int) -> int:
    """Forget up to `limit` of the keys before this number; return how many went."""
    return connection.execute(
        "DELETE FROM command_keys WHERE number IN "
        "(SELECT number FROM command_keys WHERE number < ? ORDER BY number LIMIT ?)",
        (first_kept, limit),
    ).rowcount
