"""Who may call, from where, and what they may see."""

from __future__ import annotations

import logging
import secrets
import socket
from dataclasses import replace
from typing import Any

import aiohttp
import jwt
import pytest

from regend.api.websocket import SUBPROTOCOL
from regend.config import ServerConfig
from regend.errors import BadInput, Failed, NotAllowed
from regend.home import Home
from tests.api.conftest import API, TYPES, Answer, Running, Start
from tests.api.rawstream import RawStream

JOBS = f"{API}/jobs"
PROTECTED = [
    *(("GET", JOBS), ("POST", JOBS), ("GET", f"{JOBS}/x"), ("POST", f"{JOBS}/x/cancel")),
    *(("GET", f"{JOBS}/x/events"), ("GET", f"{API}/approvals"), ("GET", f"{API}/library")),
    *(("POST", f"{API}/library"), ("GET", f"{API}/library/search?q=x"), ("GET", f"{API}/tokens")),
    *(("DELETE", f"{API}/library/x"), ("GET", f"{API}/models"), ("POST", f"{API}/models/pull")),
    *(("GET", "/metrics"), ("GET", f"{API}/analytics/summary"), ("GET", f"{API}/analytics/dau")),
    *(("POST", f"{API}/auth/ticket"), ("POST", f"{API}/auth/code"), ("GET", f"{API}/ws")),
    *(("GET", "/v1/models"), ("POST", "/v1/chat/completions"), ("POST", "/v1/embeddings")),
]


def key(home: Home) -> str:
    return (home.keys_dir / "token.key").read_text(encoding="utf-8").strip()


@pytest.mark.parametrize(("method", "path"), PROTECTED)
async def test_nobody_gets_nothing(running: Running, method: str, path: str) -> None:
    answer = await running.call(method, path, token=None)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.json["error"]["code"]


async def test_health_and_the_document_need_no_token_and_tell_no_figures(running: Running) -> None:
    health = await running.call("GET", "/health", token=None)
    assert health.status == 200
    assert set(health.json) == {"status", "version", "uptime", "redis"}
    assert (health.json["status"], health.json["redis"]) == ("ok", "off")
    reader = await running.user("reader", "jobs:read")
    assert "jobs" not in (await running.call("GET", "/health", token=reader)).json
    assert (await running.call("GET", f"{API}/openapi.json", token=None)).status == 200


async def test_tokens_that_are_not_ours_are_refused(running: Running) -> None:
    claims = jwt.decode(running.token, options={"verify_signature": False})
    own_key = key(running.home)
    part = running.token.split(".")
    unsigned = jwt.encode(claims, "", algorithm="none")
    bad = [
        "x",
        *("a.b.c", "é" * 20, "\udcff", " ", running.token[:-3], running.token + "x"),
        jwt.encode(claims, secrets.token_hex(32), algorithm="HS256"),
        unsigned,
        f"{unsigned.split('.')[0]}.{part[1]}.{part[2]}",
        jwt.encode(claims, own_key * 2, algorithm="HS512"),
        jwt.encode({**claims, "jti": "unknown"}, own_key, algorithm="HS256"),
        jwt.encode({**claims, "sub": 7}, own_key, algorithm="HS256"),
        jwt.encode({"sub": "owner", "scope": "*"}, own_key, algorithm="HS256"),
    ]
    for token in bad:
        request = (
            f"GET {JOBS} HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n"
            f"Authorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        )
        reply = await running.raw(request.encode(errors="surrogateescape"))
        assert reply.startswith(b"HTTP/1.1 401"), (token, reply)
        assert b"Traceback" not in reply and b"not_authenticated" in reply
    for scheme in ("Basic x", "Bearer", running.token):
        answer = await running.call("GET", JOBS, headers={"Authorization": scheme})
        assert answer.status == 401


async def test_a_token_ends_when_it_expires_or_is_revoked(running: Running) -> None:
    made = await running.call(
        "POST",
        f"{API}/tokens",
        as_json={"user": "guest", "scope": ["jobs:read"], "expires_s": 100, "name": "n"},
    )
    assert made.status == 201
    token, identity = made.json["token"], made.json["id"]
    assert (await running.call("GET", JOBS, token=token)).status == 200
    running.clock.ahead_s += 101
    assert (await running.call("GET", JOBS, token=token)).status == 401
    other = await running.user("guest", "jobs:read")
    listed = (await running.call("GET", f"{API}/tokens")).json["tokens"]
    assert token not in str(listed) and other not in str(listed)
    other_id = next(one["id"] for one in listed if one["id"] != identity and one["user"] == "guest")
    gone = await running.call("DELETE", f"{API}/tokens/{other_id}")
    assert (gone.status, gone.body) == (204, b"")
    assert (await running.call("GET", JOBS, token=other)).status == 401
    assert (await running.call("DELETE", f"{API}/tokens/{other_id}")).status == 204
    assert (await running.call("DELETE", f"{API}/tokens/none")).status == 404


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"user": "", "scope": "*"}, {"user": "x" * 101, "scope": "*"}),
        *({"user": "x", "scope": []}, {"user": "x", "scope": ["root"]}, {"user": 5, "scope": "*"}),
        *({"user": "x", "scope": {"a": 1}}, {"user": "x", "scope": "*", "expires_s": 0}),
        *({"user": "x", "scope": "*", "expires_s": -1}, {"user": "x", "scope": "*", "x": 1}),
        *({"user": "x", "scope": "*", "expires_s": 1e300}, {"user": "x", "scope": "*", "name": 1}),
    ],
)
async def test_an_unfit_token_is_not_made(running: Running, body: Any) -> None:
    answer = await running.call("POST", f"{API}/tokens", as_json=body)
    assert answer.status == 400 and answer.error["field"]


