"""Tables of the mesh: logs of changes, what they say, and who the devices are.

Without a mesh these tables are empty and nothing is written to them.
"""

from __future__ import annotations

from sqlite_utils import Database


def mesh_tables(database: Database) -> None:
    """Create logs, changes, frames, cells, the roster, and what jobs need to move."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    # One to each device and incarnation of it. `seq` and `head` are of the last change that is
    # stored here; `clock` is the last stamp that was given or, for the current log, seen.
    """
    CREATE TABLE logs (
        number INTEGER PRIMARY KEY,
        device BLOB NOT NULL,
        incarnation BLOB NOT NULL,
        seq INTEGER NOT NULL DEFAULT 0,
        head BLOB NOT NULL,
        clock INTEGER NOT NULL DEFAULT 0,
        current INTEGER NOT NULL DEFAULT 0,
        UNIQUE (device, incarnation)
    ) STRICT
    """,
    "CREATE UNIQUE INDEX logs_current ON logs (current) WHERE current = 1",
    # What this device wrote itself; it is sealed when it is sent.
    """
    CREATE TABLE changes (
        log INTEGER NOT NULL REFERENCES logs (number),
        seq INTEGER NOT NULL,
        head BLOB NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (log, seq)
    ) STRICT, WITHOUT ROWID
    """,
    # What others wrote, sealed and signed by them, as it is passed on.
    """
    CREATE TABLE frames (
        log INTEGER NOT NULL REFERENCES logs (number),
        last INTEGER NOT NULL,
        first INTEGER NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (log, last)
    ) STRICT, WITHOUT ROWID
    """,
    # Changes of a kind that this program does not know, for the one that does.
    """
    CREATE TABLE unfolded (
        log INTEGER NOT NULL REFERENCES logs (number),
        seq INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (log, seq)
    ) STRICT, WITHOUT ROWID
    """,
    """
    CREATE TABLE cells (
        object TEXT NOT NULL,
        field TEXT NOT NULL,
        value BLOB NOT NULL,
        version INTEGER NOT NULL,
        clock INTEGER NOT NULL,
        device BLOB NOT NULL,
        PRIMARY KEY (object, field)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE TABLE roster (id BLOB PRIMARY KEY, entry BLOB NOT NULL) STRICT, WITHOUT ROWID",
    # What each device said last that it has, and when and where it was met.
    """
    CREATE TABLE peers (
        device BLOB PRIMARY KEY,
        vector BLOB,
        state_hash BLOB,
        seen_at INTEGER,
        address TEXT,
        manual TEXT
    ) STRICT, WITHOUT ROWID
    """,
    # Jobs that another device runs are here too, and `remote`. `term` is whose history is shown,
    # `history` its hash, `leaving` the device that asked for the job.
    "ALTER TABLE jobs ADD COLUMN remote INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE jobs ADD COLUMN term BLOB",
    "ALTER TABLE jobs ADD COLUMN history BLOB",
    "ALTER TABLE jobs ADD COLUMN leaving BLOB",
    "DROP INDEX jobs_ready",
    """
    CREATE INDEX jobs_ready ON jobs (priority DESC, number)
        WHERE state = 'created' AND held = 0 AND remote = 0
    """,
    """
    CREATE TABLE terms (
        job_id TEXT NOT NULL,
        id BLOB NOT NULL,
        number INTEGER NOT NULL,
        previous BLOB NOT NULL,
        base INTEGER NOT NULL,
        how TEXT NOT NULL,
        device BLOB NOT NULL,
        incarnation BLOB NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (job_id, id)
    ) STRICT, WITHOUT ROWID
    """,
    # Events that are not part of what is shown: they came before their predecessors, or their
    # branch gave way to another.
    """
    CREATE TABLE strays (
        job_id TEXT NOT NULL,
        branch BLOB NOT NULL,
        place INTEGER NOT NULL,
        previous INTEGER NOT NULL,
        type TEXT NOT NULL,
        at INTEGER NOT NULL,
        data TEXT NOT NULL,
        extra BLOB,
        PRIMARY KEY (job_id, branch, place)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX strays_next ON strays (job_id, previous)",
    # The newest saved place of a job that another device runs, while its model's state is not here.
    """
    CREATE TABLE coming_places (
        job INTEGER PRIMARY KEY REFERENCES jobs (number),
        ordinal INTEGER NOT NULL,
        position INTEGER NOT NULL,
        data TEXT NOT NULL,
        slot TEXT NOT NULL,
        at INTEGER NOT NULL
    ) STRICT
    """,
    # Which documents the devices' libraries have, or are to have: `id` is that of the document
    # where it was added. The same bytes added on two devices are two rows, and one document here.
    # `text` is the SHA-256 of the extracted text, by which it is fetched; `about` what else is told
    # of it.
    """
    CREATE TABLE shared_documents (
        id TEXT PRIMARY KEY,
        user TEXT NOT NULL,
        digest TEXT NOT NULL,
        text TEXT NOT NULL,
        about BLOB NOT NULL,
        device BLOB NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('coming', 'here', 'gone'))
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX shared_documents_by_digest ON shared_documents (user, digest)",
    "CREATE INDEX shared_documents_by_text ON shared_documents (text)",
    # Payloads that rows refer to and that are still on other devices; `job` needs it, 0 is none.
    """
    CREATE TABLE wanted_blobs (
        digest TEXT NOT NULL,
        device BLOB NOT NULL,
        job INTEGER NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (digest, job)
    ) STRICT, WITHOUT ROWID
    """,
    # An effect grows by versions, so that what is known of it is the same in any order of arrival.
    "ALTER TABLE effects ADD COLUMN version INTEGER NOT NULL DEFAULT 0",
    # What was told of effects whose job has not come yet.
    """
    CREATE TABLE early_effects (
        job_id TEXT NOT NULL,
        said BLOB NOT NULL,
        PRIMARY KEY (job_id, said)
    ) STRICT, WITHOUT ROWID
    """,
)
