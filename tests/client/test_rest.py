"""The REST calls over a real socket: what they send, and how answers and errors come back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from regend.client import Client, StreamEvent
from regend.errors import (
    BadInput,
    Busy,
    Conflict,
    Failed,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    RateLimited,
    Refused,
    RegendError,
    Retryable,
    TooLarge,
    WrongMediaType,
)
from regend.home import Home
from regend.store.lock import HomeLock


class Daemon:
    """Answers every call with what it was told to, and keeps what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.answer: web.Response | None = None
        self.reply_with: Callable[[web.Request], Awaitable[web.Response]] | None = None
        self.calls: list[tuple[str, str, Any]] = []
        self.headers: Any = {}

    async def reply(self, request: web.Request) -> web.Response:
        if self.reply_with is not None:
            return await self.reply_with(request)
        if request.content_type == "multipart/form-data":
            body: Any = {name: part.file.read() for name, part in (await request.post()).items()}  # type: ignore[union-attr]
        else:
            text = await request.text()
            body = json.loads(text) if text else None
        self.calls.append((request.method, request.path_qs, body))
        self.headers = request.headers
        return self.answer or web.json_response({})


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    daemon = Daemon()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", daemon.reply)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    daemon.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield daemon
    await runner.cleanup()


@pytest.fixture
async def client(daemon: Daemon) -> AsyncIterator[Client]:
    async with Client(url=daemon.url, token="secret") as client:
        yield client


async def test_creating_a_job_sends_only_what_was_given_and_an_idempotency_key(
    daemon: Daemon, client: Client
) -> None:
    daemon.answer = web.json_response({"id": "j1", "state": "created"}, status=202)
    job = await client.jobs.create("research", {"question": "क्या?"}, title="T", idempotency_key="k")
    assert job["id"] == "j1"
    body = {"type": "research", "input": {"question": "क्या?"}, "title": "T"}
    assert daemon.calls == [("POST", "/api/v1/jobs", body)]
    assert daemon.headers["Idempotency-Key"] == "k"
    assert daemon.headers["Authorization"] == "Bearer secret"


async def test_two_jobs_without_a_key_have_two_keys(daemon: Daemon, client: Client) -> None:
    keys = set()
    for _ in range(2):
        await client.jobs.create("chat", {"prompt": "x"})
        keys.add(daemon.headers["Idempotency-Key"])
    assert len(keys) == 2


