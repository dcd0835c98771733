"""Reads what devices did to a job beside the history that holds; `account` says it in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

from regend import events
from regend.jobs import mirror
from regend.jobs.account import Stray, account, sentence
from regend.jobs.terms import chain
from regend.store import Store


class Accounts:
    """Accounts of jobs, for clients.

    Args:
        name: returns what a device is called.
    """

    def __init__(self, store: Store, name: Callable[[bytes], str]) -> None:
        self._store = store
        self._name = name

    async def of(self, job_id: str) -> list[dict[str, Any]]:
        """Return what is told of a job; see `told`."""
        return await self._store.query(lambda c: told(c, job_id, self._name))


def told(
    connection: sqlite3.Connection, job_id: str, name: Callable[[bytes], str]
) -> list[dict[str, Any]]:
    """Return the account of a job's forks and of its steps that ran twice, as clients see it.

    Args:
        job_id: whole.
        name: returns what a device is called.
    """
    terms = mirror.terms_of(connection, job_id)
    if len(terms) < 2 and not _has_strays(connection, job_id):
        return []
    shown = chain(terms)
    finished = connection.execute(
        "SELECT json_extract(e.data, '$.ordinal'), max(e.job_seq) FROM events e "
        "JOIN jobs j ON j.number = e.job WHERE j.id = ? AND e.type = ? GROUP BY 1",
        (job_id, events.JOB_STEP),
    ).fetchall()
    logs = connection.execute("SELECT device, incarnation FROM logs").fetchall()
    found = account(terms, shown, dict(finished), _strays(connection, job_id), logs)
    holder = shown[-1].device if shown else b""
    return [
        {
            "kind": one.kind,
            "steps": list(one.steps),
            "devices": [device.hex() for device in one.devices],
            "counts": None if one.counts is None else one.counts.hex(),
            "text": sentence(one, holder, name),
        }
        for one in found
    ]


def _has_strays(connection: sqlite3.Connection, job_id: str) -> bool:
    found = connection.execute("SELECT 1 FROM strays WHERE job_id = ? LIMIT 1", (job_id,))
    return found.fetchone() is not None


def _strays(connection: sqlite3.Connection, job_id: str) -> list[Stray]:
    rows = connection.execute(
        "SELECT branch, place, json_extract(data, iif(type = ?1, '$.ordinal', '$.step')), "
        "type = ?1 FROM strays WHERE job_id = ?2 AND type IN (?1, ?3)",
        (events.JOB_STEP, job_id, events.MODEL_CHUNK),
    )
    return [
        Stray(by, place, step, bool(finished))
        for by, place, step, finished in rows
        if type(step) is int
    ]
