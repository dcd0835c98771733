"""What devices did to a job beside the history that holds; `account` says it in words.

Who leaves the mesh can read none of it later. It is put on record in the job's own history then.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any, Final

from regend import events
from regend.jobs import mirror
from regend.jobs.account import Stray, account, sentence
from regend.jobs.history import Draft, append
from regend.jobs.terms import branch, chain
from regend.jsontext import dumps
from regend.limits import KIB
from regend.store import Store

_RECORD_BYTES: Final = 64 * KIB  # of what is kept beside a history, in one event


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
    recorded = _recorded(connection, job_id)
    terms = mirror.terms_of(connection, job_id)
    if len(terms) < 2 and not _has_strays(connection, job_id):
        return recorded
    shown = chain(terms)
    finished = connection.execute(
        "SELECT json_extract(e.data, '$.ordinal'), max(e.job_seq) FROM events e "
        "JOIN jobs j ON j.number = e.job WHERE j.id = ? AND e.type = ? GROUP BY 1",
        (job_id, events.JOB_STEP),
    ).fetchall()
    logs = connection.execute("SELECT device, incarnation FROM logs").fetchall()
    found = account(terms, shown, dict(finished), _strays(connection, job_id), logs)
    holder = shown[-1].device if shown else b""
    return recorded + [
        {
            "kind": one.kind,
            "steps": list(one.steps),
            "devices": [device.hex() for device in one.devices],
            "counts": None if one.counts is None else one.counts.hex(),
            "text": sentence(one, holder, name),
        }
        for one in found
    ]


def record(
    connection: sqlite3.Connection,
    job: int,
    job_id: str,
    name: Callable[[bytes], str],
    at_ms: int,
) -> None:
    """Put on record in a job's history what is told of it, and all that is kept beside it.

    Args:
        job_id: whole.
        name: returns what a device is called.
    """
    said = told(connection, job_id, name)[len(_recorded(connection, job_id)) :]
    doers = _doers(connection, job_id)
    beside: list[dict[str, Any]] = []
    size = 0
    rows = connection.execute(
        "SELECT branch, place, type, at, data, extra FROM strays WHERE job_id = ? "
        "ORDER BY branch, place",
        (job_id,),
    )
    for by, place, type_name, at, data, packed in rows.fetchall():
        one = {
            "device": name(doers[by]) if by in doers else None,
            "place": place,
            "type": type_name,
            "at": at,
            "data": json.loads(data),
            "extra": None if packed is None else mirror.unpack_extra(packed),
        }
        size += len(data) + len(packed or b"")
        if beside and size > _RECORD_BYTES:
            _append(connection, job, said, beside, at_ms)
            said, beside, size = [], [], 0
        beside.append(one)
    if said or beside:
        _append(connection, job, said, beside, at_ms)


def _append(
    connection: sqlite3.Connection,
    job: int,
    said: list[dict[str, Any]],
    beside: list[dict[str, Any]],
    at_ms: int,
) -> None:
    data = dumps({"account": said, "events": beside})
    append(connection, job, Draft(events.JOB_BESIDE, data), at_ms)


def _recorded(connection: sqlite3.Connection, job_id: str) -> list[dict[str, Any]]:
    """Return what was told of a job in a mesh that was left."""
    rows = connection.execute(
        "SELECT json_extract(e.data, '$.account') FROM events e JOIN jobs j ON j.number = e.job "
        "WHERE j.id = ? AND e.type = ? ORDER BY e.job_seq",
        (job_id, events.JOB_BESIDE),
    )
    return [one for row in rows for one in json.loads(row[0])]


def _doers(connection: sqlite3.Connection, job_id: str) -> dict[bytes, bytes]:
    """Return the device of each branch that may be of a job."""
    logs = connection.execute("SELECT device, incarnation FROM logs").fetchall()
    return {
        branch(term.id, device, incarnation): device
        for term in mirror.terms_of(connection, job_id)
        for device, incarnation in logs
    }


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
