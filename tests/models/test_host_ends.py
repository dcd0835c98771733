"""Hosts that are ended for what one user did: who is to blame, and how the others go on."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import aiohttp
import pytest

from regend import limits
from regend.errors import Failed
from regend.models.generation import GenerationRequest
from regend.models.pool import ModelPool
from tests.models.attempts import Attempt, kill_host
from tests.models.test_pool import MODEL, until_no_host_runs


async def test_only_a_lease_that_was_alone_is_to_blame_for_its_hosts_death(
    pool: ModelPool,
) -> None:
    alone = await pool.acquire("")
    assert await pool.is_to_blame(alone), "the host lives: only this answer broke off"
    kill_host(pool)
    assert await pool.is_to_blame(alone)
    pool.release(alone)
    assert not await pool.is_to_blame(alone)

    both = [await pool.acquire(""), await pool.acquire("")]
    kill_host(pool)
    assert [await pool.is_to_blame(lease) for lease in both] == [False, False]
    for lease in both:
        pool.release(lease)
    ended = await pool.acquire("")
    await pool.unload(MODEL)
    assert not await pool.is_to_blame(ended)
    pool.release(ended)


async def test_after_a_death_under_several_the_next_host_is_lent_to_one_until_that_went_well(
    pool: ModelPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HOST_ALONE_S", 600.0)
    both = [await pool.acquire(""), await pool.acquire("")]
    kill_host(pool)
    await until_no_host_runs(pool)
    for lease in both:
        pool.release(lease)
    first = await pool.acquire("")
    others = [asyncio.create_task(pool.acquire("")) for _ in range(2)]
    await asyncio.sleep(0.3)
    assert pool.running()[0]["busy_slots"] == 1
    pool.release(first)
    for lease in await asyncio.gather(*others):
        assert lease.host_id == first.host_id
        pool.release(lease)


async def test_who_is_alone_on_a_host_after_a_shared_death_keeps_the_others_waiting_only_a_while(
    pool: ModelPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "HOST_ALONE_S", 0.2)
    waited: list[float] = []
    for _ in range(3):
        leases = [await pool.acquire("")]
        started_s = time.monotonic()
        leases.append(await pool.acquire(""))
        waited.append(time.monotonic() - started_s)
        kill_host(pool)
        await until_no_host_runs(pool)
        for lease in leases:
            pool.release(lease)
    assert waited[1] >= 0.15 and waited[2] >= 0.3, "each death doubles the while"


async def test_a_host_that_gives_no_sign_after_a_lease_was_given_back_ends_so_that_others_go_on(
    pool: ModelPool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, bound_s in (("SLOT_STOP_S", 0.1), ("HOST_SILENT_S", 0.5)):
        monkeypatch.setattr(limits, name, bound_s)
    monkeypatch.setattr(limits, "HOST_CONNECT_TIMEOUT_S", 0.5)
    gone, bystander = await pool.acquire(""), await pool.acquire("")
    os.kill(pool.running()[0]["pid"], signal.SIGSTOP)
    pool.release(gone)
    await until_no_host_runs(pool)
    assert "gives no sign of itself" in caplog.text
    assert not await pool.is_to_blame(bystander)
    pool.release(bystander)


async def test_a_host_that_computes_for_nobody_ends_though_nobody_was_cancelled(
    pool: ModelPool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "HOST_CONNECT_TIMEOUT_S", 1.0)
    lease = await pool.acquire("")
    endless = {"name": "a", "schema": {"type": "string", "pattern": "^((((a?){30}){30}){30})$"}}
    body = {
        "messages": [{"role": "user", "content": "Hi."}],
        "response_format": {"type": "json_schema", "json_schema": endless},
        "id_slot": lease.slot,
    }
    headers = {"Authorization": f"Bearer {lease.api_key}"}
    timeout = aiohttp.ClientTimeout(total=3)
    with pytest.raises(TimeoutError):
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
            await session.post(f"{lease.url}/v1/chat/completions", json=body)
    pool.release(lease)
    await until_no_host_runs(pool)
    assert "computes for nobody" in caplog.text


async def test_a_host_whose_lease_ended_well_is_left_alone(
    pool: ModelPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SLOT_STOP_S", 0.1)
    lease = await pool.acquire("")
    pool.release(lease)
    await asyncio.sleep(0.5)
    again = await pool.acquire("")
    assert again.host_id == lease.host_id
    pool.release(again)


async def test_an_answer_whose_schema_holds_the_host_ends_and_says_why(
    pool: ModelPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SCHEMA_SILENT_S", 0.5)
    monkeypatch.setattr(limits, "HOST_CONNECT_TIMEOUT_S", 0.5)
    lease = await pool.acquire("")
    pid = pool.running()[0]["pid"]
    attempt = Attempt(on_chunk=lambda chunk: os.kill(pid, signal.SIGSTOP))
    request = GenerationRequest(
        prompt="A list:", schema={"type": "array", "items": {"type": "integer"}}, max_tokens=90
    )
    with pytest.raises(Failed) as caught:
        await attempt.run(lease, request)
    assert caught.value.code == "schema_too_costly" and attempt.chunks
    pool.release(lease)
    await until_no_host_runs(pool)
