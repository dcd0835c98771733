"""A connected server that sends in odd pieces is understood; one that sends nonsense is told off.

Whatever it sends, the worker that reads it keeps within its memory, and the job ends with a reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from regend import limits
from regend.errors import Failed, RegendError
from regend.models.generation import GenerationRequest
from tests.models.attempts import Attempt
from tests.models.test_providers import lease_of

ASK = GenerationRequest(messages=[{"role": "user", "content": "?"}], max_tokens=9)
TEXT = "नमस्ते, 😀 दुनिया! \u2028 é"
DONE = b"data: [DONE]\n\n"


def event(text: str = "", **more: Any) -> bytes:
    choice = {"delta": {"content": text}, "finish_reason": more.pop("finish", None)}
    body = json.dumps({"choices": [choice], **more}, ensure_ascii=False)
    return f"data: {body}\n\n".encode()


END = event(finish="stop")


@contextlib.asynccontextmanager
async def sending(
    *pieces: bytes, repeat: bytes = b"", status: bytes = b"200 OK"
) -> AsyncIterator[str]:
    """Serve one answer: these pieces, each by itself, and then `repeat` without end."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length: ")[2].split()[0]))
        writer.write(b"HTTP/1.1 %s\r\nContent-Type: text/event-stream\r\n\r\n" % status)
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            while repeat:
                writer.write(repeat)
                await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def heard(*pieces: bytes, repeat: bytes = b"") -> tuple[Attempt, str]:
    attempt = Attempt()
    async with sending(*pieces, repeat=repeat) as url, asyncio.timeout(60):
        result = await attempt.run(lease_of(url), ASK)
    return attempt, result.text


async def refused(*pieces: bytes, repeat: bytes = b"", status: bytes = b"200 OK") -> RegendError:
    async with sending(*pieces, repeat=repeat, status=status) as url, asyncio.timeout(60):
        with pytest.raises(RegendError) as caught:
            await Attempt().run(lease_of(url), ASK)
    return caught.value


async def test_text_cut_inside_its_characters_arrives_whole() -> None:
    wire = event(TEXT) + event(TEXT) + END + DONE
    attempt, text = await heard(*(wire[place : place + 1] for place in range(len(wire))))
    assert text == attempt.text == TEXT * 2


async def test_escaped_text_comments_and_unknown_fields_are_understood() -> None:
    escaped = json.dumps({"choices": [{"delta": {"content": TEXT}, "x": 1}], "y": 2})
    wire = f": still here\n\nid: 7\nretry: 5\ndata: {escaped}\r\n\r\n".encode()
    _, text = await heard(wire + END + DONE)
    assert text == TEXT


async def test_an_end_without_a_last_line_break_is_an_end() -> None:
    _, text = await heard(event("whole") + END + b"data: [DONE]")
    assert text == "whole"


@pytest.mark.parametrize("cut", [b"", b'data: {"choices": [{"del', b"data: "])
async def test_an_answer_that_breaks_off_is_asked_for_again(cut: bytes) -> None:
    error = await refused(event("half") + cut)
    assert (error.code, error.retryable) == ("model_server_unreachable", True)


@pytest.mark.parametrize(
    "line",
    [
        *(b"<html>", b'"text"', b"7", b"[]", b"{", b"", b'{"choices": 5}', b'{"choices": [5]}'),
        *(b'{"choices": [{"delta": {"content": 5}}]}', b'{"choices": [{"delta": "text"}]}'),
        b'{"choices": [{"delta": {"content": "\xff\xfe"}}]}',
        b'{"choices": [{"delta": {"content": "\\ud83d"}}]}',
        b'{"choices": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b"[" * 100_000,
        b'{"choices": [], "usage": "much"}',
    ],
    ids=lambda line: line[:40].decode("latin-1"),
)
async def test_what_is_no_answer_is_told_with_the_remedy(line: bytes) -> None:
    error = await refused(event("so far ") + b"data: " + line + b"\n\n" + END + DONE)
    assert isinstance(error, Failed)
    assert error.code == "model_answer_invalid" and "config.toml" in error.hint


@pytest.mark.parametrize("count", ["NaN", "1e999", "18446744073709551616", "-3", '"x"', "null"])
async def test_a_count_that_is_none_does_not_cost_the_answer(count: str) -> None:
    usage = f'data: {{"choices": [], "usage": {{"completion_tokens": {count}}}}}\n\n'.encode()
    attempt, text = await heard(event("two ") + event("pieces") + END + usage + DONE)
    assert text == attempt.text == "two pieces"


@pytest.mark.parametrize(
    ("first", "repeat"),
    [
        (b"data: ", b"x" * 65536),
        (b"", event("word " * 10_000)),
        (b"", event("a" * 3_000_000)),
    ],
    ids=["a line", "an answer", "an answer of long lines"],
)
async def test_what_never_ends_is_ended(
    first: bytes, repeat: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SERVER_LINE_BYTES", 4_000_000)
    monkeypatch.setattr(limits, "ANSWER_CHARACTERS", 5_000_000)
    error = await refused(first, repeat=repeat)
    assert error.code in ("model_answer_invalid", "model_answer_too_long")


async def test_one_line_of_fifty_megabytes_is_refused() -> None:
    error = await refused(event("x" * 50_000_000) + END + DONE)
    assert error.code in ("model_answer_invalid", "model_answer_too_long")


async def test_a_refusal_that_is_no_json_is_told_as_it_came() -> None:
    for said in (b"[" * 50_000, b"<h1>No", b'"No"', b'{"error": [1]}'):
        error = await refused(said, status=b"400 Bad Request")
        assert error.code == "model_request_refused" and error.message
