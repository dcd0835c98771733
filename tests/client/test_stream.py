"""The Python stream over real sockets, against a server that does its worst."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

import pytest

from regend.client import Backoff, Client, Restarted, Snapshot, Stream, StreamEvent
from regend.errors import Failed, NotAuthenticated, NotFound, Retryable
from regend.home import Home
from regend.limits import STREAM_BUFFER_BYTES
from regend.store.lock import HomeLock
from tests.client.chaos import Seen, assert_each_once, assert_exact, rage
from tests.client.hostile_server import TOKEN, Faults, History, HostileServer

QUICK = Backoff(first_s=0.005, last_s=0.05, flood_s=0.02)


@pytest.fixture
async def server() -> AsyncIterator[HostileServer]:
    server = HostileServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(server: HostileServer) -> AsyncIterator[Client]:
    async with Client(url=server.url, token=TOKEN) as client:
        yield client


async def follow(stream: Stream, seen: Seen) -> None:
    async for item in stream:
        take(item, seen)


def take(item: object, seen: Seen) -> None:
    match item:
        case StreamEvent():
            seen.events.append(asdict(item))
        case Snapshot(gap=gap) if gap is not None:
            seen.gaps.append((gap.first, gap.last))
        case Restarted(epoch=epoch):
            seen.events.clear()
            seen.gaps.clear()
            seen.restarts.append(epoch)


async def until_seen(server: HostileServer, seen: Seen) -> None:
    async with asyncio.timeout(60):
        while seen.seq != server.history.seq:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("seed", range(8))
async def test_after_a_storm_the_client_has_exactly_the_log_and_each_command_ran_once(
    server: HostileServer, client: Client, seed: int
) -> None:
    seen = Seen()
    async with client.stream(after_seq=0, backoff=QUICK) as stream:
        reader = asyncio.create_task(follow(stream, seen))
        commands = [
            asyncio.create_task(stream.start("chat", {"prompt": f"{number}"}))
            for number in range(15)
        ]
        await rage(server, seed, epochs=seed % 2 == 0)
        await until_seen(server, seen)
        async with asyncio.timeout(60):
            jobs = await asyncio.gather(*commands)
    await reader
    assert_exact(server, seen)
    assert_each_once(server, 15)
    assert len({job["id"] for job in jobs}) == 15


async def test_the_storms_really_restart_compact_and_repeat(
    server: HostileServer, client: Client
) -> None:
    seen, restarts, gaps = Seen(), 0, 0
    async with client.stream(after_seq=0, backoff=QUICK) as stream:
        reader = asyncio.create_task(follow(stream, seen))
        for seed in range(4):
            await rage(server, 100 + seed, rounds=12, epochs=True)
            await until_seen(server, seen)
            restarts, gaps = len(seen.restarts), gaps + len(seen.gaps)
    await reader
    assert restarts > 0 and gaps > 0 and len(server.hellos) > 10


async def test_a_stream_from_now_on_has_what_came_after_it_was_connected(
    server: HostileServer, client: Client
) -> None:
    await server.append(10)
    async with client.stream(backoff=QUICK) as stream:
        assert await stream.connected() == server.history.seq
        server.cut_all()
        await server.append(3)
        items = [await anext(stream) for _ in range(3)]
    assert [item.seq for item in items] == [one["seq"] for one in server.history.events[-3:]]


async def test_a_position_kept_by_the_program_is_gone_on_from(
    server: HostileServer, client: Client
) -> None:
    await server.append(10)
    async with client.stream(after_seq=0) as stream:
        for _ in range(4):
            await anext(stream)
        epoch, seq = stream.epoch, stream.seq
    async with client.stream(after_seq=seq, epoch=epoch) as stream:
        assert (await anext(stream)).seq == server.history.events[4]["seq"]


async def test_commands_given_offline_are_carried_out_once_after_the_daemon_is_back(
    server: HostileServer, client: Client
) -> None:
    async with client.stream(backoff=QUICK) as stream:
        await stream.connected()
        await server.stop()
        commands = [asyncio.create_task(stream.cancel(f"j{number}")) for number in range(40)]
        await asyncio.sleep(0.05)
        await server.start()
        jobs = await asyncio.gather(*commands)
    assert [job["id"] for job in jobs] == [f"j{number}" for number in range(40)]
    assert_each_once(server, 40)


async def test_a_reader_that_does_not_read_bounds_memory_and_still_gets_answers(
    server: HostileServer, client: Client
) -> None:
    server.batch_length = 32
    await server.append(1000, text_length=20_000)
    whole = sum(len(one["data"]["text"]) for one in server.history.events)
    assert whole > 4 * STREAM_BUFFER_BYTES
    seen = Seen()
    async with client.stream(after_seq=0, backoff=QUICK) as stream:
        take(await anext(stream), seen)
        for number in range(5):
            await asyncio.wait_for(stream.pause(f"j{number}"), 20)
            await asyncio.sleep(0.05)
        largest_frame = 32 * 120_000
        assert stream._buffered_bytes < STREAM_BUFFER_BYTES + largest_frame
        reader = asyncio.create_task(follow(stream, seen))
        await until_seen(server, seen)
    await reader
    assert_exact(server, seen)
    assert_each_once(server, 5)


async def test_a_slow_reader_slows_the_daemon_instead_of_filling_memory(
    server: HostileServer, client: Client
) -> None:
    server.batch_length = 32
    await server.append(1000, text_length=20_000)
    seen, largest = Seen(), 0.0
    async with client.stream(after_seq=0, backoff=QUICK) as stream:
        for _ in range(5):
            take(await anext(stream), seen)
            await asyncio.sleep(0.2)
            largest = max(largest, stream._buffered_bytes)
        reader = asyncio.create_task(follow(stream, seen))
        await until_seen(server, seen)
    await reader
    assert largest < STREAM_BUFFER_BYTES + 32 * 120_000
    assert_exact(server, seen)
    assert len(server.hellos) == 1


async def test_a_huge_frame_arrives_whole(server: HostileServer, client: Client) -> None:
    await server.append(1, text_length=3_000_000)
    async with client.stream(after_seq=0) as stream:
        item = await anext(stream)
    assert isinstance(item, StreamEvent)
    assert item.data == server.history.events[0]["data"]


async def test_a_frame_over_the_bound_ends_the_stream_with_an_error_after_some_tries(
    server: HostileServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regend.client.rest.STREAM_FRAME_BYTES", 10_000)
    await server.append(1, text_length=50_000)
    async with client.stream(after_seq=0, backoff=QUICK) as stream:
        with pytest.raises(Failed, match="cannot be understood"):
            await anext(stream)


@pytest.mark.parametrize(
    "raw",
    ["", "{", "[]", '{"op":"events","events":[{"seq":"1"}]}', "\x00", '{"op":"reply"}', "\ud7ff"],
)
async def test_frames_that_are_none_are_survived(
    server: HostileServer, client: Client, raw: str
) -> None:
    server.raw_after_hello = [raw]
    await server.append(3)
    async with client.stream(after_seq=0, backoff=QUICK) as stream:
        waiting = asyncio.ensure_future(anext(stream))
        while len(server.hellos) < 3:
            await asyncio.sleep(0.005)
        server.raw_after_hello = []
        assert (await waiting).seq == server.history.events[0]["seq"]


async def test_a_revoked_token_ends_the_stream_and_what_waits(
    server: HostileServer, client: Client
) -> None:
    server.close_next_hello = (4401, "")
    async with client.stream() as stream:
        command = asyncio.create_task(stream.cancel("j1"))
        with pytest.raises(NotAuthenticated):
            await anext(stream)
        with pytest.raises(NotAuthenticated):
            await command


async def test_a_wrong_token_ends_the_stream(server: HostileServer) -> None:
    async with Client(url=server.url, token="wrong") as client, client.stream() as stream:
        with pytest.raises(NotAuthenticated):
            await anext(stream)
        with pytest.raises(NotAuthenticated):
            await stream.connected()


async def test_a_refused_command_raises_the_class_of_its_status(
    server: HostileServer, client: Client
) -> None:
    async with client.stream() as stream:
        with pytest.raises(NotFound, match="no such job"):
            await stream.cancel("missing")


async def test_closing_settles_commands_and_ends_the_iteration(
    server: HostileServer, client: Client
) -> None:
    await server.stop()
    async with client.stream() as stream:
        command = asyncio.create_task(stream.cancel("j1"))
        reader = asyncio.create_task(follow(stream, Seen()))
        await asyncio.sleep(0.02)
    await reader
    with pytest.raises(Retryable, match="not known"):
        await command


async def test_two_hundred_streams_opened_and_closed_leave_no_task(
    server: HostileServer, client: Client
) -> None:
    before = len(asyncio.all_tasks())
    for _ in range(200):
        async with client.stream() as stream:
            if _ % 3 == 0:
                await stream.connected()
    await client.close()
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > before:
            await asyncio.sleep(0.02)


async def test_subscriptions_change_and_survive_a_lost_connection(
    server: HostileServer, client: Client
) -> None:
    server.faults = Faults(reply_lost=0.5)
    async with client.stream(jobs=["a"], after_seq=0, backoff=QUICK) as stream:
        await stream.subscribe(["b"])
        await stream.unsubscribe(["a"])
        server.cut_all()
        await server.append(1, job_id="a")
        await server.append(1, job_id="b")
        item = await anext(stream)
    assert isinstance(item, StreamEvent) and item.job_id == "b"
    assert_each_once(server, 2)


async def test_the_daemon_is_found_anew_when_it_comes_back_on_another_port(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.token_file.write_text(TOKEN)
    lock = HomeLock(home.lock_file)
    first, second = HostileServer(), HostileServer()
    first.history = second.history = History()
    await first.start()
    home.daemon_file.write_text(json.dumps({"url": first.url}))
    async with Client(home=home) as client, client.stream(after_seq=0, backoff=QUICK) as stream:
        await first.append(1)
        await anext(stream)
        await first.stop()
        home.daemon_file.unlink()
        await asyncio.sleep(0.05)
        await second.start()
        home.daemon_file.write_text(json.dumps({"url": second.url}))
        await second.append(1)
        assert (await anext(stream)).seq == second.history.seq
    await second.stop()
    lock.release()


async def test_a_job_that_waits_for_a_choice_is_resumed_with_it(
    server: HostileServer, client: Client
) -> None:
    async with client.stream(backoff=QUICK) as stream:
        await stream.resume("j1", "restart")
        await stream.resume("j2")
    given = [(one["job_id"], one["choice"]) for one in server.commands.values()]
    assert given == [("j1", "restart"), ("j2", None)]
