"""Table of what jobs were introduced with, where several devices introduced one."""

from __future__ import annotations

import hashlib

import msgpack
from sqlite_utils import Database


def introduction_tables(database: Database) -> None:
    """Create the table, and note what the jobs that are known were introduced with."""
    # `columns` is NULL for the introduction that the job's row shows; `mark` is their hash.
    database.execute(
        """
        CREATE TABLE introductions (
            job_id TEXT NOT NULL,
            term BLOB NOT NULL,
            mark BLOB NOT NULL,
            columns BLOB,
            PRIMARY KEY (job_id, term, mark)
        ) STRICT, WITHOUT ROWID
        """
    )
    for job_id, term, *columns in database.execute(_KNOWN).fetchall():
        mark = hashlib.blake2b(msgpack.packb(columns), digest_size=8).digest()
        database.execute(
            "INSERT INTO introductions (job_id, term, mark) VALUES (?, ?, ?)", (job_id, term, mark)
        )


_KNOWN = """
    WITH RECURSIVE line (job_id, id, previous) AS (
        SELECT t.job_id, t.id, t.previous FROM jobs j
            JOIN terms t ON t.job_id = j.id AND t.id = j.term
        UNION
        SELECT t.job_id, t.id, t.previous FROM line l
            JOIN terms t ON t.job_id = l.job_id AND t.id = l.previous
    )
    SELECT j.id, l.id, j.user, j.type, j.title, j.priority, j.max_attempts, j.seed, j.model,
        j.input, j.parent_id, j.owner_device, j.created_at
    FROM jobs j JOIN line l ON l.job_id = j.id WHERE l.previous = x''
"""