async def test_a_scope_lets_do_what_it_names_and_nothing_else(running: Running) -> None:
    reader = await running.user("reader", "jobs:read")
    assert (await running.call("GET", JOBS, token=reader)).status == 200
    for method, path in (
        *(("POST", JOBS), ("GET", f"{API}/library"), ("GET", f"{API}/models"), ("GET", "/metrics")),
        *(("GET", f"{API}/tokens"), ("POST", f"{API}/auth/code"), ("GET", "/v1/models")),
        ("GET", f"{API}/analytics/dau"),
    ):
        answer = await running.call(method, path, token=reader)
        assert answer.status == 403, path
    assert (await running.call("POST", JOBS, token=reader)).error["code"] == "scope"


async def test_a_job_needs_the_scope_of_what_it_does(running: Running) -> None:
    pull: dict[str, Any] = {"type": "pull", "input": {"name": "/nonexistent/model.gguf"}}
    research: dict[str, Any] = {"type": "research", "input": {"question": "?"}}
    writer = await running.user("owner", "jobs:write", "jobs:read")
    for body, scope in ((pull, "models:write"), (research, "library:read")):
        refused = await running.call("POST", JOBS, token=writer, as_json=body)
        assert (refused.status, refused.error["code"]) == (403, "scope")
        assert scope in refused.error["message"]
        async with RawStream(running, writer) as stream:
            await stream.greet()
            assert (await stream.ask("start", **body))["error"]["code"] == "scope"
        job = await running.submit(body["type"], **body["input"])
        for verb in ("resume", "retry", "fork"):
            refused = await running.call("POST", f"{JOBS}/{job}/{verb}", token=writer)
            assert (refused.status, refused.error["code"]) == (403, "scope"), verb
        async with RawStream(running, writer) as stream:
            await stream.greet()
            assert (await stream.ask("resume", job_id=job))["error"]["code"] == "scope"
        allowed = await running.user("guest", "jobs:write", scope)
        assert (await running.call("POST", JOBS, token=allowed, as_json=body)).status == 202
    assert (await running.call("POST", JOBS, token=writer, as_json={"type": "?"})).status == 400


