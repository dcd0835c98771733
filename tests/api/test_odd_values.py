"""Values at the edge of JSON on every way in and out: refused with a reason, or the same at all."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from regend.client import StreamEvent
from tests.api.conftest import API, Running
from tests.api.rawstream import RawStream
from tests.jobs.oddities import VALUES, odd_value

JOBS = f"{API}/jobs"
BEYOND_64_BITS = ("2**64", "-2**64", "a hundred digits")


async def by_server_sent_events(running: Running, job: str) -> list[dict[str, Any]]:
    answer = await running.call(
        "GET", f"{JOBS}/{job}/events", headers={"Accept": "text/event-stream"}
    )
    lines = answer.body.decode().split("\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: ")]


async def by_the_library(running: Running, job: str) -> list[dict[str, Any]]:
    async with running.client().stream(jobs=[job], after_seq=0) as stream:
        seen: list[dict[str, Any]] = []
        async for item in stream:
            assert isinstance(item, StreamEvent)
            seen.append({"type": item.type, "data": item.data})
            if item.type == "job:completed:v1":
                break
    return seen


def said(events: list[dict[str, Any]]) -> list[Any]:
    """Return the values that the events of the job carry."""
    return [event["data"]["value"] for event in events if event["type"] == "tool:result:v1"]


@pytest.mark.parametrize("tell", [True, False])
@pytest.mark.parametrize("name", [*VALUES, "deep-50", "deep-95"])
async def test_what_a_worker_says_is_shown_the_same_everywhere_or_refused_with_the_reason(
    running: Running, name: str, tell: bool
) -> None:
    value = odd_value(name)
    job = await running.submit("returns", name=name, tell=tell)
    done = await running.until(job, "completed", "failed")
    if name in BEYOND_64_BITS:
        assert (done["state"], done["attempt"]) == ("failed", 1)
        assert done["error"]["code"] == "json_value" and "64 bits" in done["error"]["message"]
        return
    assert done["result"] == {"value": value}
    (step,) = (await running.call("GET", f"{JOBS}/{job}/steps")).json["steps"]
    assert step["result"] == value
    page = (await running.call("GET", f"{JOBS}/{job}/events")).json["events"]
    async with RawStream(running) as stream:
        await stream.greet()
        await stream.until(page[-1]["seq"])
    for events in (
        page,
        stream.events,
        await by_server_sent_events(running, job),
        await by_the_library(running, job),
    ):
        assert said(events) == [value] * tell
        assert events[-1]["data"]["result"] == {"value": value}


@pytest.mark.parametrize("depth", [99, 100, 500, 940, 10_000, 100_000])
async def test_what_a_worker_nests_too_deeply_fails_its_job_plainly_and_breaks_no_listing(
    running: Running, depth: int
) -> None:
    job = await running.submit("returns", name=f"deep-{depth}")
    done = await running.until(job, "completed", "failed")
    if depth > 99:
        assert (done["state"], done["attempt"]) == ("failed", 1)
        assert done["error"]["code"] == "json_value"
    for path in (f"{JOBS}/{job}", f"{JOBS}/{job}/steps", f"{JOBS}/{job}/events", JOBS):
        assert (await running.call("GET", path)).status == 200, path
    async with RawStream(running) as stream:
        await stream.greet()
        await stream.until(done["last_seq"])
    assert await by_server_sent_events(running, job)


@pytest.mark.parametrize(
    "value",
    [
        *("NaN", "-Infinity", "1e999", "18446744073709551616", "-9223372036854775809", "9" * 5000),
        *('"\\ud800"', '{"\\udfff":1}', "[" * 10_000 + "]" * 10_000, "[" * 30_000),
        '{"a":' * 9_000 + "1" + "}" * 9_000,
    ],
    ids=lambda value: value[:20],
)
async def test_a_command_that_json_cannot_carry_is_answered_and_the_stream_goes_on(
    running: Running, value: str
) -> None:
    async with RawStream(running) as stream:
        await stream.greet()
        await stream.socket.send_str(
            f'{{"op":"start","id":"c1","type":"count","input":{{"x":{value}}}}}'
        )
        reply = await stream.frame()
        assert (reply["op"], reply["ok"]) == ("reply", False)
        assert reply["error"]["code"] in ("json_value", "json_invalid")
        assert reply["error"]["message"]
        assert (await stream.ask("subscribe", jobs=[]))["ok"]
    assert (await running.call("GET", JOBS)).json["jobs"] == []


@pytest.mark.parametrize("value", ["a\x00b", "\u2028\uffff😀", 2**63 - 1, -(2**63 - 1), 5e-324])
async def test_a_command_at_the_edge_of_json_is_carried_out_without_loss(
    running: Running, value: Any
) -> None:
    async with RawStream(running) as stream:
        await stream.greet()
        reply = await stream.ask("start", type="count", input={"steps": 0, "x": value})
        assert reply["job"]["input"]["x"] == value
    job = reply["job"]["id"]
    assert (await running.until(job, "completed"))["input"]["x"] == value


async def test_bytes_that_are_no_text_close_one_stream_and_no_other(running: Running) -> None:
    async with RawStream(running) as other:
        await other.greet()
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(
            f"GET {API}/ws HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nAuthorization: Bearer {running.token}\r\n"
            "Sec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        text = '{"op":"hello","epoch":"नम"}'.encode()[:-4]  # cut inside a character
        writer.write(bytes((0x81, 0x80 | len(text), 0, 0, 0, 0)) + text)
        async with asyncio.timeout(20):
            closing = await reader.read()
        assert closing[0] == 0x88
        assert int.from_bytes(closing[2:4], "big") in (1007, 4400)
        writer.close()
        assert (await other.ask("subscribe", jobs=[]))["ok"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/devices/join", "code"),
        ("/devices/one/rename", "name"),
        ("/models/pull", "name"),
        ("/tokens", "user"),
        ("/auth/session", "code"),
    ],
)
@pytest.mark.parametrize("value", [None, 7])
async def test_a_field_that_is_missing_or_of_another_kind_is_refused_alike_by_every_call(
    running: Running, path: str, field: str, value: Any
) -> None:
    answer = await running.call("POST", API + path, as_json={field: value})
    assert (answer.status, answer.error["code"]) == (400, "invalid_field")
    assert answer.error["field"] == field
    what = "is missing." if value is None else "must be a "
    assert answer.error["message"].startswith(f"“{field}” {what}")
