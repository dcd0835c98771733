"""Readers that do not read: what waits for them is bounded in time and in memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from regend.api.outflow import Outflow
from tests.api.conftest import API, Running

JOBS = f"{API}/jobs"
INPUT_BYTES = 6_000_000


@pytest.fixture
def outflow(running: Running) -> Outflow:
    return running.daemon._server._outflow


async def stalled(running: Running, path: str, times: int = 1, more: str = "") -> socket.socket:
    """Return a connection that asks so often for an answer and reads nothing of it."""
    loop = asyncio.get_running_loop()
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    line.setblocking(False)
    await loop.sock_connect(line, ("127.0.0.1", running.port))
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n"
        f"Authorization: Bearer {running.token}\r\n{more}\r\n"
    )
    await loop.sock_sendall(line, request.encode() * times)
    return line


async def waiting(outflow: Outflow, connections: int) -> None:
    """Wait until something waits for the readers of so many connections."""
    async with asyncio.timeout(20):
        while sum(t.get_write_buffer_size() > 0 for t in outflow._unread) < connections:
            await asyncio.sleep(0.01)


async def cut(outflow: Outflow) -> None:
    """Let readers have little time, and wait until the daemon is rid of all that read nothing."""
    outflow._stall_s = 0.3
    outflow._look()
    async with asyncio.timeout(20):
        while any(t.get_write_buffer_size() for t in outflow._unread):
            await asyncio.sleep(0.01)


async def emptied(outflow: Outflow) -> None:
    """Wait until no large answer is held any more."""
    async with asyncio.timeout(20):
        while outflow._taken_bytes:
            await asyncio.sleep(0.01)


async def rest(line: socket.socket) -> int:
    """Return how many bytes can still be read of a connection that the daemon has left."""
    loop, got = asyncio.get_running_loop(), 0
    with contextlib.suppress(ConnectionResetError):
        async with asyncio.timeout(20):
            while piece := await loop.sock_recv(line, 65536):
                got += len(piece)
    line.close()
    return got


async def test_whoever_does_not_read_an_answer_is_cut_and_what_waited_is_let_go(
    running: Running, outflow: Outflow
) -> None:
    job = await running.submit("count", steps=0, ballast="x" * INPUT_BYTES)
    lines = [await stalled(running, f"{JOBS}/{job}") for _ in range(3)]
    await waiting(outflow, 3)
    assert outflow._taken_bytes > 3 * INPUT_BYTES
    unread = [transport.get_write_buffer_size() for transport in outflow._unread]
    assert max(unread) < 1_000_000, "an answer is in memory once"
    assert (await running.call("GET", f"{JOBS}/{job}")).json["id"] == job, "others are served"
    await cut(outflow)
    for line in lines:
        assert await rest(line) < INPUT_BYTES
    await emptied(outflow)


async def test_answers_too_small_to_be_waited_for_are_cut_too(
    running: Running, outflow: Outflow
) -> None:
    line = await stalled(running, f"{API}/openapi.json", times=300)
    await waiting(outflow, 1)
    await cut(outflow)
    size = len((await running.call("GET", f"{API}/openapi.json")).body)
    assert await rest(line) < 300 * size


async def test_a_slow_reader_that_reads_gets_its_whole_answer(
    running: Running, outflow: Outflow
) -> None:
    job = await running.submit("count", steps=0, ballast="x" * INPUT_BYTES)
    outflow._stall_s = 1.0
    outflow._look()
    line = await stalled(running, f"{JOBS}/{job}", more="Connection: close\r\n")
    await waiting(outflow, 1)
    loop, got, rests = asyncio.get_running_loop(), 0, 0
    while piece := await loop.sock_recv(line, 65536):
        got += len(piece)
        if got > (rests + 1) * INPUT_BYTES / 20:  # in all longer than a stall, but never so long
            rests += 1
            await asyncio.sleep(0.08)
    line.close()
    assert got > INPUT_BYTES


async def test_large_answers_are_refused_while_too_much_waits_and_small_ones_are_not(
    running: Running, outflow: Outflow
) -> None:
    job = await running.submit("count", steps=0, ballast="x" * INPUT_BYTES)
    outflow._room_bytes = 2 * INPUT_BYTES
    line = await stalled(running, f"{JOBS}/{job}")
    await waiting(outflow, 1)
    refused = await running.call("GET", f"{JOBS}/{job}")
    assert (refused.status, refused.error["code"]) == (503, "answers_waiting")
    assert refused.error["retryable"] and int(refused.headers["Retry-After"]) >= 1
    assert (await running.call("GET", JOBS)).status == 200
    line.close()
    await emptied(outflow)
    outflow._room_bytes = 1
    assert (await running.call("GET", f"{JOBS}/{job}")).status == 200, "one alone is always taken"
