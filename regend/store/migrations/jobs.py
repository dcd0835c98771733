"""Tables of the job engine.

Payload columns (`input`, `result`, `data`, `preview`) hold JSON text, or `@` and the digest of a
blob. Times are milliseconds since the Unix epoch.
"""

from __future__ import annotations

import secrets

from sqlite_utils import Database


def job_tables(database: Database) -> None:
    """Create jobs, steps, checkpoints, approvals, effects and events."""
    for statement in _STATEMENTS:
        database.execute(statement)
    # `seq` of events is only comparable within one epoch; a restored backup begins a new one.
    database.execute(
        "INSERT INTO settings (name, value) VALUES ('epoch', ?)", [secrets.token_hex(8)]
    )
    database.execute(
        "INSERT INTO settings (name, value) VALUES ('device', ?)", [secrets.token_hex(8)]
    )


_STATEMENTS = (
    "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        user TEXT NOT NULL,
        type TEXT NOT NULL,
        title TEXT NOT NULL,
        state TEXT NOT NULL,
        desired TEXT NOT NULL,
        held INTEGER NOT NULL DEFAULT 0,
        priority INTEGER NOT NULL,
        attempt INTEGER NOT NULL DEFAULT 0,
        failures INTEGER NOT NULL DEFAULT 0,
        deaths INTEGER NOT NULL DEFAULT 0,
        max_attempts INTEGER NOT NULL,
        fence INTEGER NOT NULL DEFAULT 0,
        boot TEXT,
        seed INTEGER NOT NULL,
        model TEXT NOT NULL,
        input TEXT NOT NULL,
        result TEXT,
        error TEXT,
        waiting TEXT,
        progress REAL NOT NULL DEFAULT 0,
        step TEXT,
        job_seq INTEGER NOT NULL DEFAULT 0,
        parent_id TEXT,
        owner_device TEXT NOT NULL,
        device TEXT NOT NULL,
        idempotency_key TEXT,
        request_hash TEXT,
        created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL,
        finished_at INTEGER
    ) STRICT
    """,
    "CREATE INDEX jobs_ready ON jobs (priority DESC, number) WHERE state = 'created' AND held = 0",
    "CREATE INDEX jobs_state ON jobs (state)",
    "CREATE INDEX jobs_user ON jobs (user)",
    """
    CREATE UNIQUE INDEX jobs_idempotency ON jobs (user, idempotency_key)
        WHERE idempotency_key IS NOT NULL
    """,
    """
    CREATE TABLE steps (
        job INTEGER NOT NULL REFERENCES jobs (number),
        ordinal INTEGER NOT NULL,
        name TEXT NOT NULL,
        input_hash TEXT NOT NULL,
        fence INTEGER NOT NULL,
        result TEXT NOT NULL,
        started_at INTEGER NOT NULL,
        duration_ms INTEGER NOT NULL,
        PRIMARY KEY (job, ordinal)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE checkpoints (
        job INTEGER PRIMARY KEY REFERENCES jobs (number),
        ordinal INTEGER NOT NULL,
        fence INTEGER NOT NULL,
        position INTEGER NOT NULL,
        data TEXT NOT NULL,
        slot TEXT,
        at INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE approvals (
        id TEXT PRIMARY KEY,
        job INTEGER NOT NULL REFERENCES jobs (number),
        ordinal INTEGER NOT NULL,
        action TEXT NOT NULL,
        action_hash TEXT NOT NULL,
        preview TEXT NOT NULL,
        state TEXT NOT NULL,
        requested_at INTEGER NOT NULL,
        decided_at INTEGER,
        UNIQUE (job, ordinal)
    ) STRICT
    """,
    """
    CREATE TABLE effects (
        job INTEGER NOT NULL REFERENCES jobs (number),
        ordinal INTEGER NOT NULL,
        name TEXT NOT NULL,
        key TEXT NOT NULL,
        input_hash TEXT NOT NULL,
        state TEXT NOT NULL,
        receipt TEXT,
        intended_at INTEGER NOT NULL,
        settled_at INTEGER,
        PRIMARY KEY (job, ordinal)
    ) STRICT, WITHOUT ROWID
    """,
    # The highest seq is never deleted (compaction removes streamed chunks, and the event that ends
    # their job comes after them), so plain row ids never repeat.
    """
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        job INTEGER NOT NULL,
        job_seq INTEGER NOT NULL,
        type TEXT NOT NULL,
        at INTEGER NOT NULL,
        data TEXT NOT NULL
    ) STRICT
    """,
    "CREATE UNIQUE INDEX events_job ON events (job, job_seq)",
)