async def test_each_call_goes_where_the_contract_says(
    daemon: Daemon, client: Client, tmp_path: Path
) -> None:
    lists = ("jobs", "events", "steps", "checkpoints", "approvals", "documents", "hits")
    daemon.answer = None
    page: dict[str, Any] = {name: [] for name in (*lists, "models", "tokens")}

    async def call(awaitable: Any) -> tuple[str, str, Any]:
        daemon.answer = web.json_response(page)
        await awaitable
        return daemon.calls[-1]

    note = tmp_path / "note.md"
    note.write_bytes(b"# Note")
    api = "/api/v1"
    assert await call(client.jobs.list(state="pending", q="a b")) == (
        "GET",
        f"{api}/jobs?state=pending&q=a+b",
        None,
    )
    assert await call(client.jobs.get("../x?y")) == ("GET", f"{api}/jobs/..%2Fx%3Fy", None)
    for verb in ("cancel", "pause", "resume", "retry", "fork"):
        called = await call(getattr(client.jobs, verb)("j1"))
        assert called == ("POST", f"{api}/jobs/j1/{verb}", {})
    assert await call(client.jobs.fork("j1", 2)) == ("POST", f"{api}/jobs/j1/fork", {"step": 2})
    chosen = await call(client.jobs.resume("j1", "again"))
    assert chosen == ("POST", f"{api}/jobs/j1/resume", {"choice": "again"})
    assert await call(client.jobs.steps("j1")) == ("GET", f"{api}/jobs/j1/steps", None)
    assert await call(client.jobs.checkpoints("j1")) == ("GET", f"{api}/jobs/j1/checkpoints", None)
    assert await call(client.jobs.events("j1", after_seq=4)) == (
        "GET",
        f"{api}/jobs/j1/events?after_seq=4",
        None,
    )
    assert await call(client.approvals.list()) == ("GET", f"{api}/approvals", None)
    assert await call(client.approvals.decide("a1", "deny", "h")) == (
        "POST",
        f"{api}/approvals/a1",
        {"decision": "deny", "action_hash": "h"},
    )
    assert await call(client.library.add_file(note)) == (
        "POST",
        f"{api}/library",
        {"file": b"# Note"},
    )
    assert await call(client.library.add_url("http://x")) == (
        "POST",
        f"{api}/library",
        {"url": "http://x"},
    )
    assert await call(client.library.add_capture("T", "S", text="x")) == (
        "POST",
        f"{api}/library",
        {"title": "T", "source": "S", "text": "x"},
    )
    assert await call(client.library.list()) == ("GET", f"{api}/library?limit=1000", None)
    assert await call(client.library.search("नदी", 3)) == (
        "GET",
        f"{api}/library/search?q=%E0%A4%A8%E0%A4%A6%E0%A5%80&limit=3",
        None,
    )
    assert await call(client.library.remove("d1")) == ("DELETE", f"{api}/library/d1", None)
    assert await call(client.models.list()) == ("GET", f"{api}/models", None)
    assert await call(client.models.running()) == ("GET", f"{api}/models/running", None)
    assert await call(client.models.pull("m")) == ("POST", f"{api}/models/pull", {"name": "m"})
    assert await call(client.models.remove("m")) == ("DELETE", f"{api}/models/m", None)
    assert await call(client.tokens.list()) == ("GET", f"{api}/tokens", None)
    asked = {"user": "me", "scope": ["jobs:read"], "expires_s": 60, "name": ""}
    created = await call(client.tokens.create("me", ["jobs:read"], expires_s=60))
    assert created == ("POST", f"{api}/tokens", asked)
    assert await call(client.tokens.revoke("t1")) == ("DELETE", f"{api}/tokens/t1", None)


async def test_a_command_carries_the_key_that_it_was_given(daemon: Daemon, client: Client) -> None:
    for verb in ("cancel", "pause", "resume", "retry", "fork"):
        await getattr(client.jobs, verb)("j1", idempotency_key=verb)
        assert daemon.headers["Idempotency-Key"] == verb


async def test_documents_are_listed_to_the_last_page(daemon: Daemon, client: Client) -> None:
    pages = {None: (["a", "b"], "c1"), "c1": (["c"], "c2"), "c2": ([], None)}

    async def page(request: web.Request) -> web.Response:
        documents, cursor = pages[request.query.get("cursor")]
        return web.json_response(
            {"documents": [{"id": d} for d in documents], "next_cursor": cursor}
        )

    daemon.reply_with = page
    assert [document["id"] for document in await client.library.list()] == ["a", "b", "c"]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"])
async def test_an_answer_that_breaks_off_is_told_as_that_and_not_as_a_daemon_that_is_not_there(
    answer: bytes,
) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, Client(url=f"http://127.0.0.1:{port}", token="t") as client:
        with pytest.raises(Retryable) as caught:
            await client.jobs.cancel("j1")
    assert caught.value.code == "answer_lost" and "not known" in caught.value.message


