"""A clock that is set while the daemon runs, or between two runs: nobody is locked out by it."""

from __future__ import annotations

import pytest

from tests.api.conftest import API, REAL, Running, SettableClock, Start
from tests.api.rawstream import RawStream

DAY_S = 24 * 3600.0
JUMPS = {"a day back": -DAY_S, "a year forward": 365 * DAY_S}


@pytest.fixture(autouse=True)
def _only_the_wall_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SettableClock, "monotonic_s", lambda _clock: REAL.monotonic_s())


@pytest.mark.parametrize("jump_s", JUMPS.values(), ids=JUMPS)
async def test_a_clock_that_is_set_locks_nobody_out_and_stops_no_job(
    running: Running, jump_s: float
) -> None:
    guest = await running.user("guest")
    before = await running.submit("count", steps=3, sleep_s=0.2)
    async with RawStream(running) as stream:
        await stream.greet()
        running.clock.ahead_s += jump_s
        after = await running.submit("count", steps=1)
        for job in (before, after):
            assert (await running.until(job, "completed"))["attempt"] == 1
        assert (await stream.ask("subscribe", jobs=[]))["ok"]
        newest = (await running.call("GET", f"{API}/jobs/{after}")).json["last_seq"]
        await stream.until(newest)
    seqs = [event["seq"] for event in stream.events]
    assert seqs == list(range(1, len(seqs) + 1)) and newest in seqs
    listed = (await running.call("GET", f"{API}/jobs")).json["jobs"]
    assert [job["id"] for job in listed] == [after, before], "newest first, whatever the clock said"
    assert (await running.call("GET", f"{API}/jobs", token=guest)).status == 200
    ticket = (await running.call("POST", f"{API}/auth/ticket")).json["ticket"]
    assert ticket
    fresh = await running.user("another")
    assert (await running.call("GET", f"{API}/jobs", token=fresh)).status == 200


@pytest.mark.parametrize("jump_s", JUMPS.values(), ids=JUMPS)
async def test_a_daemon_started_under_another_clock_knows_its_owner_and_its_jobs(
    start: Start, monkeypatch: pytest.MonkeyPatch, jump_s: float
) -> None:
    first = await start()
    job = await first.submit("approve", to="asha")
    await first.until(job, "waiting")
    token = first.token
    await first.daemon.stop()
    monkeypatch.setattr(
        SettableClock, "wall_ms", lambda _clock: REAL.wall_ms() + int(jump_s * 1000)
    )
    again = await start()
    assert again.token == token
    (asked,) = (await again.call("GET", f"{API}/approvals")).json["approvals"]
    answer = {"decision": "approve", "action_hash": asked["action_hash"]}
    place = f"{API}/approvals/{asked['id']}"
    assert (await again.call("POST", place, as_json=answer)).status == 200
    assert (await again.until(job, "completed"))["result"] == {"agreed": True}
