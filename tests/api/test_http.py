"""HTTP itself: methods, media types, broken and hostile requests, figures."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from io import BytesIO
from pathlib import Path

import aiohttp
import pytest

from regend.api.doorway import Doorway
from regend.limits import MAX_BODY_BYTES, MIB
from tests.api.conftest import API, Running

JOBS = f"{API}/jobs"


@pytest.mark.parametrize("media", ["text/plain", "application/x-www-form-urlencoded", ""])
@pytest.mark.parametrize("path", [JOBS, f"{API}/tokens", f"{API}/library", f"{JOBS}/x/cancel"])
async def test_a_body_of_another_type_is_refused(running: Running, path: str, media: str) -> None:
    answer = await running.call("POST", path, data=b"{}", headers={"Content-Type": media})
    assert (answer.status, answer.error["code"]) == (415, "json_expected")
    assert "application/json" in answer.error["hint"]


async def test_a_head_is_a_get_without_a_body_and_other_methods_name_what_is_possible(
    running: Running,
) -> None:
    job = await running.submit("count", steps=0)
    for path in (JOBS, "/health", f"{JOBS}/{job}/events"):
        head = await running.call("HEAD", path, headers={"Accept": "text/event-stream"})
        assert (head.status, head.body) == (200, b"")
    for method in ("OPTIONS", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"):
        answer = await running.call(method, JOBS)
        assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
        assert set(answer.headers["Allow"].split(",")) == {"GET", "HEAD", "POST"}


@pytest.mark.parametrize(
    "path",
    [
        *("/none", "/api/v1", f"{JOBS}/", "/api/v2/jobs", "//api/v1/jobs", "/.env"),
        *("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd"),
        *(f"{API}/../../token", "/static/../regend.db", "/%00", "/%ff", "/\\..\\token"),
    ],
)
async def test_what_is_not_there_is_not_found_and_no_path_leads_to_a_file(
    running: Running, path: str
) -> None:
    reply = await running.raw(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n"
        f"Authorization: Bearer {running.token}\r\nConnection: close\r\n\r\n".encode()
    )
    status = int(reply.split()[1])
    assert status in (400, 404), reply
    assert b"root:" not in reply and running.token.encode() not in reply
    assert b"Traceback" not in reply


@pytest.mark.parametrize(
    "head",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: -1",
        "Content-Length: +5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: xchunked",
        "Host: evil.example",
        "X-Folded: a\r\n b\r\nHost : 127.0.0.1",
        "X\x00Y: z",
        "X" * 70_000 + ": long",
    ],
)
async def test_a_request_that_can_be_read_in_two_ways_is_refused(
    running: Running, head: str
) -> None:
    smuggled = f"GET /health HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n\r\n"
    reply = await running.raw(
        f"POST {JOBS} HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n"
        f"Authorization: Bearer {running.token}\r\n{head}\r\nConnection: close\r\n\r\n"
        f"0\r\n\r\n{smuggled}".encode()
    )
    assert reply.split()[1] in (b"400", b"415", b"403"), reply
    assert len(re.findall(rb"HTTP/1\.\d \d{3} ", reply)) == 1, (
        "what hides behind it is never answered"
    )
    assert b"Traceback" not in reply
    assert (await running.call("GET", JOBS)).json["jobs"] == []


@pytest.mark.parametrize("version", ["HTTP/9.9", "HTTQ/1.1", ""])
async def test_what_is_not_http_is_answered_briefly_and_closed(
    running: Running, version: str
) -> None:
    reply = await running.raw(f"GET / {version}\r\n\r\n".encode())
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.split()[1] == b"400" and b"nosniff" in head
    assert json.loads(body)["error"]["code"] == "request_unreadable"


async def test_text_that_is_no_text_in_any_place_is_refused(running: Running) -> None:
    def request(line: str, header: str = "") -> bytes:
        extra = f"{header}\r\n" if header else ""
        return (
            f"{line} HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\nConnection: close\r\n"
            f"Authorization: Bearer {running.token}\r\nContent-Type: application/json\r\n{extra}"
        ).encode(errors="surrogateescape")

    body = b'Content-Length: 30\r\n\r\n{"type":"count","input":{"":0}}'[:-1]
    bad = "\udcff\udcfe"
    for sent in (
        request(f"GET {JOBS}/%ff%fe") + b"\r\n",
        request(f"GET {JOBS}?q=%ff") + b"\r\n",
        request(f"GET {JOBS}?cursor=%ff") + b"\r\n",
        request(f"POST {JOBS}", f"Idempotency-Key: {bad}") + body,
        request(f"POST {JOBS}", f"Content-Encoding: {bad}") + body,
        request(f"GET {JOBS}", f"Cookie: regend_session_{running.port}={bad}") + b"\r\n",
        request(f"DELETE {API}/library/%ff") + b"\r\n",
        request(f"DELETE {API}/models/%ff") + b"\r\n",
        request(f"DELETE {API}/tokens/%00") + b"\r\n",
    ):
        reply = await running.raw(sent)
        assert reply.split()[1][:1] in (b"2", b"4"), (sent, reply)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("path", [JOBS, "/v1/chat/completions"])
async def test_a_body_that_is_not_packed_as_it_says_is_bad_input(
    running: Running, path: str, encoding: str
) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    answer = await running.call("POST", path, data=b"{} no archive", headers=headers)
    assert (answer.status, answer.json["error"]["code"]) == (400, "body_broken")


async def test_a_small_body_that_unpacks_to_a_huge_one_is_refused(running: Running) -> None:
    packed = gzip.compress(b'{"type":"' + b" " * 200_000_000 + b'"}', 9)
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = await running.call("POST", JOBS, data=packed, headers=headers)
    assert answer.status in (400, 413)


async def test_a_body_cut_short_harms_nobody(running: Running) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(
        f"POST {JOBS} HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n"
        f"Authorization: Bearer {running.token}\r\nContent-Type: application/json\r\n"
        f'Content-Length: 1000\r\n\r\n{{"type":'.encode()
    )
    await asyncio.sleep(0.1)
    writer.close()
    assert (await running.call("GET", JOBS)).json["jobs"] == []
    del reader


async def test_clients_that_never_finish_their_request_are_let_go(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    doorway: Doorway = running.daemon._server._doorway
    monkeypatch.setattr(doorway, "_timeout_s", 0.3)
    slow = [await asyncio.open_connection("127.0.0.1", running.port) for _ in range(50)]
    for _, writer in slow[:25]:
        writer.write(b"GET /health HTTP/1.1\r\nHost: 127.")
    assert (await running.call("GET", "/health", token=None)).status == 200, "others are served"
    async with asyncio.timeout(20):
        assert await asyncio.gather(*(rest(*one) for one in slow)) == [b""] * 50
    assert not doorway._waiting


async def rest(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Return what is still to come on a connection; one that is reset ends like one closed."""
    try:
        return await reader.read()
    except ConnectionResetError:  # the daemon closed it with bytes of ours unread
        return b""
    finally:
        writer.close()


