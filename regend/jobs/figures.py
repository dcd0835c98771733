"""Figures about one's own use, from the jobs table. They never leave the device."""

from __future__ import annotations

import sqlite3
from typing import Any

_DAY_MS = 24 * 3600 * 1000


def summary(connection: sqlite3.Connection, user: str) -> dict[str, Any]:
    """Return how many jobs of each type and state a user has, and how long they took."""
    by_state = dict(
        connection.execute(
            "SELECT state, count(*) FROM jobs WHERE user = ? GROUP BY state", (user,)
        ).fetchall()
    )
    rows = connection.execute(
        "SELECT type, count(*), avg(CASE WHEN state = 'completed' "
        "THEN (finished_at - created_at) / 1000.0 END) FROM jobs WHERE user = ? GROUP BY type",
        (user,),
    )
    by_type = {row[0]: {"jobs": row[1], "mean_duration_s": row[2]} for row in rows}
    return {"jobs": sum(by_state.values()), "by_state": by_state, "by_type": by_type}


def daily_users(connection: sqlite3.Connection, now_ms: int, days: int) -> list[dict[str, Any]]:
    """Return, for each of the last `days` days (UTC) with jobs, how many users and jobs it had."""
    first = (now_ms // _DAY_MS - days + 1) * _DAY_MS
    rows = connection.execute(
        "SELECT date(created_at / 1000, 'unixepoch'), count(DISTINCT user), count(*) FROM jobs "
        "WHERE created_at >= ? GROUP BY 1 ORDER BY 1",
        (first,),
    )
    return [{"day": row[0], "users": row[1], "jobs": row[2]} for row in rows]
