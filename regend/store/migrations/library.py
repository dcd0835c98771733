"""Tables of the library.

Characters, not bytes, count positions in a document's text. Times are milliseconds since the Unix
epoch. A document is seen only once it is `complete`: a long one is written in several transactions
so that no other writer waits long for it.

The ids of passages carry the number of their user in the bits from 40 on. One user's passages are
so one range of row ids, and a search is held to that range by the index itself.

`passages_fts` stores no text of its own: what it indexes are the terms of `library.words`, parted
by blanks, which the `ascii` tokenizer takes as they are.
"""

from __future__ import annotations

from sqlite_utils import Database


def library_tables(database: Database) -> None:
    """Create users, documents, their texts, passages, the index and what was unreadable."""
    for statement in _STATEMENTS:
        database.execute(statement)


_STATEMENTS = (
    "CREATE TABLE library_users (number INTEGER PRIMARY KEY, user TEXT NOT NULL UNIQUE) STRICT",
    """
    CREATE TABLE documents (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        user TEXT NOT NULL,
        title TEXT NOT NULL,
        source TEXT NOT NULL,
        media_type TEXT NOT NULL,
        digest TEXT NOT NULL,
        language TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        characters INTEGER NOT NULL,
        passages INTEGER NOT NULL,
        added_at INTEGER NOT NULL,
        untrusted INTEGER NOT NULL CHECK (untrusted IN (0, 1)),
        complete INTEGER NOT NULL CHECK (complete IN (0, 1))
    ) STRICT
    """,
    "CREATE UNIQUE INDEX documents_by_user ON documents (user, id)",
    "CREATE UNIQUE INDEX documents_by_digest ON documents (user, digest) WHERE complete",
    "CREATE INDEX documents_by_source ON documents (user, source)",
    "CREATE INDEX documents_unfinished ON documents (number) WHERE NOT complete",
    # The text in compressed pieces, so that a passage is read without unpacking its document.
    """
    CREATE TABLE document_texts (
        document INTEGER NOT NULL REFERENCES documents (number),
        start INTEGER NOT NULL,
        text BLOB NOT NULL,
        UNIQUE (document, start)
    ) STRICT
    """,
    """
    CREATE TABLE passages (
        id INTEGER PRIMARY KEY,
        document INTEGER NOT NULL REFERENCES documents (number),
        ordinal INTEGER NOT NULL,
        heading TEXT NOT NULL,
        kind TEXT NOT NULL,
        start INTEGER NOT NULL,
        end INTEGER NOT NULL,
        UNIQUE (document, ordinal)
    ) STRICT
    """,
    """
    CREATE VIRTUAL TABLE passages_fts USING fts5(
        title, heading, text, content='', tokenize='ascii'
    )
    """,
    # Fewer, larger segments: importing is twice as fast, and searching no slower.
    "INSERT INTO passages_fts (passages_fts, rank) VALUES ('hashsize', 8388608)",
    "INSERT INTO passages_fts (passages_fts, rank) VALUES ('automerge', 16)",
    "CREATE VIRTUAL TABLE passages_terms USING fts5vocab('passages_fts', 'row')",
    # What a person wanted in the library and could not be read, until it can.
    """
    CREATE TABLE unreadable (
        user TEXT NOT NULL,
        source TEXT NOT NULL,
        code TEXT NOT NULL,
        reason TEXT NOT NULL,
        at INTEGER NOT NULL,
        PRIMARY KEY (user, source)
    ) STRICT, WITHOUT ROWID
    """,
    # Which analysis made the terms of the index; another one means building it again.
    "CREATE TABLE library_index (analysis TEXT NOT NULL) STRICT",
)
