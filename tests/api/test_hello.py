"""Whose fault it is that a hello cannot be answered, which clients tell by the close code."""

from __future__ import annotations

import sqlite3

import pytest

from regend.client import Backoff, StreamEvent
from regend.jobs import history
from tests.api.conftest import Running
from tests.api.log import Log
from tests.api.rawstream import RawStream


async def test_a_store_that_fails_at_a_hello_is_no_fault_of_the_clients(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await Log(running.store).job()
    failures, epoch = 0, history.epoch

    def fail(connection: sqlite3.Connection) -> str:
        nonlocal failures
        failures += 1
        if failures <= 8:
            raise sqlite3.OperationalError("disk I/O error")
        return epoch(connection)

    monkeypatch.setattr(history, "epoch", fail)
    async with RawStream(running) as stream:
        await stream.send(op="hello", after_seq=0)
        assert await stream.closed() == 1011
        assert "disk" in stream.reason
    quick = Backoff(first_s=0.005, last_s=0.05)
    async with running.client().stream(after_seq=0, backoff=quick) as items:
        event = await anext(items)
    assert isinstance(event, StreamEvent) and event.job_id == job.id
