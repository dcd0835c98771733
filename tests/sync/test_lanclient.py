"""What an answer from the network can make of a call: a channel, or an error, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from regend.errors import NotAllowed, RegendError, Retryable
from regend.limits import MIB
from regend.sync.lanclient import connect_for_pairing
from regend.sync.tls import server_context
from tests.sync.devices import make_device


@contextlib.asynccontextmanager
async def answering(folder: Path, answer: bytes) -> AsyncIterator[int]:
    """Lend the port of a stranger that says this by TLS to whoever calls."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await reader.read()
        writer.transport.abort()

    context = server_context(make_device(folder).credentials, [])
    server = await asyncio.start_server(say, "127.0.0.1", 0, ssl=context)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_nobody_who_is_called_leads_a_device_elsewhere(tmp_path: Path, status: int) -> None:
    calls: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(await reader.read(100))
        writer.transport.abort()

    elsewhere = await asyncio.start_server(note, "127.0.0.1", 0)
    there = elsewhere.sockets[0].getsockname()[1]
    answer = f"HTTP/1.1 {status} x\r\nLocation: http://127.0.0.1:{there}/admin\r\n\r\n"
    async with answering(tmp_path, answer.encode()) as port:
        with pytest.raises(NotAllowed) as error:
            await connect_for_pairing("127.0.0.1", port)
    assert error.value.code == "not_inviting"
    elsewhere.close()
    await elsewhere.wait_closed()
    assert not calls


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 101 x\r\n\r\n",
        b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 x\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b" + bytes(100),
        b"HTTP/1.1 101 x\r\nX: " + b"y" * MIB,
        b"HTTP/1.1 101 x\r\n" + b"X: y\r\n" * 100_000,
        b"HTTP/1.1 100 x\r\n\r\n" * 10_000,
        b"\x16\x03\x01\xff\xff" + bytes(9000),
    ],
)
async def test_whatever_is_answered_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    monkeypatch.setattr("regend.sync.lanclient.LINK_CONNECT_S", 0.5)
    async with answering(tmp_path, answer) as port:
        with pytest.raises(RegendError) as error:
            await connect_for_pairing("127.0.0.1", port)
    assert isinstance(error.value, (NotAllowed, Retryable))
    assert "<" not in error.value.message
