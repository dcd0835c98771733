"""Who calls: bearer tokens, browser sessions, and single-use codes and tickets.

Secrets that last never appear in URLs: what may stand there is used once and dies within a minute.
Sessions, codes and tickets live in memory; a restart of the daemon ends them. Which tokens hold
is in memory too, for it is asked with every request; no other process opens the database.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from regend.api.tokens import EVERYTHING, SCOPES, Grant, add_token, not_revoked, revoke_token
from regend.clock import Clock, new_id
from regend.errors import BadInput, Failed, NotAllowed, NotAuthenticated
from regend.home import Home
from regend.store import Store, files

OWNER = "owner"
_CODE_LIFE_S = 60.0
_TICKET_LIFE_S = 30.0
_SESSION_LIFE_S = 30 * 24 * 3600.0
_MAX_ONCE = 10_000  # codes, tickets and sessions held in memory
_USER_CHARACTERS = 100
_KEY_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that proved itself with a code."""

    grant: Grant
    csrf: str
    ends_s: float


class Access:
    """Gives out and checks credentials of one daemon."""

    def __init__(self, store: Store, home: Home, clock: Clock) -> None:
        self._store = store
        self._home = home
        self._clock = clock
        self._key = _signing_key(home.keys_dir / "token.key")
        self._codes: dict[str, tuple[Grant, float]] = {}
        self._tickets: dict[str, tuple[Grant, float]] = {}
        self._sessions: dict[str, Session] = {}
        with store.reading() as connection:
            self._ends = not_revoked(connection)

    async def ensure_owner_token(self) -> None:
        """Write the owner's token file if there is none that holds."""
        file = self._home.token_file
        if file.exists():
            try:
                self.bearer(file.read_text(encoding="utf-8", errors="replace").strip())
                return
            except NotAuthenticated:
                pass
        token, _ = await self.create(OWNER, [EVERYTHING], None, "owner")
        files.replace(file, f"{token}\n".encode())

    async def create(
        self, user: str, scopes: list[str], expires_s: float | None, name: str
    ) -> tuple[str, Grant]:
        """Make a token.

        Args:
            expires_s: its life in seconds; None means until revoked.

        Returns:
            The token, which is shown once, and what it grants.

        Raises:
            BadInput: the user, a scope or the life is unfit.
        """
        if not user.strip() or len(user) > _USER_CHARACTERS:
            raise BadInput("invalid_field", "“user” must be a short name.", field="user")
        for scope in scopes:
            if scope != EVERYTHING and scope not in SCOPES:
                raise BadInput(
                    "unknown_scope",
                    f"There is no scope “{scope[:60]}”.",
                    hint=f"Scopes: {', '.join(SCOPES)}, or * for all.",
                    field="scope",
                )
        if not scopes:
            raise BadInput("invalid_field", "“scope” is empty.", field="scope")
        now_ms = self._clock.wall_ms()
        expires = None if expires_s is None else now_ms + int(expires_s * 1000)
        grant = Grant(user, frozenset(scopes), new_id(self._clock), expires)
        await self._store.write(lambda c: add_token(c, grant, name, now_ms))
        self._ends[grant.token_id] = expires
        claims: dict[str, Any] = {
            "sub": user,
            "scope": " ".join(sorted(scopes)),
            "jti": grant.token_id,
            "iat": now_ms // 1000,
        }
        if expires is not None:
            claims["exp"] = expires // 1000
        return jwt.encode(claims, self._key, algorithm="HS256"), grant

    async def revoke(self, token_id: str) -> None:
        """End a token, and every session and ticket that came from it."""
        at_ms = self._clock.wall_ms()
        await self._store.write(lambda c: revoke_token(c, token_id, at_ms))
        self._ends.pop(token_id, None)
        for held in (self._codes, self._tickets):
            for key in [k for k, (grant, _) in held.items() if grant.token_id == token_id]:
                del held[key]
        for key in [k for k, s in self._sessions.items() if s.grant.token_id == token_id]:
            del self._sessions[key]

    def bearer(self, token: str) -> Grant:
        """Return what a bearer token grants.

        Raises:
            NotAuthenticated: it is forged, expired or revoked.
        """
        if not token.isascii():
            raise _unknown("The token is not one of this daemon's.")
        try:
            # Expiry is judged below, on the daemon's clock, together with revocation.
            claims = jwt.decode(
                token,
                self._key,
                algorithms=["HS256"],
                options={"require": ["sub", "jti"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError as error:
            raise _unknown("The token is not one of this daemon's.") from error
        grant = Grant(
            str(claims["sub"]),
            frozenset(str(claims.get("scope", "")).split()),
            str(claims["jti"]),
            int(claims["exp"]) * 1000 if "exp" in claims else None,
        )
        if not self.holds(grant):
            raise _unknown("The token has expired or was revoked.")
        return grant

    def holds(self, grant: Grant) -> bool:
        """Tell whether the token behind a grant was neither revoked nor expired since."""
        if grant.token_id not in self._ends:
            return False
        ends_ms = self._ends[grant.token_id]
        return ends_ms is None or ends_ms > self._clock.wall_ms()

    def new_code(self, grant: Grant) -> str:
        """Return a code with which a browser can open a session, once, within 60 s."""
        return self._once(self._codes, grant, _CODE_LIFE_S)

    def new_ticket(self, grant: Grant) -> str:
        """Return a ticket that opens one WebSocket within 30 s."""
        return self._once(self._tickets, grant, _TICKET_LIFE_S)

    def use_ticket(self, ticket: str) -> Grant:
        """Return what a ticket grants; it is spent.

        Raises:
            NotAuthenticated: it is unknown, spent or too old, or its token holds no more.
        """
        refusal = "The ticket is unknown, used or expired."
        grant = self._spend(self._tickets, ticket, refusal)
        if not self.holds(grant):
            raise _unknown(refusal)
        return grant

    def open_session(self, code: str) -> tuple[str, Session]:
        """Swap a code for a session; return its cookie value and the session.

        Raises:
            NotAuthenticated: the code is unknown, spent or too old.
        """
        grant = self._spend(self._codes, code, "The code is unknown, used or expired.")
        self._drop_old_sessions()
        cookie = secrets.token_urlsafe(32)
        ends_s = self._clock.monotonic_s() + _SESSION_LIFE_S
        session = Session(grant, secrets.token_urlsafe(32), ends_s)
        self._sessions[cookie] = session
        return cookie, session

    def session(self, cookie: str) -> Session:
        """Return the session of a cookie.

        Raises:
            NotAuthenticated: there is none.
        """
        session = self._sessions.get(cookie)
        if session is None or session.ends_s < self._clock.monotonic_s():
            raise _unknown("The browser's session has ended.", hint="Sign in again.")
        return session

    def check_csrf(self, session: Session, value: str | None) -> None:
        """Refuse a changing call of a browser that does not carry its session's CSRF value.

        Raises:
            NotAllowed: it is missing or another's.
        """
        sent = (value or "").encode(errors="surrogateescape")
        if not hmac.compare_digest(session.csrf.encode(), sent):
            raise NotAllowed(
                "csrf", "The X-CSRF-Token does not belong to this session.", hint="Reload the page."
            )

    def _once(self, held: dict[str, tuple[Grant, float]], grant: Grant, life_s: float) -> str:
        now_s = self._clock.monotonic_s()
        for key in [k for k, (_, ends_s) in held.items() if ends_s < now_s]:
            del held[key]
        while len(held) >= _MAX_ONCE:
            del held[next(iter(held))]
        value = secrets.token_urlsafe(24)
        held[value] = (grant, now_s + life_s)
        return value

    def _spend(self, held: dict[str, tuple[Grant, float]], value: str, refusal: str) -> Grant:
        grant, ends_s = held.pop(value, (None, 0.0))
        if grant is None or ends_s < self._clock.monotonic_s():
            raise _unknown(refusal)
        return grant

    def _drop_old_sessions(self) -> None:
        now_s = self._clock.monotonic_s()
        for key in [k for k, s in self._sessions.items() if s.ends_s < now_s]:
            del self._sessions[key]
        while len(self._sessions) >= _MAX_ONCE:
            del self._sessions[next(iter(self._sessions))]


def session_cookie(port: int | None) -> str:
    """Return the name of the cookie of the daemon at this port.

    Browsers keep one set of cookies for all ports of a host: under one name, two daemons would
    overwrite each other's.
    """
    return f"regend_session_{port}"


def _unknown(message: str, hint: str = "Create a token: regend tokens create") -> NotAuthenticated:
    return NotAuthenticated("not_authenticated", message, hint=hint)


def _signing_key(file: Path) -> bytes:
    """Return this device's key for tokens, made at the first start."""
    if not file.exists():
        files.replace(file, f"{secrets.token_hex(_KEY_CHARACTERS // 2)}\n".encode())
    key = file.read_bytes().strip()
    if len(key) < _KEY_CHARACTERS:
        # An empty key would let anybody sign.
        raise Failed(
            "token_key_damaged",
            f"{file} is not the key that this daemon wrote.",
            hint="Restore it from a backup; or delete it, and every token with it becomes void.",
        )
    return key
