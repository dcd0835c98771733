"""The WebSocket, sentence by sentence of the contract."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sqlite3
from typing import Any

import pytest
from aiohttp import WSMsgType

from regend.api import hub as hub_module
from regend.client import Backoff, Snapshot, StreamEvent
from regend.config import LimitsConfig, ServerConfig
from regend.jobs import history
from regend.limits import CLIENT_COMMANDS_BURST, CLIENT_FRAME_BYTES
from tests.api.conftest import API, Running, Start
from tests.api.log import Log
from tests.api.rawstream import RawStream


@pytest.fixture
def log(running: Running) -> Log:
    return Log(running.store)


def seqs(events: list[dict[str, Any]]) -> list[int]:
    return [event["seq"] for event in events]


async def test_hello_is_answered_with_the_present_even_when_nothing_ever_happened(
    running: Running,
) -> None:
    async with RawStream(running) as stream:
        hello = await stream.greet(after_seq=None)
        assert hello == {
            "op": "hello", "epoch": hello["epoch"], "seq": 0, "resumed": False, "gap": None,
        }  # fmt: skip
    async with RawStream(running) as stream:
        again = await stream.greet(after_seq=0, epoch=hello["epoch"])
        assert (again["epoch"], again["resumed"]) == (hello["epoch"], True)


async def test_between_subscribing_and_live_there_is_neither_gap_nor_duplicate(
    running: Running, log: Log
) -> None:
    job = await log.job()
    stop = asyncio.Event()

    async def keep_writing() -> None:
        while not stop.is_set():
            await log.append(job, 7)

    writing = asyncio.create_task(keep_writing())
    streams = []
    for number in range(20):
        stream = await RawStream(running).__aenter__()
        await stream.greet(after_seq=0 if number % 2 else None)
        streams.append(stream)
    stop.set()
    await writing
    told = await log.all()
    for stream in streams:
        await stream.until(told[-1]["seq"])
        first = stream.events[0]["seq"]
        assert stream.events == [event for event in told if event["seq"] >= first]
        assert first == (1 if stream.hello["resumed"] else stream.hello["seq"] + 1)
        await stream.socket.close()


async def test_a_client_gets_the_jobs_it_named_and_only_its_own(running: Running, log: Log) -> None:
    mine, other, theirs = await log.job(), await log.job(), await log.job("stranger")
    stranger = await running.user("stranger")
    async with RawStream(running) as one, RawStream(running, stranger) as two:
        await one.greet(jobs=[mine.id, theirs.id])
        await two.greet()
        for job in (mine, other, theirs, mine):
            await log.append(job, 3)
        end = (await log.all())[-1]["seq"]
        await one.until(end)
        assert {event["job_id"] for event in one.events} == {mine.id}
        assert len(one.events) == 7
        assert one.events == [event for event in await log.all() if event["job_id"] == mine.id]
        await log.append(theirs)
        await two.until(end + 1)
        assert {event["job_id"] for event in two.events} == {theirs.id}


async def test_subscriptions_change_from_the_told_position_on(running: Running, log: Log) -> None:
    first, second = await log.job(), await log.job()
    async with RawStream(running) as stream:
        await stream.greet(after_seq=None, jobs=[first.id])
        await log.append(second, 5)
        reply = await stream.ask("subscribe", jobs=[second.id])
        assert reply["ok"] and set(reply["jobs"]) == {first.id, second.id}
        await log.append(second, 2)
        end = (await log.all())[-1]["seq"]
        await stream.until(end)
        assert seqs(stream.events) == [seq for seq in (end - 1, end) if seq > reply["seq"]]
        reply = await stream.ask("unsubscribe", jobs=[second.id])
        assert reply["jobs"] == [first.id]
        await log.append(second)
        await log.append(first)
        await stream.until(end + 2)
        assert seqs(stream.events)[-1] == end + 2 and end + 1 not in seqs(stream.events)
    async with RawStream(running) as stream:
        await stream.greet()
        assert (await stream.ask("unsubscribe", jobs=[first.id]))["error"]["code"] == "follows_all"
        bad: list[Any] = [None, "x", [1], {}]
        for unfit in bad:
            reply = await stream.ask("subscribe", jobs=unfit)
            assert reply["error"]["code"] == "invalid_field"


async def test_what_was_compacted_is_told_as_a_gap_with_the_jobs_as_they_are(
    running: Running, log: Log
) -> None:
    job = await log.job()
    await log.append(job, 20)
    await log.end(job)
    later = await log.job()
    floor = await log.compact()
    assert floor == 21
    async with RawStream(running) as stream:
        hello = await stream.greet(after_seq=5)
        assert hello["gap"] == {"from": 6, "to": floor}
        assert stream.snapshot is not None
        assert [one["id"] for one in stream.snapshot] == [later.id, job.id]
        await log.append(later)
        end = (await log.all())[-1]["seq"]
        await stream.until(end)
        assert seqs(stream.events) == list(range(floor + 1, end + 1))
    async with RawStream(running) as stream:
        assert (await stream.greet(after_seq=floor))["gap"] is None
    client = running.client()
    async with client.stream(after_seq=0) as items:
        snapshot = await anext(items)
        assert isinstance(snapshot, Snapshot) and snapshot.seq == floor
        assert isinstance(await anext(items), StreamEvent)


async def test_another_epoch_and_a_cursor_from_the_future_start_from_the_present(
    running: Running, log: Log
) -> None:
    job = await log.job()
    for after_seq, epoch in ((1, "another"), (0, "another"), (10**15, None), (2**63 - 1, "x")):
        async with RawStream(running) as stream:
            hello = await stream.greet(after_seq=after_seq, epoch=epoch)
            assert hello["resumed"] is False and hello["gap"] is None
            assert (stream.snapshot is not None) == (epoch is not None)
            await log.append(job)
            await stream.until(hello["seq"] + 1)
            assert seqs(stream.events) == [hello["seq"] + 1]


async def test_a_restored_history_makes_a_client_start_anew(running: Running, log: Log) -> None:
    job = await log.job()
    await log.append(job, 3)

    def restore(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE settings SET value = 'restored' WHERE name = 'epoch'")

    async with RawStream(running) as stream:
        before = await stream.greet()
    await running.store.write(restore)
    async with RawStream(running) as stream:
        hello = await stream.greet(after_seq=2, epoch=before["epoch"])
        assert hello["epoch"] == "restored" and not hello["resumed"]


@pytest.mark.parametrize(
    "first",
    [
        *("", "{", "[]", "null", '{"op":"events"}', '{"op":"hello","after_seq":-1}'),
        *('{"op":"hello","after_seq":"1"}', '{"op":"hello","after_seq":true}'),
        *('{"op":"hello","epoch":1}', '{"op":"hello","jobs":"x"}', '{"op":"hello","jobs":[1]}'),
        *('{"op":"hello","after_seq":1e3}', '{"op":"hello","after_seq":99999999999999999999}'),
        *('{"op":"hello","epoch":"\\ud800"}', '{"op":"' + "क" * 500 + '"}', "[" * 5000),
    ],
)
async def test_what_is_no_hello_is_closed_with_a_reason(running: Running, first: str) -> None:
    async with RawStream(running) as stream:
        await stream.socket.send_str(first)
        assert await stream.closed() == 4400
        assert 0 < len(stream.reason.encode()) <= 123


async def test_a_binary_frame_is_refused(running: Running) -> None:
    async with RawStream(running) as stream:
        await stream.socket.send_bytes(b"{}")
        assert await stream.closed() == 4400
    async with RawStream(running) as stream:
        await stream.greet()
        await stream.socket.send_bytes(b"{}")
        assert await stream.closed() == 1003


async def test_commands_start_and_steer_jobs(running: Running) -> None:
    async with RawStream(running) as stream:
        await stream.greet()
        start = {"type": "approve", "input": {"to": "x"}, "idempotency_key": "k"}
        first = await stream.ask("start", **start)
        again = await stream.ask("start", **start)
        assert first["ok"] and first["job"]["id"] == again["job"]["id"]
        job = first["job"]["id"]
        clash = await stream.ask("start", **{**start, "input": {"to": "y"}})
        assert clash["error"]["code"] == "idempotency_conflict"
        await running.until(job, "waiting")
        refused = await stream.ask("resume", job_id=job)
        assert refused["error"]["code"] == "approval_pending" and refused["error"]["hint"]
        assert (await stream.ask("cancel", job_id=job))["job"]["state"] == "cancelled"
        types = [event["type"] for event in stream.events]
        while "job:cancelled:v1" not in types:
            await stream.frame()
            types = [event["type"] for event in stream.events]


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ({"op": "dance"}, "unknown_op"),
        ({"op": None}, "unknown_op"),
        ({"op": ["start"]}, "unknown_op"),
        ({"op": "start"}, "unknown_job_type"),
        ({"op": "start", "type": "count", "idempotency_key": 7}, "invalid_field"),
        ({"op": "start", "type": "count", "idempotency_key": "x" * 256}, "idempotency_key"),
        ({"op": "start", "type": "count", "more": 1}, "unknown_field"),
        ({"op": "cancel"}, "invalid_field"),
        ({"op": "cancel", "job_id": 7}, "invalid_field"),
        ({"op": "pause", "job_id": ""}, "job_not_found"),
        ({"op": "resume", "job_id": "nope", "choice": {}}, "job_not_found"),
        ({"op": "cancel", "job_id": "nope", "idempotency_key": 7}, "invalid_field"),
        ({"op": "pause", "job_id": "nope", "idempotency_key": ""}, "idempotency_key"),
    ],
)
async def test_a_bad_command_is_answered_and_the_stream_goes_on(
    running: Running, command: dict[str, Any], code: str
) -> None:
    async with RawStream(running) as stream:
        await stream.greet()
        await stream.send(id="c", **command)
        reply = await stream.reply("c")
        assert (reply["ok"], reply["error"]["code"]) == (False, code)
        assert (await stream.ask("subscribe", jobs=[]))["ok"]
        for broken in ("[]", "{", "7"):
            await stream.socket.send_str(broken)
            frame = await stream.frame()
            assert (frame["op"], frame["id"], frame["ok"]) == ("reply", None, False)


async def test_scope_owner_and_pace_hold_on_the_stream_too(start: Start) -> None:
    running = await start(limits=LimitsConfig(research_per_minute=1, requests_per_minute=0))
    job = await running.submit("approve", to="x")
    reader = await running.user("owner", "jobs:read")
    async with RawStream(running, reader) as stream:
        await stream.greet()
        assert (await stream.ask("cancel", job_id=job))["error"]["code"] == "scope"
    async with RawStream(running, await running.user("stranger")) as stream:
        await stream.greet()
        assert (await stream.ask("cancel", job_id=job))["error"]["code"] == "job_not_found"
        ask = {"type": "research", "input": {"question": "?"}}
        assert (await stream.ask("start", **ask, idempotency_key="a"))["ok"]
        refused = await stream.ask("start", **ask, idempotency_key="b")
        assert refused["error"]["code"] == "rate_limited"
        assert refused["error"]["retry_after_s"] > 0
        assert (await stream.ask("start", **ask, idempotency_key="a"))["ok"], "a repeat is answered"


async def test_a_revoked_token_ends_its_streams(running: Running, log: Log) -> None:
    job = await log.job("guest")
    made = await running.call(
        "POST", f"{API}/tokens", as_json={"user": "guest", "scope": "jobs:read"}
    )
    sse = await running.session.get(
        f"{running.url}{API}/jobs/{job.id}/events",
        headers={
            "Authorization": f"Bearer {made.json['token']}",
            "Accept": "text/event-stream",
        },
    )
    async with RawStream(running, made.json["token"]) as stream:
        await stream.greet()
        assert (await running.call("DELETE", f"{API}/tokens/{made.json['id']}")).status == 204
        await log.append(job)
        assert await stream.closed() == 4401
        assert all(event["type"] == "job:created:v1" for event in stream.events)
    async with asyncio.timeout(20):
        text = (await sse.read()).decode()
    assert "job:created:v1" in text and "model:chunk:v1" not in text


async def test_an_expired_token_commands_nothing(running: Running) -> None:
    short = await running.user("guest", expires_s=50)
    async with RawStream(running, short) as stream:
        await stream.greet()
        running.clock.ahead_s += 51
        await stream.send(op="start", id="c", type="count", input={})
        assert await stream.closed() == 4401
    guest = await running.user("guest")
    assert (await running.call("GET", f"{API}/jobs", token=guest)).json["jobs"] == []


async def test_a_flood_of_commands_is_closed_and_told_when_to_come_back(running: Running) -> None:
    async with RawStream(running) as stream:
        await stream.greet()
        for number in range(CLIENT_COMMANDS_BURST + 200):
            if stream.socket.closed:
                break
            await stream.send(op="subscribe", id=str(number), jobs=[])
        assert await stream.closed() == 4429
        assert json.loads(stream.reason)["retry_after_s"] > 0


@pytest.mark.parametrize("greeted", [False, True])
async def test_pings_are_answered_and_a_flood_of_them_is_closed(
    running: Running, greeted: bool
) -> None:
    async with RawStream(running, autoping=False) as stream:
        if greeted:
            await stream.greet()
        await stream.socket.ping(b"there?")
        answer = await stream.socket.receive()
        assert (answer.type, bytes(answer.data)) == (WSMsgType.PONG, b"there?")
        for _ in range(CLIENT_COMMANDS_BURST + 200):
            if stream.socket.closed:
                break
            with contextlib.suppress(ConnectionError):
                await stream.socket.ping()
        while answer.type is WSMsgType.PONG:
            answer = await stream.socket.receive()
        assert (answer.type, answer.data) == (WSMsgType.CLOSE, 4429)
        assert json.loads(answer.extra or "")["retry_after_s"] > 0


async def test_an_oversized_frame_is_closed_with_1009(running: Running) -> None:
    async with RawStream(running) as stream:
        await stream.greet()
        await stream.socket.send_str("x" * (CLIENT_FRAME_BYTES + 10))
        assert await stream.closed() == 1009


async def stalled_socket(running: Running) -> socket.socket:
    """Return a stream that said hello and will not read, with small buffers on its side."""
    loop = asyncio.get_running_loop()
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.setblocking(False)
    await loop.sock_connect(line, ("127.0.0.1", running.port))
    hello = b'{"op":"hello","epoch":null,"after_seq":0,"jobs":null}'
    request = (
        f"GET {API}/ws HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nAuthorization: Bearer {running.token}\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    frame = bytes((0x81, 0x80 | len(hello), 0, 0, 0, 0)) + hello
    await loop.sock_sendall(line, request.encode() + frame)
    return line


async def test_a_client_that_does_not_read_is_closed_and_others_never_wait(
    running: Running, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "CLIENT_STALL_S", 0.5)
    job = await log.job()
    hub = running.daemon._hub
    line = await stalled_socket(running)
    while not hub._live:
        await asyncio.sleep(0.01)
    (stalled,) = next(iter(hub._live.values()))
    async with RawStream(running) as reader:
        await reader.greet()
        most = 0
        for _ in range(60):
            await log.append(job, 40, size=2000)
            most = max(most, stalled.unread)
            end = await running.store.query(history.newest_seq)
            await reader.until(end)
        async with asyncio.timeout(20):
            while len(hub) > 1:
                await asyncio.sleep(0.02)
        assert seqs(reader.events) == list(range(1, end + 1))
    async with asyncio.timeout(20):
        while running.daemon._streams._open:
            await asyncio.sleep(0.02)
    assert stalled.transport.is_closing(), "its line is cut, read or not"
    assert most < 4 * 2**20
    line.close()


async def test_who_reads_slowly_is_told_its_resume_point_and_goes_on_without_gap(
    running: Running, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "CLIENT_STALL_S", 0.3)
    monkeypatch.setattr(hub_module, "_LAGGING_BYTES", 4096)
    job = await log.job()
    async with RawStream(running) as slow:
        await slow.greet()
        connection = next(c for several in running.daemon._hub._live.values() for c in several)
        connection.transport.set_write_buffer_limits(high=1024)
        # Nobody reads for a while; then all is read up to the reason.
        monkeypatch.setattr(type(connection), "unread", property(lambda _self: 5000))
        await log.append(job, 50)
        while (await slow.frame())["op"] != "closed":
            pass
        assert slow.code == 4008
        resume = json.loads(slow.reason)["after_seq"]
        monkeypatch.undo()
        assert slow.events[-1]["seq"] == resume
    await log.append(job, 5)
    async with RawStream(running) as again:
        await again.greet(after_seq=resume, epoch=slow.hello["epoch"])
        end = (await log.all())[-1]["seq"]
        await again.until(end)
    assert seqs(slow.events + again.events) == list(range(1, end + 1))


async def test_large_events_reach_a_client_that_reads(running: Running, log: Log) -> None:
    job = await log.job()
    async with RawStream(running) as stream:
        await stream.greet()
        await log.append(job, 120, size=80_000)
        end = (await log.all())[-1]["seq"]
        await stream.until(end)
        assert seqs(stream.events) == list(range(1, end + 1))


async def test_a_client_of_the_library_sees_all_through_restarts_of_the_daemon(
    start: Start,
) -> None:
    running = await start()
    log = Log(running.store)
    job = await log.job()
    backoff = Backoff(first_s=0.05, last_s=0.2, flood_s=0.1)
    client = running.client()
    seen: list[int] = []
    port = running.port
    async with client.stream(after_seq=0, backoff=backoff) as stream:
        for _ in range(3):
            await log.append(job, 30)
            end = (await log.all())[-1]["seq"]
            while not seen or seen[-1] < end:
                seen.append((await anext(stream)).seq)
            await running.daemon.stop()
            running = await start(server=ServerConfig(port=port))
            log = Log(running.store)
    assert seen == list(range(1, seen[-1] + 1))