async def test_a_decision_needs_the_scope_of_the_job_that_waits_for_it(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    scoped = replace(TYPES["approve"], scope="models:write")
    monkeypatch.setitem(TYPES, "approve", scoped)
    job = await running.submit("approve", to="x")
    await running.until(job, "waiting")
    (asked,) = (await running.call("GET", f"{API}/approvals")).json["approvals"]
    place = f"{API}/approvals/{asked['id']}"
    decision = {"decision": "approve", "action_hash": asked["action_hash"]}
    writer = await running.user("owner", "jobs:write", "jobs:read")
    refused = await running.call("POST", place, token=writer, as_json=decision)
    assert (refused.status, refused.error["code"]) == (403, "scope")
    assert (await running.call("GET", f"{JOBS}/{job}")).json["state"] == "waiting"
    keeper = await running.user("owner", "jobs:write", "models:write")
    assert (await running.call("POST", place, token=keeper, as_json=decision)).status == 200


async def test_what_is_anothers_does_not_exist(running: Running) -> None:
    job = await running.submit("approve", to="x")
    await running.until(job, "waiting")
    (asked,) = (await running.call("GET", f"{API}/approvals")).json["approvals"]
    capture = {"title": "Secret", "text": "The secret is 42.", "source": "note:1"}
    document = (await running.call("POST", f"{API}/library", as_json=capture)).json["id"]
    stranger = await running.user("stranger")

    async def theirs(method: str, path: str, **more: Any) -> Answer:
        return await running.call(method, path, token=stranger, **more)

    for method, path in (
        *(("GET", f"{JOBS}/{job}"), ("GET", f"{JOBS}/{job[:13]}"), ("GET", f"{JOBS}/{job}/steps")),
        *(("GET", f"{JOBS}/{job}/events"), ("GET", f"{JOBS}/{job}/checkpoints")),
        *(("POST", f"{JOBS}/{job}/{verb}") for verb in ("cancel", "pause", "resume", "fork")),
        ("POST", f"{JOBS}/{job}/retry"),
        ("GET", f"{API}/library/{document}/text"),
        ("DELETE", f"{API}/library/{document}"),
    ):
        assert (await theirs(method, path)).status == 404, path
    stream = await theirs("GET", f"{JOBS}/{job}/events", headers={"Accept": "text/event-stream"})
    assert stream.status == 404
    decision = {"decision": "approve", "action_hash": asked["action_hash"]}
    decided = await theirs("POST", f"{API}/approvals/{asked['id']}", as_json=decision)
    assert decided.status == 404
    assert (await theirs("GET", JOBS)).json["jobs"] == []
    assert (await theirs("GET", f"{API}/approvals")).json["approvals"] == []
    assert (await theirs("GET", f"{API}/library")).json["documents"] == []
    assert (await theirs("GET", f"{API}/library/search?q=secret")).json["hits"] == []
    assert (await theirs("GET", f"{API}/analytics/summary")).json["jobs"] == 0
    assert (await running.call("GET", f"{JOBS}/{job}")).json["state"] == "waiting"


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1", "localhost", "localhost:1", "127.0.0.1:{port}.evil.example"),
        *("localhost.evil.example:{port}", "0.0.0.0:{port}", "127.1:{port}", "[::]:{port}", ""),
        *("LOCALHOST:{port}.", "user@127.0.0.1:{port}", "127.0.0.1:{port}, evil.example"),
    ],
)
async def test_a_foreign_host_reaches_nothing_whatever_it_resolves_to(
    running: Running, host: str
) -> None:
    for path in (JOBS, "/health", f"{API}/openapi.json", f"{API}/ws"):
        answer = await running.call("GET", path, headers={"Host": host.format(port=running.port)})
        assert (answer.status, answer.error["code"]) == (403, "foreign_host")


@pytest.mark.parametrize("host", ["localhost:{port}", "127.0.0.1:{port}", "[::1]:{port}"])
async def test_the_daemons_own_names_are_served(running: Running, host: str) -> None:
    answer = await running.call("GET", JOBS, headers={"Host": host.format(port=running.port)})
    assert answer.status == 200


@pytest.mark.parametrize(
    "origin",
    ["null", "", "https://evil.example", "http://localhost", "http://127.0.0.1:1", "file://"],
)
async def test_a_page_of_another_origin_reaches_nothing(running: Running, origin: str) -> None:
    for method, path in (("GET", JOBS), ("POST", JOBS), ("GET", f"{API}/ws"), ("OPTIONS", JOBS)):
        answer = await running.call(method, path, headers={"Origin": origin})
        assert (answer.status, answer.error["code"]) == (403, "foreign_origin")
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_an_origin_of_the_settings_may_call(start: Start) -> None:
    allowed = ServerConfig(port=0, allowed_origins=("https://app.example",))
    running = await start(server=allowed)
    for origin, status in (
        ("https://app.example", 200),
        ("https://app.example.evil", 403),
        (running.url, 200),
    ):
        answer = await running.call("GET", JOBS, headers={"Origin": origin})
        assert answer.status == status, origin