async def first_answer(running: Running, sent: bytes) -> bytes:
    """Send bytes and return the error that is answered, whenever the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    writer.write(sent)
    try:
        async with asyncio.timeout(20):
            return await reader.readuntil(b"}}")
    finally:
        writer.close()


@pytest.mark.parametrize("path", [JOBS, "/v1/chat/completions"])
async def test_a_body_that_never_comes_ends_its_request(
    running: Running, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr("regend.api.call.BODY_TIMEOUT_S", 0.3)
    reply = await first_answer(
        running,
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n"
        f"Authorization: Bearer {running.token}\r\nContent-Type: application/json\r\n"
        'Content-Length: 1000\r\n\r\n{"type":'.encode(),
    )
    assert reply.startswith(b"HTTP/1.1 400") and b"body_slow" in reply


@pytest.mark.parametrize("length", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
async def test_who_has_proved_nothing_cannot_fill_the_memory(running: Running, length: str) -> None:
    reply = await first_answer(
        running,
        f"POST {API}/auth/session HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n"
        f"Content-Type: application/json\r\n{length}\r\n\r\n2000\r\n".encode()
        + b"x" * 8192,
    )
    assert reply.startswith(b"HTTP/1.1 413") and b"body_too_large" in reply


async def test_a_file_of_the_client_takes_the_place_of_its_old_self(
    running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, note = running.client().library, tmp_path / "मेरा; note.md"
    monkeypatch.chdir(tmp_path)
    note.write_text("The colour is red.", encoding="utf-8")
    await library.add_file(note)
    note.write_text("The colour is blue.", encoding="utf-8")
    await library.add_file(Path(note.name))
    (document,) = await library.list()
    assert (document["source"], document["title"]) == (str(note.resolve()), "मेरा; note")
    assert await library.search("red") == []


async def test_a_file_comes_in_as_multipart_and_what_is_broken_is_told(running: Running) -> None:
    place = f"{API}/library"

    def form(name: str, content: bytes, filename: str) -> aiohttp.FormData:
        data = aiohttp.FormData()
        data.add_field(name, BytesIO(content), filename=filename, content_type="text/markdown")
        return data

    text = "# दाल\n\nमसूर की दाल को बीस मिनट पकाएँ।\n".encode()
    added = await running.call("POST", place, data=form("file", text, "../../दाल.md"))
    assert added.status == 201
    assert added.headers["Location"] == f"{place}/{added.json['id']}"
    assert not (running.home.data_dir.parent / "दाल.md").exists()
    hits = (await running.call("GET", f"{place}/search", params={"q": "मसूर दाल"})).json["hits"]
    assert hits and hits[0]["document_id"] == added.json["id"]
    long = {"q": "मसूर दाल " * 400}
    assert (await running.call("GET", f"{place}/search", params=long)).status == 200
    large = form("file", bytes(MAX_BODY_BYTES + MIB), "large.md")
    told = await running.call("POST", place, data=large)
    assert told.status == 415, "taken whole, and then found to be binary"
    wrong = await running.call("POST", place, data=form("other", text, "x.md"))
    assert (wrong.status, wrong.error["field"]) == (400, "file")
    for media, body in (
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=b", b"not it"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Length: 99\r\n\r\nx"),
        ("multipart/form-data; boundary=b", b"--b\r\nnonsense\r\n\r\nx\r\n--b--"),
        ("multipart/form-data; boundary=" + "b" * 100, b"x"),
    ):
        answer = await running.call("POST", place, data=body, headers={"Content-Type": media})
        assert answer.status == 400, (media, body, answer.body)
        assert answer.error["code"]
    gone = await running.call("DELETE", f"{place}/{added.json['id']}")
    assert gone.status == 204
    assert (await running.call("DELETE", f"{place}/{added.json['id']}")).status == 404


@pytest.mark.parametrize(
    "body",
    [
        *({}, [], {"url": 7}, {"url": "x", "title": "y"}, {"title": "x", "text": "y"}),
        *({"url": "file:///etc/passwd"}, {"url": "http://127.0.0.1/"}, {"url": "http://[::1]"}),
        *({"url": "gopher://x"}, {"url": "http://169.254.169.254/latest"}, {"url": ""}),
        {"title": "x", "source": "s", "text": "a", "html": "b"},
    ],
)
async def test_an_unfit_document_is_refused_and_leaves_nothing(
    running: Running, body: object
) -> None:
    answer = await running.call("POST", f"{API}/library", as_json=body)
    assert answer.status in (400, 422) and answer.error["message"]
    assert (await running.call("GET", f"{API}/library")).json["documents"] == []


async def test_metrics_count_what_happened_once(running: Running) -> None:
    job = {"type": "count", "input": {"steps": 0}}
    ids = set()
    for key in ("a", "a", "b"):
        headers = {"Idempotency-Key": key}
        answer = await running.call("POST", JOBS, as_json=job, headers=headers)
        ids.add(answer.json["id"])
    failed = await running.submit("count", always_fail_at=0)
    for one in ids:
        await running.until(one, "completed")
    await running.until(failed, "failed")
    await running.call("PROPFIND", JOBS)
    answer = await running.call("GET", "/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = answer.body.decode().splitlines()
    assert 'regend_jobs_started_total{type="count"} 3.0' in lines
    assert "regend_jobs_completed_total 2.0" in lines
    assert "regend_jobs_failed_total 1.0" in lines
    assert "regend_active_connections 0.0" in lines
    for name in ("regend_model_latency_seconds_count", "regend_event_latency_seconds_count"):
        assert any(line.startswith(name) for line in lines)
    assert "PROPFIND" not in answer.body.decode(), "labels are not the caller's to make"


async def test_analytics_are_about_ones_own_jobs(running: Running) -> None:
    job = await running.submit("count", steps=0)
    await running.until(job, "completed")
    summary = (await running.call("GET", f"{API}/analytics/summary")).json
    assert (summary["jobs"], summary["by_state"]) == (1, {"completed": 1})
    (day,) = (await running.call("GET", f"{API}/analytics/dau?days=1")).json["days"]
    assert (day["users"], day["jobs"]) == (1, 1)
    assert (await running.call("GET", f"{API}/analytics/dau?days=0")).status == 400


async def test_a_daemon_that_stops_ends_every_connection_soon(running: Running) -> None:
    job = await running.submit("approve", to="x")
    stream = await running.session.get(
        f"{running.url}{JOBS}/{job}/events",
        headers={"Authorization": f"Bearer {running.token}", "Accept": "text/event-stream"},
    )
    async with asyncio.timeout(15):
        await running.daemon.stop()
    assert not running.home.daemon_file.exists()
    stream.close()