async def test_events_of_a_page_are_those_of_the_stream(daemon: Daemon, client: Client) -> None:
    event = {"seq": 4, "job_id": "j", "job_seq": 1, "type": "t", "at": "", "data": {"a": 1}}
    daemon.answer = web.json_response({"events": [event]})
    page = await client.jobs.events("j")
    assert page["events"] == [StreamEvent(4, "j", 1, "t", "", {"a": 1})]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, BadInput),
        (401, NotAuthenticated),
        (403, NotAllowed),
        (404, NotFound),
        (409, Conflict),
        (413, TooLarge),
        (415, WrongMediaType),
        (422, Refused),
        (429, RateLimited),
        (503, Busy),
        (500, Failed),
    ],
)
async def test_an_error_comes_back_as_the_class_of_its_status(
    daemon: Daemon, client: Client, status: int, kind: type[RegendError]
) -> None:
    error = {"code": "the_code", "message": "Said so.", "hint": "Do it.", "field": "input.x"}
    headers = {"Retry-After": "7"}
    daemon.answer = web.json_response({"error": error}, status=status, headers=headers)
    with pytest.raises(kind) as caught:
        await client.jobs.get("j1")
    got = caught.value
    assert (got.code, got.message, got.hint, got.field) == (
        "the_code",
        "Said so.",
        "Do it.",
        "input.x",
    )
    assert got.retry_after_s == 7


@pytest.mark.parametrize("body", [b"<html>", b"[" * 50_000, b"[]", b'{"jobs": 1}', b"\xff", b""])
async def test_an_answer_that_is_none_is_said_to_be_so(
    daemon: Daemon, client: Client, body: bytes
) -> None:
    daemon.answer = web.Response(body=body)
    with pytest.raises(Failed) as caught:
        await client.models.list()
    assert caught.value.code == "answer_not_understood"


async def test_a_redirect_is_not_followed(daemon: Daemon, client: Client) -> None:
    daemon.answer = web.Response(status=302, headers={"Location": "/elsewhere"})
    with pytest.raises(RegendError, match="HTTP 302"):
        await client.jobs.get("j1")
    assert len(daemon.calls) == 1


async def test_health_needs_no_token(daemon: Daemon, tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.daemon_file.write_text(json.dumps({"url": daemon.url}))
    lock = HomeLock(home.lock_file)
    daemon.answer = web.json_response({"status": "ok"})
    async with Client(home=home) as client:
        assert (await client.health())["status"] == "ok"
        assert "Authorization" not in daemon.headers
        with pytest.raises(NotAuthenticated, match="cannot be read"):
            await client.jobs.get("j1")
    lock.release()


async def test_the_token_does_not_go_to_whoever_has_the_port_of_a_daemon_that_died(
    daemon: Daemon, tmp_path: Path
) -> None:
    home = Home.at(tmp_path)
    home.token_file.write_text("secret")
    home.daemon_file.write_text(json.dumps({"url": daemon.url}))
    HomeLock(home.lock_file).release()
    async with Client(home=home) as client:
        with pytest.raises(Busy):
            await client.jobs.get("j1")
    assert daemon.calls == []


@pytest.mark.parametrize("content", [None, "", "{", "[]", '{"url": 7}'])
async def test_without_a_running_daemon_the_error_says_how_to_start_it(
    tmp_path: Path, content: str | None
) -> None:
    home = Home.at(tmp_path)
    if content is not None:
        home.daemon_file.write_text(content)
    async with Client(home=home) as client:
        with pytest.raises(Busy) as caught:
            await client.health()
    assert caught.value.code == "daemon_not_running"
    assert "regend serve" in caught.value.hint


async def test_nobody_listening_is_a_daemon_that_is_not_running() -> None:
    async with Client(url="http://127.0.0.1:1", token="t") as client:
        with pytest.raises(Busy) as caught:
            await client.jobs.list()
    assert caught.value.code == "daemon_not_running"


async def test_the_owners_token_is_not_sent_to_another_machine(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.token_file.write_text("owner")
    async with Client(url="http://192.0.2.1:7867", home=home) as client:
        with pytest.raises(NotAuthenticated, match="not sent to another machine"):
            await client.jobs.list()


@pytest.mark.parametrize("url", ["", "ftp://x", "127.0.0.1:7867", "http://", "http://x:99999999"])
async def test_an_address_that_is_none_is_refused(url: str) -> None:
    async with Client(url=url, token="t") as client:
        with pytest.raises(BadInput):
            await client.health()