async def open_session(running: Running, **headers: str) -> Answer:
    code = (await running.call("POST", f"{API}/auth/code")).json["code"]
    return await running.call(
        "POST", f"{API}/auth/session", token=None, as_json={"code": code}, headers=headers
    )


def cookie_of(answer: Answer) -> str:
    return answer.headers["Set-Cookie"].partition(";")[0]


async def test_a_browser_opens_a_session_with_a_code_once(running: Running) -> None:
    code = (await running.call("POST", f"{API}/auth/code")).json["code"]
    place = f"{API}/auth/session"
    opened = await running.call("POST", place, token=None, as_json={"code": code})
    assert opened.status == 200 and opened.json["user"] == "owner"
    flags = {part.strip() for part in opened.headers["Set-Cookie"].split(";")[1:]}
    assert flags == {"HttpOnly", "Path=/", "SameSite=Strict"}
    again = await running.call("POST", place, token=None, as_json={"code": code})
    assert again.status == 401
    late = (await running.call("POST", f"{API}/auth/code")).json["code"]
    running.clock.ahead_s += 61
    assert (await running.call("POST", place, token=None, as_json={"code": late})).status == 401
    for unfit in ({}, {"code": 1}, {"code": "x", "more": 1}):
        assert (await running.call("POST", place, token=None, as_json=unfit)).status == 400


async def test_daemons_of_one_host_do_not_overwrite_each_others_session(running: Running) -> None:
    opened = await open_session(running)
    name = cookie_of(opened).partition("=")[0]
    assert str(running.port) in name, "browsers keep one set of cookies for all ports of a host"
    other = name.replace(str(running.port), "1")
    headers = {"Cookie": f"{other}=anothers; {cookie_of(opened)}; {other}=anothers"}
    assert (await running.call("GET", JOBS, token=None, headers=headers)).status == 200


async def test_a_session_reads_freely_and_changes_only_with_its_csrf_value(
    running: Running,
) -> None:
    opened = await open_session(running)
    cookie, csrf = cookie_of(opened), opened.json["csrf"]
    other = (await open_session(running)).json["csrf"]
    assert (await running.call("GET", JOBS, token=None, headers={"Cookie": cookie})).status == 200
    job = {"type": "count", "input": {"steps": 0}}
    for value in (None, "", "x", other, "ÿ"):
        headers = {"Cookie": cookie, **({"X-CSRF-Token": value} if value is not None else {})}
        refused = await running.call("POST", JOBS, token=None, as_json=job, headers=headers)
        assert (refused.status, refused.error["code"]) == (403, "csrf")
    headers = {"Cookie": cookie, "X-CSRF-Token": csrf}
    done = await running.call("POST", JOBS, token=None, as_json=job, headers=headers)
    assert done.status == 202


async def test_a_session_ends_with_its_token_and_an_old_cookie_is_in_nobodys_way(
    running: Running,
) -> None:
    opened = await open_session(running)
    headers = {"Cookie": cookie_of(opened), "X-CSRF-Token": opened.json["csrf"]}
    listed = (await running.call("GET", f"{API}/tokens")).json["tokens"]
    second = await running.user("owner")
    await running.call("DELETE", f"{API}/tokens/{listed[0]['id']}", token=second)
    ended = await running.call("GET", JOBS, token=None, headers=headers)
    assert ended.status == 401 and "Sign in again" in ended.error["hint"]
    running.token = second
    assert (await running.call("GET", "/health", token=None, headers=headers)).status == 200
    opened = await open_session(running, Cookie=headers["Cookie"])
    assert opened.status == 200, "the page can be opened again"
    opened = await open_session(running, Cookie=cookie_of(opened))
    assert opened.status == 200, "also with a session that holds"


async def connect(running: Running, **more: Any) -> int:
    """Return the status of opening a stream."""
    try:
        async with running.session.ws_connect(
            f"{running.url}{API}/ws", protocols=(SUBPROTOCOL,), **more
        ):
            return 101
    except aiohttp.WSServerHandshakeError as refused:
        return refused.status


