"""Which earlier lives this home had, and why each ended: for people who copied or restored it.

Where a home begins a new log of its own, the reason is noted in the transaction that does.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any, Final

from regend.clock import rfc3339
from regend.jsontext import dumps
from regend.store.change import LogId

_SETTING: Final = "renewals"
_KEPT: Final = 20  # a home that is restored each day needs no memory of a year

_HINT: Final = "Jobs that ran in it go on here once you say so: regend jobs takeover ID --force"
_TEXTS: Final = {
    "database": "This home was restored from a backup. What it told your other devices after that "
    "backup was made comes back from them and is kept, as its earlier history.",
    "machine": "This home came from another machine. What was done there is kept, as its earlier "
    "history; if it still runs there, both go on beside each other.",
    "forked": "This home was copied, or put back to an earlier state, and another copy went on. "
    "What each did is kept: the other's as the earlier history, this one's as a new one.",
    "put_out": "This device was put out of the mesh and let in again, and this home learned of it "
    "only now: it was another copy that came back. What was done here meanwhile is told to the "
    "others.",
    "lost": "This home lost the mark of its own history and began a new one. What it did before "
    "is kept, as its earlier history.",
}
_REASONS: Final = {"kept": "lost", "missing": "lost", "unreadable": "lost"}


def note(
    connection: sqlite3.Connection, before: LogId | None, now: LogId, reason: str, at_ms: int
) -> None:
    """Note that this home goes on in another log, if it does.

    Args:
        before: the log that it wrote last; None where it wrote none.
        reason: of `sync.identity.Reason`, or `forked`: its log has two histories.
    """
    # Who was put out and joins again knows why; another device's log is none of this home's lives.
    if before is None or before == now or before.device != now.device or reason == "revoked":
        return
    told = {
        "incarnation": now.incarnation.hex(),
        "before": before.incarnation.hex(),
        "reason": _REASONS.get(reason, reason),
        "at": at_ms,
    }
    connection.execute(
        "INSERT INTO settings (name, value) VALUES (?1, ?2) "
        "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (_SETTING, dumps([*_noted(connection), told][-_KEPT:])),
    )


def renewals(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    """Return the beginnings of new lives as clients see them, the newest first."""
    changes = dict(connection.execute("SELECT lower(hex(incarnation)), seq FROM logs").fetchall())
    return [
        {
            "at": rfc3339(one["at"]),
            "reason": one["reason"],
            "incarnation": one["incarnation"],
            "earlier": {"incarnation": one["before"], "changes": changes.get(one["before"], 0)},
            "text": _TEXTS[one["reason"]],
            "hint": _HINT,
        }
        for one in reversed(_noted(connection))
    ]


def _noted(connection: sqlite3.Connection) -> list[dict[str, Any]]:
    row = connection.execute("SELECT value FROM settings WHERE name = ?", (_SETTING,)).fetchone()
    noted: list[dict[str, Any]] = json.loads(row[0]) if row else []
    return noted
