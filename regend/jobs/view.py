"""The job as clients see it: the object of the contract, made from a row."""

from __future__ import annotations

import sqlite3
from typing import Any

from regend.clock import rfc3339
from regend.store.blobs import Blobs, reference

SCHEMA = 1

_PAYLOADS = ("input", "result", "error", "waiting")


def is_inline(row: sqlite3.Row) -> bool:
    """Tell whether all payloads of a job stand in its row, so that no file is read to show it."""
    return all(reference(row[name]) is None for name in _PAYLOADS)


def job_object(row: sqlite3.Row, blobs: Blobs, *, whole: bool = True) -> dict[str, Any]:
    """Return the REST object of a job.

    Args:
        row: with the columns of `repository.JOB_COLUMNS`.
        whole: also read payloads that lie in blobs; otherwise, and where another device has not
            sent them yet, they are named in `omitted`.
    """
    shown: dict[str, Any] = {
        "id": row["id"],
        "schema": SCHEMA,
        "type": row["type"],
        "state": row["state"],
        "desired": row["desired"],
        "title": row["title"],
        "progress": row["progress"],
        "step": row["step"],
        "attempt": row["attempt"],
        "last_seq": row["last_seq"],
        "model": row["model"],
        "priority": row["priority"],
        "owner_device": row["owner_device"],
        "device": row["device"],
        "contested": bool(row["contested"]),
        "created_at": rfc3339(row["created_at"]),
        "updated_at": rfc3339(row["updated_at"]),
        "finished_at": None if row["finished_at"] is None else rfc3339(row["finished_at"]),
        "parent_id": row["parent_id"],
    }
    if row["held"] and row["lacking"] and not row["remote"] and row["state"] == "created":
        shown["waiting"] = _coming(row["lacking"])
    omitted = []
    coming = row["remote"] or row["held"]  # what it needs may still be on another device
    for name in _PAYLOADS:
        column = row[name]
        if column is None:
            shown.setdefault(name, None)
        elif reference(column) is None or (whole and (not coming or blobs.has(column))):
            shown[name] = blobs.value(column)
        else:
            shown[name] = None
            omitted.append(name)
    if omitted:
        shown["omitted"] = omitted
    return shown


def _coming(count: int) -> dict[str, Any]:
    """Return what is told of a job that waits until other devices have sent what it needs."""
    what, verb = ("a part", "lies") if count == 1 else (f"{count} parts", "lie")
    return {
        "reason": "payload",
        "message": f"The job waits for {what} of it that {verb} on another of your devices. It "
        "goes on by itself once a device is reached that has it: regend devices list",
    }