async def test_a_ticket_opens_one_stream_within_its_time(running: Running) -> None:
    async def ticket() -> dict[str, str]:
        answer = await running.call("POST", f"{API}/auth/ticket")
        return {"ticket": answer.json["ticket"]}

    first = await ticket()
    assert await connect(running, params=first) == 101
    assert await connect(running, params=first) == 401
    late = await ticket()
    running.clock.ahead_s += 31
    assert await connect(running, params=late) == 401
    assert await connect(running, params={"ticket": "x"}) == 401
    stale = {"Cookie": f"regend_session_{running.port}=old"}
    assert await connect(running, params=await ticket(), headers=stale) == 101
    opened = await open_session(running)
    assert await connect(running, headers={"Cookie": cookie_of(opened)}) == 401
    reader = await running.user("x", "library:read")
    assert await connect(running, headers={"Authorization": f"Bearer {reader}"}) == 403


async def test_a_ticket_dies_with_its_token(running: Running) -> None:
    short = await running.user("guest", "jobs:read", expires_s=10)
    ticket = (await running.call("POST", f"{API}/auth/ticket", token=short)).json["ticket"]
    running.clock.ahead_s += 11
    assert await connect(running, params={"ticket": ticket}) == 401


async def test_every_answer_carries_the_headers_that_protect_a_page(running: Running) -> None:
    job = await running.submit("count", steps=0)
    await running.until(job, "completed")
    seen = set()
    for path, headers in (
        *((JOBS, {}), ("/none", {}), ("/health", {"Host": "evil.example"})),
        (f"{JOBS}/{job}/events", {"Accept": "text/event-stream"}),
    ):
        answer = await running.call("GET", path, headers=headers)
        policy = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert "script-src" in policy or "default-src 'self'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        seen.add(answer.headers["X-Request-Id"])
    assert len(seen) == 4


async def test_no_secret_and_no_input_is_logged(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    opened = await open_session(running)
    secret = "my grandmother's recipe"
    ticket = (await running.call("POST", f"{API}/auth/ticket")).json["ticket"]
    assert await connect(running, params={"ticket": ticket}) == 101
    assert await connect(running, params={"ticket": ticket}) == 401
    job = await running.submit("count", text=secret, title=secret)
    await running.until(job, "completed")
    await running.call("GET", JOBS, params={"q": secret})
    await running.call("POST", JOBS, as_json={"type": secret})
    await running.raw(f"GET {API}/ws?ticket={ticket} HTTP/9\r\nHost: x\r\n\r\n".encode())
    await running.raw(f"GET /x?ticket={ticket} with spaces HTTP/1.1\r\n\r\n".encode())
    logged = caplog.text + "".join(str(record.__dict__) for record in caplog.records)
    assert "GET" in logged
    for hidden in (
        *(running.token, ticket, secret, opened.json["csrf"], cookie_of(opened)),
        *(key(running.home), running.token.split(".")[2]),
    ):
        assert hidden not in logged


async def test_files_of_a_home_are_private_and_a_spoilt_key_is_not_used(start: Start) -> None:
    running = await start()
    for file in (running.home.token_file, running.home.keys_dir / "token.key"):
        assert file.stat().st_mode & 0o777 == 0o600
    await running.daemon.stop()
    (running.home.keys_dir / "token.key").write_text("", encoding="utf-8")
    with pytest.raises(Failed) as refused:
        await start()
    assert refused.value.code == "token_key_damaged" and refused.value.hint


async def test_a_spoilt_token_file_is_written_anew(start: Start) -> None:
    running = await start()
    await running.daemon.stop()
    running.home.token_file.write_bytes(b"\xff\xfe")
    again = await start()
    assert (await again.call("GET", JOBS)).status == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "127.evil.example", "example.com", "::"])
async def test_an_address_that_others_reach_is_refused_without_tls(start: Start, host: str) -> None:
    with pytest.raises(NotAllowed) as refused:
        await start(server=ServerConfig(host=host, port=0))
    assert refused.value.code == "tls_needed" and "127.0.0.1" in refused.value.hint


async def test_a_port_in_use_is_told_with_its_remedy(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(BadInput) as refused:
        await start(server=ServerConfig(port=taken.getsockname()[1]))
    assert refused.value.code == "port_in_use" and "--port 0" in refused.value.hint
