"""Bearer tokens in the store: which were given out, and which hold no more.

A token is a JWT (RFC 7519, HS256) signed with a key of this device. The store knows its id, whose
it is and what it may do, never the token itself.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Any

from regend.clock import rfc3339
from regend.errors import NotAllowed, NotFound

SCOPES = (
    "jobs:read",
    "jobs:write",
    "library:read",
    "library:write",
    "models:read",
    "models:write",
    "devices:read",
    "devices:write",
    "metrics:read",
    "admin",
)
EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a caller proved to be.

    Attributes:
        user: who calls.
        scopes: what they may do; `*` is everything.
        token_id: of the token, for revocation.
        expires_at: milliseconds since the Unix epoch, or None.
    """

    user: str
    scopes: frozenset[str]
    token_id: str
    expires_at: int | None = None

    def allows(self, scope: str) -> bool:
        """Tell whether this caller may do what the scope names."""
        return EVERYTHING in self.scopes or scope in self.scopes

    def require(self, scope: str) -> None:
        """Refuse a caller whose token lacks a scope.

        Raises:
            NotAllowed: it does.
        """
        if not self.allows(scope):
            raise NotAllowed(
                "scope",
                f"This token may not do that; it lacks the scope {scope}.",
                hint="Create one that may: regend tokens create",
            )


def add_token(connection: sqlite3.Connection, grant: Grant, name: str, at_ms: int) -> None:
    """Record a token that is about to be given out."""
    connection.execute(
        "INSERT INTO tokens (id, user, scope, name, created_at, expires_at) "
        "VALUES (?, ?, ?, ?, ?, ?)",
        (
            grant.token_id,
            grant.user,
            " ".join(sorted(grant.scopes)),
            name,
            at_ms,
            grant.expires_at,
        ),
    )


def not_revoked(connection: sqlite3.Connection) -> dict[str, int | None]:
    """Return the ids of the tokens that were not revoked, and when each expires, if it does."""
    return dict(connection.execute("SELECT id, expires_at FROM tokens WHERE revoked_at IS NULL"))


def revoke_token(connection: sqlite3.Connection, token_id: str, at_ms: int) -> None:
    """Make a token hold no more; doing it twice is fine.

    Raises:
        NotFound: there is no such token.
    """
    changed = connection.execute(
        "UPDATE tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", (at_ms, token_id)
    ).rowcount
    if changed == 0:
        raise NotFound("token_not_found", "There is no such token.", hint="See: regend tokens list")


def tokens(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return every token that was given out, newest first, without its secret."""
    rows = connection.execute(
        "SELECT id, user, scope, name, created_at, expires_at, revoked_at FROM tokens "
        "ORDER BY created_at DESC, id DESC"
    )
    return [
        {
            "id": row[0],
            "user": row[1],
            "scope": row[2].split(),
            "name": row[3],
            "created_at": rfc3339(row[4]),
            "expires_at": None if row[5] is None else rfc3339(row[5]),
            "revoked_at": None if row[6] is None else rfc3339(row[6]),
        }
        for row in rows
    ]
